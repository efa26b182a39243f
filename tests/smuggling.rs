//! Messages that are made to be understood differently by two readers. Each is refused, or the origin sees just what we
//! have understood, in the plainest form there is: it reads with a parser that forgives nothing.

use std::io::{BufRead, Read};
use std::sync::{Arc, Mutex};

use crate::support::{Manifest, Origin, Peer, Tollgate};

use Then::{Cut, Forwarded, Last, Refused};

/// What becomes of the bytes of a case.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// Answered with 400 (431 for what is simply too much) and a closed connection; the origin sees no whole request.
    Refused,
    /// The origin sees these requests (request line, content), and nothing else.
    Forwarded(&'static [(&'static str, &'static str)]),
    /// The same, and the connection is closed after the last answer.
    Last(&'static [(&'static str, &'static str)]),
    /// The connection ends, whatever is said before; the origin sees no whole request.
    Cut,
}

/// What the origin made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Whole(String, String),
    /// It ended half-way.
    Cut,
    /// No strict reader may have to read this.
    Doubtful(String),
}

const ROOT: &[(&str, &str)] = &[("GET / HTTP/1.1", "")];
const POSTED: &[(&str, &str)] = &[("POST / HTTP/1.1", "hello")];
const EMPTY: &[(&str, &str)] = &[("POST / HTTP/1.1", "")];

/// Cases without content: each begins a GET, and the rest is as given.
const HEADS: &[(&str, Then)] = &[
    ("GET / HTTP/1.1\r\nhost: t\r\n\r\n", Forwarded(ROOT)),
    ("\r\n\r\nGET / HTTP/1.1\r\nhost: t\r\n\r\n", Forwarded(ROOT)),
    ("GET / HTTP/1.1\nhost: t\nx: y\n\n", Forwarded(ROOT)),
    ("GET / HTTP/1.1\r\nhost: t\nx: y\r\n\n", Forwarded(ROOT)),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: a\rb\r\n\r\n", Refused),
    ("GET / HTTP/1.1\rhost: t\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: a\r\n folded\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\n\ttransfer-encoding: chunked\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\n host: t\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost : t\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\n: y\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx y: z\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx(y): z\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\né: z\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx\0: y\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: a\0b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: a\x01b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: a\x7fb\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: a%0d%0aGET /smuggled HTTP/1.1\r\n\r\n", Forwarded(ROOT)),
    (
        "GET /a%0d%0aX:%20y%20HTTP/1.1%0d%0a%0d%0a HTTP/1.1\r\nhost: t\r\n\r\n",
        Forwarded(&[("GET /a%0d%0aX:%20y%20HTTP/1.1%0d%0a%0d%0a HTTP/1.1", "")]),
    ),
    ("GET  / HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET / HTTP/1.1 \r\nhost: t\r\n\r\n", Refused),
    ("GET / HTTP/1.1x\r\nhost: t\r\n\r\n", Refused),
    ("GET /a b HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET\t/\tHTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET /\r\nhost: t\r\n\r\n", Refused),
    ("GET / HTTP/2.0\r\nhost: t\r\n\r\n", Refused),
    ("GET / HTTP/1.2\r\nhost: t\r\n\r\n", Refused),
    ("GET / http/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET /\x01 HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET /\0 HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("G\0T / HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    (" GET / HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET t HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET t:80 HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET * HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET http:///a HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET http://a@t/ HTTP/1.1\r\nhost: t\r\n\r\n", Refused),
    ("GET http://t/a HTTP/1.1\r\nhost: other\r\n\r\n", Forwarded(&[("GET /a HTTP/1.1", "")])),
    ("GET //t/a HTTP/1.1\r\nhost: t\r\n\r\n", Forwarded(&[("GET //t/a HTTP/1.1", "")])),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Cut),
    ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nhost: t\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nHost: other\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: a?b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: a#b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: a\\b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t:80:81\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: é\r\n\r\n", Refused),
    ("GET / HTTP/1.0\r\nhost: t\r\nhost: u\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nhost: t\r\nx: half", Cut),
];

