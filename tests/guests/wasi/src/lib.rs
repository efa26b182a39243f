//! Does with WASI what the request's `x-do` asks for, and shows what came of it.
#![cfg(target_arch = "wasm32")]

use std::sync::atomic::{AtomicU32, Ordering};

use tollgate_sdk::http::Request;
use tollgate_sdk::{
    ChunkAction, Ending, Filter, OnComplete, OnRequest, OnResponseChunk, Verdict, exchange, reply, request,
};
use wasip2::cli::{environment, stderr, stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::random::random;
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::{instance_network, ip_name_lookup, tcp_create_socket};

#[derive(serde::Deserialize)]
struct Config {
    /// Whom to ask.
    url: String,
    /// Wait for so long when configured, in milliseconds.
    #[serde(default)]
    wait: u64,
}

struct Wasi(Config);

/// How many exchanges this instance has begun.
static BEGUN: AtomicU32 = AtomicU32::new(0);

impl Filter for Wasi {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, String> {
        sleep(config.wait);
        Ok(Self(config))
    }
}

impl OnRequest for Wasi {
    fn on_request(&self) -> Verdict {
        let begun = BEGUN.fetch_add(1, Ordering::Relaxed) + 1;
        let asked = request::header("x-do").unwrap_or_default();
        let (what, argument) = asked.split_once(' ').unwrap_or((&asked, ""));
        let said = match what {
            "look" => look(),
            "print" => print(),
            "connect" => connect(argument),
            "sleep" => {
                sleep(argument.parse().unwrap_or_default());
                "slept".to_owned()
            }
            "spin" => loop {
                std::hint::black_box(());
            },
            "exit" => {
                wasip2::cli::exit::exit(Err(()));
                "there is no end".to_owned()
            }
            "open" => open(),
            "ask" => match Request::get(&format!("{}{argument}", self.0.url)).send() {
                Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
                Err(error) => error.to_string(),
            },
            "tell" => match Request::post(&self.0.url, argument.repeat(100_000)).send() {
                Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
                Err(error) => error.to_string(),
            },
            _ => return Verdict::Proceed,
        };
        reply::send(200, "text/plain", format!("{begun}: {said}").as_bytes());
        Verdict::Respond
    }
}

impl OnResponseChunk for Wasi {
    fn on_response_chunk(&self, _: Vec<u8>, _: bool) -> ChunkAction {
        match request::header("x-chunk").as_deref() {
            Some("print") => drop(print()),
            Some("wait") => sleep(1),
            _ => {}
        }
        ChunkAction::Pass
    }
}

impl OnComplete for Wasi {
    fn on_complete(&self, _: Ending, _: core::time::Duration) {
        if request::header("x-complete").is_some() {
            drop(Request::post(&format!("{}/over", self.0.url), exchange::id()).send());
        }
    }
}

/// What there is of a world outside.
fn look() -> String {
    let bytes = random::get_random_bytes(16);
    format!(
        "{} variables, {} arguments, {} directories, random {}, {} s, lookup {}",
        environment::get_environment().len(),
        environment::get_arguments().len(),
        preopens::get_directories().len(),
        bytes.iter().any(|byte| *byte != 0),
        wall_clock::now().seconds,
        ip_name_lookup::resolve_addresses(&instance_network::instance_network(), "localhost").is_ok(),
    )
}

fn print() -> String {
    stdout::get_stdout().blocking_write_and_flush(b"said aloud\nand more").ok();
    stderr::get_stderr().blocking_write_and_flush(b"complained\n").ok();
    "printed".to_owned()
}

/// Opens a socket to a port on this machine.
fn connect(port: &str) -> String {
    let address = Ipv4SocketAddress { port: port.parse().unwrap_or_default(), address: (127, 0, 0, 1) };
    let network = instance_network::instance_network();
    match tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4) {
        Ok(socket) => match socket.start_connect(&network, IpSocketAddress::Ipv4(address)) {
            Ok(()) => format!("{:?}", socket.finish_connect().map(drop)),
            Err(error) => format!("{error:?}"),
        },
        Err(error) => format!("{error:?}"),
    }
}

/// Opens timers until the host has enough.
fn open() -> String {
    let timers: Vec<_> =
        (0..100_000).map(|_| monotonic_clock::subscribe_duration(1_000_000_000_000)).collect();
    format!("{} timers", timers.len())
}

fn sleep(millis: u64) {
    monotonic_clock::subscribe_duration(millis * 1_000_000).block();
}

tollgate_sdk::export!(Wasi: on_request, on_response_chunk, on_complete);
