//! How late a server-sent event arrives. The origin writes into each event when it was sent; origin and client are
//! threads of this program, so they have one clock.

use super::{Bench, Table};
use crate::bench::contenders::Contender;
use crate::bench::load::Request;
use crate::bench::process::{self, Server};
use crate::bench::stats::Spread;
use crate::bench::tollgate::Chain;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Of each way, interleaved.
const STREAMS: usize = 60;
const EVENTS: usize = 5;
/// Between two events.
const INTERVAL: Duration = Duration::from_millis(2);

pub(super) fn measure(bench: &mut Bench) -> Result<Table, String> {
    let origin = start_origin().map_err(|error| format!("the origin cannot start: {error}"))?;
    let tollgate = |key: &str, label: &str, length| {
        Contender::tollgate(bench.setup, key, label, Request::get("/"), Chain::pass_through(length), 1)
    };
    let contenders = [
        Contender::nginx(Request::get("/")),
        tollgate("streams", "Tollgate, no filter", 0),
        tollgate("streams-five", "Tollgate, five pass-through filters", 5),
    ];
    let servers: Vec<Server> =
        contenders.iter().map(|c| c.start_before(bench.setup, origin)).collect::<Result<_, _>>()?;
    let addresses = std::iter::once(origin).chain(servers.iter().map(|server| server.address));
    let labels =
        std::iter::once("no proxy").chain(contenders.iter().map(|contender| contender.label.as_str()));
    let mut lanes: Vec<_> = addresses.zip(labels).map(|(address, label)| Lane::new(address, label)).collect();
    for _ in 0..STREAMS {
        for lane in &mut lanes {
            lane.stream().map_err(|error| format!("{}: {error}", lane.label))?;
        }
    }
    Ok(table(&lanes))
}

fn table(lanes: &[Lane]) -> Table {
    let mut table = Table::new(
        &format!(
            "Median of {STREAMS} streams, interleaved, one at a time, each on its own connection: from the request to \
             the first event, and from an event's sending to its arrival."
        ),
        &["", "first event µs", "added", "an event µs", "added"],
    );
    let medians = |lane: &Lane| {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(0.0, |spread| spread.median);
        [median(&lane.first), median(&lane.events)]
    };
    let direct = lanes.first().map_or([0.0; 2], medians);
    for lane in lanes {
        let [first, event] = medians(lane);
        let added = [first - direct[0], event - direct[1]];
        let [first, added_first, event, added_event] =
            [first, added[0], event, added[1]].map(|value| format!("{value:.0}"));
        table.row([lane.label.to_owned(), first, added_first, event, added_event]);
    }
    table
}

/// A way to the origin, and what was seen on it, in microseconds.
struct Lane<'a> {
    address: SocketAddr,
    label: &'a str,
    /// From the request to the first event.
    first: Vec<f64>,
    /// From an event's sending to its arrival.
    events: Vec<f64>,
}

impl<'a> Lane<'a> {
    fn new(address: SocketAddr, label: &'a str) -> Self {
        Self { address, label, first: Vec::new(), events: Vec::new() }
    }

    /// Reads one stream to its end.
    fn stream(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_nodelay(true)?;
        let sent = Instant::now();
        stream.write_all(
            b"GET /events HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n",
        )?;
        let mut arrived = 0;
        for line in BufReader::new(stream).lines() {
            let Some(stamp) = line?.strip_prefix("data: ").and_then(|text| text.parse().ok()) else {
                continue;
            };
            self.events.push(clock().saturating_sub(Duration::from_nanos(stamp)).as_secs_f64() * 1e6);
            if arrived == 0 {
                self.first.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            arrived += 1;
        }
        if arrived == EVENTS {
            Ok(())
        } else {
            Err(io::Error::other(format!("only {arrived} events arrived")))
        }
    }
}

/// The time that origin and client share.
fn clock() -> Duration {
    use std::sync::OnceLock;
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// Streams events to whoever asks, each connection on a thread, for as long as this program runs.
fn start_origin() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    clock();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that leaves early has seen what it wanted: the question whether the server runs.
            std::thread::spawn(move || answer(stream).is_ok());
        }
    });
    Ok(address)
}

/// Answers one request after the other, until the connection ends, which a stream of events does to it.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?).take(1 << 20).lines();
    while let Some(request) = lines.next().transpose()? {
        for field in lines.by_ref() {
            if field?.is_empty() {
                break;
            }
        }
        if request.starts_with("GET /events ") {
            return send_events(&mut stream);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
    }
    Ok(())
}

fn send_events(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    )?;
    for number in 0..EVENTS {
        if number > 0 {
            process::pause(INTERVAL);
        }
        // In one write: each write is a segment of its own.
        let event = format!("data: {}\n\n", clock().as_nanos());
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_a_proxy_has_all_its_events() {
        let mut lane = Lane::new(start_origin().unwrap(), "no proxy");
        lane.stream().unwrap();
        assert_eq!((lane.first.len(), lane.events.len()), (1, EVENTS));
        assert!(lane.events.iter().all(|micros| *micros > 0.0), "{:?}", lane.events);
    }
}