/// Cases with content: each is `POST / HTTP/1.1` with a host, and then these bytes. What would be a second request for
/// a reader that goes by the other length asks for `/smuggled`.
const BODIES: &[(&str, Then)] = &[
    ("content-length: 5\r\n\r\nhello", Forwarded(POSTED)),
    ("content-length: 5\r\ncontent-length: 5\r\n\r\nhello", Forwarded(POSTED)),
    ("content-length: 0005\r\n\r\nhello", Forwarded(POSTED)),
    ("content-length: 5\r\ncontent-length: 6\r\n\r\nhello!", Refused),
    ("content-length: 6\r\ncontent-length: 5\r\n\r\nhello!", Refused),
    ("content-length: 5, 5\r\n\r\nhello", Refused),
    ("content-length: 5, 6\r\n\r\nhello!", Refused),
    ("content-length: +5\r\n\r\nhello", Refused),
    ("content-length: -5\r\n\r\nhello", Refused),
    ("content-length: 5 5\r\n\r\nhello", Refused),
    ("content-length: 0x5\r\n\r\nhello", Refused),
    ("content-length: 5;\r\n\r\nhello", Refused),
    ("content-length: \"5\"\r\n\r\nhello", Refused),
    ("content-length: 5.0\r\n\r\nhello", Refused),
    ("content-length: \x0b5\r\n\r\nhello", Refused),
    ("content-length:\r\n\r\nhello", Refused),
    ("content-length : 5\r\n\r\nhello", Refused),
    ("content-length: 18446744073709551615\r\n\r\nhello", Refused),
    ("content-length: 18446744073709551621\r\n\r\nhello", Refused),
    (
        "content-length: 4\r\n\r\nGET GET / HTTP/1.1\r\nhost: t\r\n\r\n",
        Forwarded(&[("POST / HTTP/1.1", "GET "), ROOT[0]]),
    ),
    (
        "content-length: 39\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: t\r\n\r\n\r\n\r\n",
        Forwarded(&[("POST / HTTP/1.1", "GET /smuggled HTTP/1.1\r\nhost: t\r\n\r\n\r\n\r\n")]),
    ),
    (
        "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: t\r\n\r\n",
        Last(EMPTY),
    ),
    (
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: t\r\n\r\n",
        Last(EMPTY),
    ),
    ("transfer-encoding: chunked\r\ncontent-length: x\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Last(POSTED)),
    ("Transfer-Encoding: \tCHUNKED \r\n\r\n5\r\nhello\r\n0\r\n\r\n", Forwarded(POSTED)),
    ("transfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunkedx\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello", Refused),
    ("transfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: identity, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked;q=1\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: \"chunked\"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chun ked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding:\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("x: y\r\n transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer_encoding: chunked\r\ncontent-length: 5\r\n\r\nhello", Forwarded(POSTED)),
    ("transfer-encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n", Forwarded(POSTED)),
    ("transfer-encoding: chunked\r\n\r\n05\r\nhello\r\n000\r\n\r\n", Forwarded(POSTED)),
    ("transfer-encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5 5\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5_\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\ng\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n", Refused),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Cut),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Cut),
    ("content-length: 6\r\n\r\nhello", Cut),
    (
        "transfer-encoding: chunked\r\ntrailer: content-length, host, transfer-encoding\r\n\r\n5\r\nhello\r\n0\r\n\
         content-length: 9\r\nhost: evil\r\ntransfer-encoding: chunked\r\n\r\n",
        Forwarded(POSTED),
    ),
];

