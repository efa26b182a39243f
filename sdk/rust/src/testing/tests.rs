//! The harness keeps to the contract: a filter that runs whatever a test hands it, in every phase.

mod heads;

use std::cell::RefCell;
use std::net::IpAddr;

use super::*;
use crate::body::JsonKind;
use crate::metrics::{Counter, Family, Gauge, Metric};
use crate::request::HeaderError;
use crate::state::Cell;
use crate::{
    Advice, ChunkAction, Ending, OnAttempt, OnComplete, OnRequest, OnRequestBody, OnResponse,
    OnResponseChunk, Outcome, Verdict, body, clock, exchange, random, reply, request, response,
};

type Step = Box<dyn Fn() -> Verdict>;

/// Runs the same step in every phase.
struct Script(RefCell<Step>);

impl Filter for Script {
    type Config = serde_json::Map<String, Value>;

    fn configure(_config: Self::Config) -> Result<Self, String> {
        Ok(Self(RefCell::new(Box::new(|| Verdict::Proceed))))
    }
}

impl Script {
    fn run(&self) -> Verdict {
        self.0.borrow()()
    }
}

impl OnRequest for Script {
    fn on_request(&self) -> Verdict {
        self.run()
    }
}

impl OnRequestBody for Script {
    fn on_request_body(&self) -> Verdict {
        self.run()
    }
}

impl OnAttempt for Script {
    fn before_attempt(&self, _number: u32) -> Verdict {
        self.run()
    }

    fn after_attempt(&self, number: u32, outcome: Outcome, elapsed: Duration) -> Advice {
        self.run();
        crate::log::info!("{number} {outcome:?} {}", elapsed.as_millis());
        Advice::Accept
    }
}

impl OnResponse for Script {
    fn on_response(&self) -> Verdict {
        self.run()
    }
}

impl OnResponseChunk for Script {
    fn on_response_chunk(&self, chunk: Vec<u8>, last: bool) -> ChunkAction {
        self.run();
        if last { ChunkAction::Pass } else { ChunkAction::Replace(chunk.to_ascii_uppercase()) }
    }
}

impl OnComplete for Script {
    fn on_complete(&self, ending: Ending, elapsed: Duration) {
        self.run();
        crate::log::info!("{ending:?} {}", elapsed.as_millis());
    }
}

crate::export!(Script: on_request, on_request_body, on_attempt, on_response, on_response_chunk, on_complete);

fn script(host: &Host, step: impl Fn() + 'static) -> Script {
    let filter: Script = host.configure(json!({})).unwrap();
    *filter.0.borrow_mut() = Box::new(move || {
        step();
        Verdict::Proceed
    });
    filter
}

/// Runs `step` in `on_request` of a plain exchange.
fn in_request(step: impl Fn() + 'static) -> (Host, Exchange) {
    let host = Host::new();
    let mut exchange = host.exchange();
    exchange.on_request(&script(&host, step));
    (host, exchange)
}

#[test]
fn an_exchange_reads_as_it_was_described() {
    let host = Host::new();
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    let mut exchange = host
        .exchange()
        .id("abc")
        .route("api")
        .upstream("main", "openai")
        .client_address(address)
        .timeout(Duration::from_millis(1500))
        .method("POST")
        .authority("api.example.com")
        .path("/a?b")
        .header("Accept", "x")
        .header("accept", [b'y', 0xff]);
    host.advance(Duration::from_millis(500));
    exchange.on_request(&script(&host, move || {
        assert_eq!([exchange::id(), exchange::route()], ["abc", "api"]);
        assert_eq!([exchange::upstream(), exchange::provider()], ["main", "openai"]);
        assert_eq!(exchange::client_address(), Some(address));
        assert_eq!(exchange::remaining(), Duration::from_secs(1));
        assert_eq!([request::method(), request::authority()], ["POST", "api.example.com"]);
        assert_eq!(request::path(), "/a?b");
        assert_eq!(request::header("ACCEPT").as_deref(), Some("x"));
        assert_eq!(request::header_bytes("accept"), [vec![b'x'], vec![b'y', 0xff]]);
        assert_eq!(request::header_names(), ["accept"]);
        assert_eq!((request::header("none"), request::header("not a name")), (None, None));
        assert_eq!(response::status(), None);
        assert_eq!(response::header("accept"), None);
    }));
}

