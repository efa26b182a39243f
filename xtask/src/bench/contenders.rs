//! Who is compared, and how each is started: one worker, pinned to one processor.

use super::load::Request;
use super::process::{self, Server};
use super::setup::{self, PROXY_CORE, Setup, configuration};
use super::tollgate::Chain;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the comparison.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its name in `--contenders`, in the report's JSON and in file names.
    pub(crate) key: String,
    /// Its name in tables.
    pub(crate) label: String,
    /// What it is sent.
    pub(crate) request: Request,
    program: Program,
}

#[derive(Clone, Debug)]
enum Program {
    Floor,
    Nginx,
    Haproxy(PathBuf),
    Envoy { program: PathBuf, filter: PathBuf, filters: usize },
    Tollgate { program: PathBuf, chain: Chain },
}

impl Contender {
    /// Starts it in front of the upstream, and waits until it answers.
    pub(crate) fn start(&self, setup: &Setup) -> Result<Server, String> {
        let port = process::free_port()?;
        let log = setup.folder.join(format!("{}.log", self.key));
        let upstream = setup.upstream.address.port().to_string();
        let values = [
            ("PORT", &*port.to_string()),
            ("UPSTREAM", &*upstream),
            ("FOLDER", &*setup.folder.to_string_lossy()),
        ];
        let fill =
            |template, name: &str| configuration(&setup.assets, template, &setup.folder, name, &values);
        let mut command = match &self.program {
            Program::Floor => {
                let this = std::env::current_exe().map_err(|error| error.to_string())?;
                let mut command = process::pinned(PROXY_CORE, &this);
                command.args(["bench-floor", &port.to_string(), &upstream]);
                command
            }
            Program::Nginx => {
                let mut command = process::pinned(PROXY_CORE, &setup.nginx);
                command.arg("-c").arg(fill("nginx.conf", "nginx.conf")?);
                command
            }
            Program::Haproxy(program) => {
                let mut command = process::pinned(PROXY_CORE, program);
                command.arg("-db").arg("-f").arg(fill("haproxy.cfg", "haproxy.cfg")?);
                command
            }
            Program::Envoy { program, filter, filters } => {
                let chain = envoy_filters(setup, filter, *filters)?;
                let values = [values[0], values[1], ("FILTERS", &*chain)];
                let name = format!("{}.yaml", self.key);
                let path = configuration(&setup.assets, "envoy.yaml", &setup.folder, &name, &values)?;
                let mut command = process::pinned(PROXY_CORE, program);
                command
                    .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"])
                    .arg(path);
                command
            }
            Program::Tollgate { program, chain } => {
                chain.command(setup, program, &self.key, port, PROXY_CORE, 1)?
            }
        };
        Server::start(&mut command, port, "/", &log)
    }
}

/// All that can be compared here, in the order of the tables. What cannot be had is said on standard error.
/// `against` is another build of Tollgate.
pub(crate) fn all(setup: &Setup, against: Option<&Path>) -> Vec<Contender> {
    let get = || Request::get("/");
    let mut list = vec![
        contender("floor", "byte pump, no HTTP", get(), Program::Floor),
        contender("nginx", "nginx", get(), Program::Nginx),
    ];
    match &setup.haproxy {
        Ok(path) => list.push(contender("haproxy", "HAProxy", get(), Program::Haproxy(path.clone()))),
        Err(problem) => eprintln!("HAProxy is left out: {problem}"),
    }
    match &setup.envoy {
        Ok(envoy) => {
            for (filters, key, label) in
                [(0, "envoy", "Envoy, no filter"), (5, "envoy-five", "Envoy, five proxy-wasm filters")]
            {
                let (program, filter) = (envoy.program.clone(), envoy.filter.clone());
                list.push(contender(key, label, get(), Program::Envoy { program, filter, filters }));
            }
        }
        Err(problem) => eprintln!("Envoy is left out: {problem}"),
    }
    list.extend(tollgates(setup, &setup.tollgate, "tollgate", "Tollgate"));
    if let Some(other) = against {
        list.extend(tollgates(setup, other, "against", "Tollgate, other build"));
    }
    list
}

/// The names of contenders that a quick run has.
pub(crate) const QUICK: [&str; 5] =
    ["floor", "nginx", "tollgate", "tollgate-five", "tollgate-five-component"];

fn tollgates(setup: &Setup, program: &Path, key: &str, label: &str) -> Vec<Contender> {
    let tollgate = |suffix: &str, text: &str, request: Request, chain: Chain| {
        let program = Program::Tollgate { program: program.to_owned(), chain };
        contender(&format!("{key}{suffix}"), &format!("{label}, {text}"), request, program)
    };
    let get = || Request::get("/");
    let mut list = vec![
        tollgate("", "no filter", get(), Chain::pass_through(0)),
        tollgate("-five", "five pass-through filters", get(), Chain::pass_through(5)),
    ];
    if names(program, "TOLLGATE_DOOR") {
        let chain = Chain::pass_through(5).through_components();
        list.push(tollgate("-five-component", "the same five through the component layer", get(), chain));
    }
    list.push(tollgate("-chat", "no filter, chat request", setup.chat(), Chain::pass_through(0)));
    list.push(tollgate("-shipped", "five shipped filters, chat request", setup.chat(), Chain::shipped()));
    list
}

fn contender(key: &str, label: &str, request: Request, program: Program) -> Contender {
    Contender { key: key.to_owned(), label: label.to_owned(), request, program }
}

/// Whether a program knows an environment variable: its name is in it. One that is asked for a door that it does not
/// have would be measured under a wrong name.
fn names(program: &Path, variable: &str) -> bool {
    fs::read(program).is_ok_and(|bytes| bytes.windows(variable.len()).any(|part| part == variable.as_bytes()))
}

/// The HTTP filters of Envoy's configuration.
fn envoy_filters(setup: &Setup, module: &Path, count: usize) -> Result<String, String> {
    let template = setup::read(&setup.assets.join("envoy-filter.yaml"))?;
    let module = module.to_string_lossy();
    let filter = |number: usize| {
        let name = format!("x-passed-{number}");
        setup::filled(&template, &[("NAME", &*name), ("VM", "bench"), ("MODULE", &*module)])
    };
    Ok((0..count).map(filter).collect::<String>().trim_end().to_owned())
}