#[test]
fn what_can_be_read_in_two_ways_is_refused_or_made_plain() {
    let seen = Arc::<Mutex<Vec<Seen>>>::default();
    let log = seen.clone();
    let origin = Origin::raw(move |peer| record(peer, &log));
    let manifest = Manifest { listener: "timeouts: {header: 500ms, idle: 500ms}", ..Manifest::default() };
    let tollgate = manifest.in_front_of(&origin);
    let posts = BODIES.iter().map(|(rest, then)| (format!("POST / HTTP/1.1\r\nhost: t\r\n{rest}"), then));
    let heads = HEADS.iter().map(|(head, then)| ((*head).to_owned(), then));
    let old =
        ("POST / HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), &Refused);
    let mut wrong = Vec::new();
    for (bytes, then) in heads.chain(posts).chain([old]) {
        let got = play(&tollgate, &bytes, *then);
        let is = whole_ones(&std::mem::take(&mut *seen.lock().unwrap()));
        if let Some(why) = mismatch(*then, &got, &is) {
            wrong.push(format!("{bytes:?}\n  {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sends a case, and then a plain request on another connection, which may come by the same connection to the origin.
fn play(tollgate: &Tollgate, bytes: &str, then: Then) -> String {
    let mut client = tollgate.client();
    client.send(bytes);
    let got = match then {
        Forwarded(requests) => requests
            .iter()
            .map(|_| client.receive())
            .map(|m| m.start + "|" + &String::from_utf8_lossy(&m.body))
            .collect(),
        Refused | Last(_) | Cut => String::from_utf8_lossy(&client.rest()).into_owned(),
    };
    let after = tollgate.get("/after");
    assert_eq!(after.text(), "GET /after HTTP/1.1", "the answer to another request, after {bytes:?}");
    got
}

/// What the origin has seen whole, but for the plain request at the end.
fn whole_ones(seen: &[Seen]) -> Vec<Seen> {
    let is_of_the_case = |seen: &&Seen| {
        **seen != Seen::Cut && **seen != Seen::Whole("GET /after HTTP/1.1".into(), String::new())
    };
    seen.iter().filter(is_of_the_case).cloned().collect()
}

fn mismatch(then: Then, got: &str, seen: &[Seen]) -> Option<String> {
    let statuses = got.matches("HTTP/1.1 ").count();
    let (fits, expected): (bool, &[_]) = match then {
        Forwarded(requests) => (true, requests),
        Last(requests) => (statuses >= requests.len(), requests),
        Refused => (is_refusal(got), &[]),
        Cut => (!got.contains(" 200 "), &[]),
    };
    let expected: Vec<_> =
        expected.iter().map(|(start, body)| Seen::Whole((*start).into(), (*body).into())).collect();
    (!fits || seen != expected)
        .then(|| format!("expected {then:?}\n  the client got {got:?}\n  the origin saw {seen:?}"))
}

/// Said in so many words, and with the connection's end announced.
fn is_refusal(got: &str) -> bool {
    let refused =
        ["HTTP/1.1 400 ", "HTTP/1.0 400 ", "HTTP/1.1 431 "].iter().any(|status| got.starts_with(status));
    refused && (got.starts_with("HTTP/1.0") || got.to_lowercase().contains("\r\nconnection: close\r\n"))
}

/// The origin: notes what it reads, and answers each whole request with its first line.
fn record(mut peer: Peer, log: &Mutex<Vec<Seen>>) {
    loop {
        let seen = match read_strictly(&mut peer.stream) {
            Ok(None) => return,
            Ok(Some((start, body))) => Seen::Whole(start, body),
            Err(Broken::Ended) => Seen::Cut,
            Err(Broken::Doubtful(why)) => Seen::Doubtful(why),
        };
        log.lock().unwrap().push(seen.clone());
        let Seen::Whole(start, _) = seen else { return };
        if peer
            .try_send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{start}", start.len()))
            .is_err()
        {
            return;
        }
    }
}

enum Broken {
    Ended,
    Doubtful(String),
}

type Strict<T> = Result<T, Broken>;

/// A request as RFC 9112 would have everybody send it; none at the end of the connection.
fn read_strictly(stream: &mut impl BufRead) -> Strict<Option<(String, String)>> {
    if stream.fill_buf().map_or(true, <[u8]>::is_empty) {
        return Ok(None);
    }
    let start = line(stream)?;
    let words: Vec<_> = start.split(' ').collect();
    let plain = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    ensure(words.len() == 3 && words.iter().all(|word| plain(word)) && words[2] == "HTTP/1.1", &start)?;
    let fields = fields(stream)?;
    let values = |wanted: &str| {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    ensure(values("host").len() == 1, "one host")?;
    let body = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => Vec::new(),
        ([length], []) => counted(stream, number(length, 10)?)?,
        ([], ["chunked"]) => chunked(stream)?,
        (lengths, codings) => return Err(Broken::Doubtful(format!("{lengths:?} {codings:?}"))),
    };
    Ok(Some((start, String::from_utf8_lossy(&body).into_owned())))
}

fn fields(stream: &mut impl BufRead) -> Strict<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| Broken::Doubtful(line.clone()))?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        ensure(!name.is_empty() && name.bytes().all(is_token), &line)?;
        ensure(value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)), &line)?;
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

fn chunked(stream: &mut impl BufRead) -> Strict<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = number(&line(stream)?, 16)?;
        if size == 0 {
            let trailers = fields(stream)?;
            let framing = ["content-length", "transfer-encoding", "host"];
            ensure(trailers.iter().all(|(name, _)| !framing.contains(&name.as_str())), "trailers")?;
            return Ok(body);
        }
        body.extend(counted(stream, size)?);
        ensure(line(stream)?.is_empty(), "the end of a chunk")?;
    }
}

fn counted(stream: &mut impl BufRead, count: u64) -> Strict<Vec<u8>> {
    let mut body = Vec::new();
    stream.take(count).read_to_end(&mut body).map_err(|_| Broken::Ended)?;
    if body.len() as u64 == count { Ok(body) } else { Err(Broken::Ended) }
}

fn number(text: &str, radix: u32) -> Strict<u64> {
    ensure(!text.is_empty() && text.chars().all(|digit| digit.is_digit(radix)), text)?;
    u64::from_str_radix(text, radix).map_err(|error| Broken::Doubtful(error.to_string()))
}

/// A line that ends with CRLF and has neither of them in it.
fn line(stream: &mut impl BufRead) -> Strict<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).map_err(|_| Broken::Ended)?;
    let Some(content) = line.strip_suffix(b"\n") else { return Err(Broken::Ended) };
    let content =
        content.strip_suffix(b"\r").ok_or_else(|| Broken::Doubtful(line.escape_ascii().to_string()))?;
    ensure(!content.contains(&b'\r'), &content.escape_ascii().to_string())?;
    Ok(String::from_utf8_lossy(content).into_owned())
}