#[test]
fn bytes_that_are_no_utf_8_read_as_replacement_characters() {
    let host = Host::new();
    let filter = script(&host, || assert_eq!(request::header("x").as_deref(), Some("a\u{fffd}")));
    host.exchange().header("x", [b'a', 0xff]).on_request(&filter);
}

#[test]
fn the_body_is_there_from_on_request_body_on() {
    let host = Host::new();
    let json = r#"{"model": "m", "n": 1.5, "stream": true, "messages": [{"role": "user"}], "a/b": null}"#;
    let mut exchange = host.exchange().body(json);
    exchange.on_request(&script(&host, || {
        assert_eq!((body::size(), body::bytes(), body::kind("")), (0, Vec::new(), None));
    }));
    exchange.on_request_body(&script(&host, || {
        assert_eq!(body::size(), json.len() as u64);
        assert_eq!((body::read(0, 1), body::read(1000, 1)), (b"{".to_vec(), Vec::new()));
        assert_eq!(body::read(u64::MAX, u32::MAX), Vec::<u8>::new());
        assert_eq!(body::text("/model").as_deref(), Some("m"));
        assert_eq!((body::text("/n"), body::number("/n")), (None, Some(1.5)));
        assert_eq!(body::boolean("/stream"), Some(true));
        assert_eq!(body::text("/messages/0/role").as_deref(), Some("user"));
        assert_eq!(
            (body::length("/messages"), body::length(""), body::length("/n")),
            (Some(1), Some(5), None)
        );
        assert_eq!(body::keys("/messages/0"), ["role"]);
        assert_eq!(body::keys("/messages"), Vec::<String>::new());
        assert_eq!((body::kind("/a~1b"), body::kind("/none")), (Some(JsonKind::Null), None));
        body::replace(b"not json");
        assert_eq!((body::bytes(), body::kind("")), (b"not json".to_vec(), None));
    }));
    assert_eq!(exchange.request_body(), b"not json");
}

#[test]
fn replies_are_made_as_the_contract_says() {
    let (_, exchange) = in_request(|| {
        assert_eq!(reply::set_header("x", "1"), Err(HeaderError::TooLate));
        reply::reject(400, "first", "forgotten");
        reply::reject(200, "bad", "No.");
        reply::set_header("x-why", "because").unwrap();
        assert_eq!(reply::set_header("content-length", "1"), Err(HeaderError::Forbidden));
        reply::retry_after(3);
        for _ in 0..300 {
            reply::detail("d");
        }
    });
    let made = exchange.reply().unwrap();
    assert_eq!((made.status, made.code.as_str(), made.message.as_str()), (500, "bad", "No."));
    assert_eq!((made.header("x-why").as_deref(), made.retry_after), (Some("because"), Some(3)));
    assert_eq!((made.details.len(), made.details_dropped), (256, 44));

    let (_, exchange) = in_request(|| reply::send(302, "text/plain", b"over there"));
    let made = exchange.reply().unwrap();
    assert_eq!((made.status, made.content_type.as_deref()), (302, Some("text/plain")));
    assert_eq!(made.body, b"over there");
}

#[test]
#[should_panic = "`Respond` without a reply"]
fn responding_without_a_reply_is_an_error() {
    let host = Host::new();
    let filter: Script = host.configure(json!({})).unwrap();
    *filter.0.borrow_mut() = Box::new(|| Verdict::Respond);
    host.exchange().on_request(&filter);
}

#[test]
fn attempts_and_exchanges_take_as_long_as_the_clock_moves() {
    let host = Host::new();
    let filter = script(&host, || ());
    let mut exchange = host.exchange();
    host.advance(Duration::from_millis(5));
    exchange.before_attempt(&filter, 1);
    host.advance(Duration::from_millis(20));
    exchange.after_attempt(&filter, 1, Outcome::TimedOut);
    exchange.on_complete(&filter, Ending::Replied);
    let lines: Vec<_> = host.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, ["1 Outcome::TimedOut 20", "Ending::Replied 25"]);
    exchange.on_request(&script(&host, || {
        let clocks = (clock::now(), clock::system_time().duration_since(std::time::UNIX_EPOCH).unwrap());
        assert_eq!(clocks, (Duration::from_micros(1_025_000), Duration::from_millis(1_700_000_000_025)));
    }));
}

#[test]
fn chunks_pass_or_are_replaced() {
    let host = Host::new();
    let filter = script(&host, || ());
    let mut exchange = host.exchange();
    assert_eq!(exchange.on_response_chunk(&filter, b"abc", false), ChunkAction::Replace(b"ABC".to_vec()));
    assert_eq!(exchange.on_response_chunk(&filter, b"", true), ChunkAction::Pass);
}

