//! Who is compared, and how each is started: one worker, pinned to one processor.

use super::load::Request;
use super::process::{self, Server};
use super::setup::{self, PROXY_CORE, Setup, configuration};
use super::tollgate::Chain;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One row of the comparison.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its name in `--contenders`, in the report's JSON and in file names.
    pub(crate) key: String,
    /// Its name in tables.
    pub(crate) label: String,
    /// What it is sent.
    pub(crate) request: Request,
    /// By which of its addresses on loopback it reaches the upstream.
    upstream: Ipv4Addr,
    program: Program,
}

#[derive(Clone, Debug)]
enum Program {
    Floor,
    Nginx,
    Haproxy(PathBuf),
    Envoy { program: PathBuf, filter: PathBuf, filters: usize },
    Tollgate { program: PathBuf, chain: Chain, workers: usize },
}

impl Contender {
    /// nginx.
    pub(crate) fn nginx(request: Request) -> Self {
        contender("nginx", "nginx", request, Program::Nginx)
    }

    /// Tollgate with a chain of its own and so many workers.
    pub(crate) fn tollgate(
        setup: &Setup,
        key: &str,
        label: &str,
        request: Request,
        chain: Chain,
        workers: usize,
    ) -> Self {
        let program = setup.tollgate.clone();
        contender(key, label, request, Program::Tollgate { program, chain, workers })
    }

    /// The same, by another address of the upstream's: of ten thousand connections each, three contenders keep more open
    /// than there are ports to one address, and then the system searches long for a free one.
    pub(crate) fn by_address(self, last: u8) -> Self {
        Self { upstream: Ipv4Addr::new(127, 0, 0, last), ..self }
    }

    /// Starts it in front of the run's upstream, and waits until it answers.
    pub(crate) fn start(&self, setup: &Setup) -> Result<Server, String> {
        self.start_before(setup, (self.upstream, setup.upstream.address.port()).into())
    }

    /// Starts it in front of an upstream on loopback, and waits until it answers.
    pub(crate) fn start_before(&self, setup: &Setup, upstream: SocketAddr) -> Result<Server, String> {
        let port = process::free_port()?;
        let mut command = self.command(setup, port, upstream)?;
        Server::start(&mut command, port, "/", &setup.folder.join(format!("{}.log", self.key)))
    }

    fn command(&self, setup: &Setup, port: u16, upstream: SocketAddr) -> Result<Command, String> {
        let (port_text, upstream_port) = (port.to_string(), upstream.port().to_string());
        let (folder, most) = (setup.folder.to_string_lossy(), setup.most_connections.to_string());
        let values = [
            ("PORT", &*port_text),
            ("UPSTREAM", &*upstream_port),
            ("FOLDER", &*folder),
            ("CONNECTIONS", &*most),
        ];
        let fill =
            |template, name: &str| configuration(&setup.assets, template, &setup.folder, name, &values);
        let pinned = |program: &Path| process::pinned(PROXY_CORE, program);
        let mut command;
        match &self.program {
            Program::Floor => {
                command = pinned(&std::env::current_exe().map_err(|error| error.to_string())?);
                command.args(["bench-floor", &port_text, &upstream_port]);
            }
            Program::Nginx => {
                command = pinned(&setup.nginx);
                command.arg("-c").arg(fill("nginx.conf", "nginx.conf")?);
            }
            Program::Haproxy(program) => {
                command = pinned(program);
                command.arg("-db").arg("-f").arg(fill("haproxy.cfg", "haproxy.cfg")?);
            }
            Program::Envoy { program, filter, filters } => {
                let path = envoy_configuration(setup, &self.key, filter, *filters, &values)?;
                command = pinned(program);
                command
                    .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"])
                    .arg(path);
            }
            Program::Tollgate { program, chain, workers } => {
                command = chain.command(setup, program, &self.key, port, upstream, *workers)?;
            }
        }
        Ok(command)
    }
}

/// All that can be compared here, in the order of the tables.
/// `against` is another build of Tollgate.
pub(crate) fn all(setup: &Setup, against: Option<&Path>) -> Vec<Contender> {
    let get = || Request::get("/");
    let mut list =
        vec![contender("floor", "byte pump, no HTTP", get(), Program::Floor), Contender::nginx(get())];
    if let Some(path) = &setup.haproxy {
        list.push(contender("haproxy", "HAProxy", get(), Program::Haproxy(path.clone())));
    }
    if let Some(envoy) = &setup.envoy {
        for (filters, key, label) in
            [(0, "envoy", "Envoy, no filter"), (5, "envoy-five", "Envoy, five proxy-wasm filters")]
        {
            let (program, filter) = (envoy.program.clone(), envoy.filter.clone());
            list.push(contender(key, label, get(), Program::Envoy { program, filter, filters }));
        }
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
        let program = Program::Tollgate { program: program.to_owned(), chain, workers: 1 };
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
    Contender {
        key: key.to_owned(),
        label: label.to_owned(),
        request,
        upstream: Ipv4Addr::LOCALHOST,
        program,
    }
}

/// Whether a program knows an environment variable: its name is in it. One that is asked for a door that it does not
/// have would be measured under a wrong name.
fn names(program: &Path, variable: &str) -> bool {
    fs::read(program).is_ok_and(|bytes| bytes.windows(variable.len()).any(|part| part == variable.as_bytes()))
}

/// Envoy's configuration with so many filters. They share one VM, which is faster than one each.
fn envoy_configuration(
    setup: &Setup,
    key: &str,
    module: &Path,
    count: usize,
    values: &[(&str, &str)],
) -> Result<PathBuf, String> {
    let template = setup::read(&setup.assets.join("envoy-filter.yaml"))?;
    let module = module.to_string_lossy();
    let filter = |number: usize| {
        let name = format!("x-passed-{number}");
        setup::filled(&template, &[("NAME", &*name), ("VM", "bench"), ("MODULE", &*module)])
    };
    let filters: String = (0..count).map(filter).collect();
    let values = [values, &[("FILTERS", filters.trim_end())]].concat();
    configuration(&setup.assets, "envoy.yaml", &setup.folder, &format!("{key}.yaml"), &values)
}