fn ensure(is: bool, what: &str) -> Strict<()> {
    if is { Ok(()) } else { Err(Broken::Doubtful(what.to_owned())) }
}

#[test]
fn the_content_of_a_refused_request_is_not_taken_for_another_request() {
    let origin = Origin::working();
    let manifest = "version: 1\nlisteners:\n  - LISTENER\nupstreams:\n  main: {endpoints: [\"URL\"]}\nroutes:\n  \
                    - {match: {path: /smuggled}, upstream: main}\n";
    let tollgate = Tollgate::start(&manifest.replace("URL", &origin.url()));
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: t\r\n\r\n";
    let chunked = format!("{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len());
    for expect in ["", "expect: 100-continue\r\n"] {
        for framed in [
            format!("content-length: {}\r\n{expect}\r\n{smuggled}", smuggled.len()),
            format!("transfer-encoding: chunked\r\n{expect}\r\n{chunked}"),
        ] {
            let mut client = tollgate.client();
            client.send(format!("POST /refused HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{framed}"));
            let got = String::from_utf8(client.rest()).unwrap();
            assert!(got.starts_with("HTTP/1.1 404") && !got.contains(" 200 "), "{got}");
            let mut client = tollgate.client();
            assert_eq!(
                client.send(format!("POST /refused HTTP/1.1\r\nhost: t\r\n{framed}")).receive().status(),
                404
            );
        }
    }
    assert_eq!(origin.requests(), 0);
    assert_eq!(tollgate.get("/smuggled").status(), 200);
}