#[test]
fn slots_and_attributes_stay_with_their_exchange_and_cells_with_the_host() {
    let host = Host::new();
    let count = script(&host, || {
        exchange::set_slot(exchange::slot() + 1);
        exchange::set_attribute("seen", &exchange::slot().to_string());
        let cell = Cell::open("count");
        assert_eq!(cell.add(1), cell.get());
        assert_eq!(cell.compare_exchange(-1, 0), Err(cell.get()));
    });
    let (mut one, mut two) = (host.exchange(), host.exchange());
    one.on_request(&count);
    two.on_request(&count);
    one.on_complete(&count, Ending::ClientGone);
    assert_eq!((one.slot(), two.slot()), (2, 1));
    assert_eq!((one.attribute("seen"), two.attribute("seen")), (Some("2"), Some("1")));
    assert_eq!((host.cell("count"), host.cell("none")), (Some(3), None));
}

#[test]
fn figures_checks_and_pressure_are_the_hosts() {
    let host = Host::new();
    host.set_pressure(pressure::Snapshot { memory: 0.5, ..pressure_at_rest() });
    let family: Family<Counter, 1> = Family::new("asked", "How often.", ["why"]);
    let filter = script(&host, move || {
        family.with(["a"]).add(2);
        family.with(["b"]).add(1);
        Gauge::open("share", "How much.", &[]).set(pressure::read().memory);
        health::report("self", health::Status::Degraded, "so so");
    });
    host.exchange().on_request(&filter);
    host.exchange().on_request(&filter);
    assert_eq!(host.metric("asked", &[("why", "a")]), Some(4.0));
    assert_eq!(host.metric("asked", &[("why", "b")]), Some(2.0));
    assert_eq!(host.metric("asked", &[("why", "c")]), None);
    assert_eq!(host.metric("share", &[]), Some(0.5));
    assert_eq!(host.health("self"), Some((health::Status::Degraded, "so so".to_owned())));
}

fn pressure_at_rest() -> pressure::Snapshot {
    pressure::Snapshot { memory: 0.0, heap: 0.0, cpu: 0.0, active_exchanges: 1, scheduling_delay_micros: 0 }
}

#[test]
fn random_numbers_follow_the_seed() {
    let draw = |seed| {
        let host = Host::new();
        host.seed(seed);
        let drawn = std::rc::Rc::new(RefCell::new(Vec::new()));
        let keep = std::rc::Rc::clone(&drawn);
        host.exchange().on_request(&script(&host, move || {
            keep.borrow_mut().push(random::next());
            assert!((0.0..1.0).contains(&random::unit()));
        }));
        drawn.take()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn long_lines_are_cut_at_a_character() {
    let (host, _) = in_request(|| crate::log::warn!("x{}", "é".repeat(8 * 1024)));
    let line = &host.logs()[0];
    assert_eq!((line.level, line.message.len()), (log::Level::Warn, 8 * 1024 - 1));
}

#[test]
fn what_would_trap_panics() {
    let traps: [fn(); 9] = [
        || body::replace(b""),
        || drop(Cell::open(&"k".repeat(257))),
        || (0..65).for_each(|n| exchange::set_attribute(&n.to_string(), "")),
        || exchange::set_attribute("a", &"v".repeat(16 * 1024)),
        || (0..65).for_each(|n| health::report(&n.to_string(), health::Status::Ok, "")),
        || drop(Counter::open("no-name", "", &[])),
        || drop(Counter::open("name", "", &[("__reserved", "")])),
        || drop((Counter::open("name", "", &[]), Gauge::open("name", "", &[]))),
        || drop((Counter::open("name", "", &[]), Counter::open("name", "", &[("a", "")]))),
    ];
    for (index, trap) in traps.into_iter().enumerate() {
        let outcome = std::panic::catch_unwind(|| in_request(trap));
        assert!(outcome.is_err(), "trap {index}");
    }
}

#[test]
#[should_panic = "no exchange in hand"]
fn there_is_no_exchange_in_configure() {
    struct Early;
    impl Filter for Early {
        type Config = serde_json::Map<String, Value>;
        fn configure(_config: Self::Config) -> Result<Self, String> {
            exchange::id();
            Ok(Self)
        }
    }
    let _ = Host::new().configure::<Early>(json!({}));
}
