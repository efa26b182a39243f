//! The heads of messages to and from an upstream: a request's written, a response's read, and what they say of the
//! framing (RFC 9112, section 6).

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request};
use std::mem::MaybeUninit;

use super::wire::Broken;

/// How many fields a response's head may have.
const MAX_FIELDS: usize = 100;

/// How a request's content is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestFraming {
    Nothing,
    Length(u64),
    Chunked,
}

/// How a response's content is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseFraming {
    Length(u64),
    Chunked,
    /// It ends with the connection.
    Close,
}

/// A response's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) framing: ResponseFraming,
    /// The connection can carry another exchange.
    pub(super) keep_alive: bool,
}

/// Writes a request's head, framed anew: the length that the client announced is replaced by what will be sent. No
/// content at all is said as a length of 0 if the client did; there are servers that take no POST without one.
pub(super) fn write(head: &request::Parts, framing: RequestFraming, output: &mut BytesMut) {
    put(output, [head.method.as_str(), " ", head.uri.path()]);
    if let Some(query) = head.uri.query() {
        put(output, ["?", query]);
    }
    output.put_slice(b" HTTP/1.1\r\n");
    let mut announced = false;
    for (name, value) in &head.headers {
        if name == header::CONTENT_LENGTH {
            announced = true;
        } else {
            write_field(name, value, output);
        }
    }
    match framing {
        RequestFraming::Nothing if announced => output.put_slice(b"content-length: 0\r\n"),
        RequestFraming::Nothing => {}
        RequestFraming::Length(length) => {
            write_field(&header::CONTENT_LENGTH, &HeaderValue::from(length), output);
        }
        RequestFraming::Chunked => output.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    output.put_slice(b"\r\n");
}

/// Writes a field's line.
pub(super) fn write_field(name: &HeaderName, value: &HeaderValue, output: &mut BytesMut) {
    output.reserve(name.as_str().len() + value.len() + 4);
    output.put_slice(name.as_str().as_bytes());
    output.put_slice(b": ");
    output.put_slice(value.as_bytes());
    output.put_slice(b"\r\n");
}

fn put<const N: usize>(output: &mut BytesMut, parts: [&str; N]) {
    parts.iter().for_each(|part| output.put_slice(part.as_bytes()));
}

/// False if a head that was not all there when the input had `known` bytes is not yet, either: it ends with an empty line.
/// So one that comes byte by byte is not read from its beginning with each.
pub(super) fn may_be_whole(input: &[u8], known: usize) -> bool {
    let new = &input[known.saturating_sub(3).min(input.len())..];
    known == 0 || new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|end| end == b"\n\r\n")
}

/// Takes a response's head off the input, if it is all there.
pub(super) fn read(input: &mut BytesMut, method: &Method) -> Result<Option<Head>, Broken> {
    let mut space = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, input, &mut space)
        .map_err(|error| Broken::Parse(error.to_string()))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(malformed)?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let names = response.headers.iter().map(|field| HeaderName::from_bytes(field.name.as_bytes()));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(|_| malformed())?;
    let start = input.as_ptr() as usize;
    let place = |value: &[u8]| (value.as_ptr() as usize - start, value.len());
    let places: Vec<_> = response.headers.iter().map(|field| place(field.value)).collect();
    // Values are parts of the input from here on, not copies.
    let bytes = input.split_to(length).freeze();
    let mut headers = HeaderMap::with_capacity(names.len() + 2);
    for (name, (at, length)) in names.into_iter().zip(places) {
        let value = HeaderValue::from_maybe_shared(bytes.slice(at..at + length));
        headers.append(name, value.map_err(|_| malformed())?);
    }
    let lengths = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].map(|name| headers.contains_key(name));
    let framing = framing(&mut headers, method, status, version)?;
    // Whoever announces content where there is none, or two lengths at once, may send what nobody expects.
    let is_plain = match lengths {
        [true, true] => false,
        [false, false] => true,
        _ => status != StatusCode::NO_CONTENT && !status.is_informational(),
    };
    // What follows another protocol's beginning is not HTTP.
    let is_http = status != StatusCode::SWITCHING_PROTOCOLS;
    let keep_alive = is_http && is_plain && framing != ResponseFraming::Close && lives_on(&headers, version);
    Ok(Some(Head { status, headers, framing, keep_alive }))
}

fn malformed() -> Broken {
    Broken::Parse("malformed head".into())
}

/// RFC 9112, section 6.3. What could be read in two ways is refused, or made plain for whoever reads it next.
fn framing(
    headers: &mut HeaderMap,
    method: &Method,
    status: StatusCode,
    version: Version,
) -> Result<ResponseFraming, Broken> {
    let length = content_length(headers)?;
    let without_content = *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if without_content {
        return Ok(ResponseFraming::Length(0));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if version == Version::HTTP_11 => {
            coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
        }
        _ => false,
    };
    if chunked {
        headers.remove(header::CONTENT_LENGTH);
        return Ok(ResponseFraming::Chunked);
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Broken::Parse("a transfer coding that nobody asked for".into()));
    }
    Ok(length.map_or(ResponseFraming::Close, ResponseFraming::Length))
}

/// The length that is announced, if it is one; said several times, it becomes one field.
fn content_length(headers: &mut HeaderMap) -> Result<Option<u64>, Broken> {
    let invalid = || Broken::Parse("invalid content-length".into());
    let mut length = None;
    let mut times = 0;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        for text in value.to_str().map_err(|_| invalid())?.split(',') {
            let text = text.trim();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid());
            }
            let this: u64 = text.parse().map_err(|_| invalid())?;
            if length.is_some_and(|length| length != this) {
                return Err(invalid());
            }
            length = Some(this);
            times += 1;
        }
    }
    if let Some(length) = length.filter(|_| times > 1) {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Ok(length)
}

fn lives_on(headers: &HeaderMap, version: Version) -> bool {
    let says = |wanted: &[u8]| {
        let fields = headers.get_all(header::CONNECTION).iter();
        let mut options = fields.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    !says(b"close") && (version != Version::HTTP_10 || says(b"keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, method: &Method) -> Result<Option<Head>, Broken> {
        read(&mut BytesMut::from(text), method)
    }

    #[test]
    fn a_request_is_framed_by_what_will_be_sent() {
        let request = http::Request::post("/p?q=1").header("host", "a").header("content-length", "7");
        let (head, ()) = request.body(()).unwrap().into_parts();
        for (framing, end) in [
            (RequestFraming::Nothing, "content-length: 0\r\n\r\n"),
            (RequestFraming::Length(9), "content-length: 9\r\n\r\n"),
            (RequestFraming::Chunked, "transfer-encoding: chunked\r\n\r\n"),
        ] {
            let mut output = BytesMut::new();
            write(&head, framing, &mut output);
            assert_eq!(output, format!("POST /p?q=1 HTTP/1.1\r\nhost: a\r\n{end}"));
        }
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole_and_nothing_more() {
        let mut input =
            BytesMut::from(&b"HTTP/1.1 200 OK\r\na: 1\r\nA: \xe4\r\ncontent-length: 2\r\n\r\nok"[..]);
        let head = read(&mut input, &Method::GET).unwrap().unwrap();
        assert_eq!(
            (head.status, head.framing, head.keep_alive),
            (StatusCode::OK, ResponseFraming::Length(2), true)
        );
        assert_eq!((head.headers.get_all("a").iter().count(), &input[..]), (2, &b"ok"[..]));
        assert!(parsed("HTTP/1.1 200 OK\r\na: 1\r\n", &Method::GET).unwrap().is_none());
    }

    #[test]
    fn framing_has_one_meaning() {
        use ResponseFraming::{Chunked, Close, Length};
        for (fields, framing, keep_alive) in [
            ("content-length: 5\r\n", Some(Length(5)), true),
            ("content-length: 5, 5\r\ncontent-length: 5\r\n", Some(Length(5)), true),
            ("content-length: 5\r\ncontent-length: 6\r\n", None, false),
            ("content-length: +5\r\n", None, false),
            ("content-length: 99999999999999999999\r\n", None, false),
            ("transfer-encoding: Chunked\r\n", Some(Chunked), true),
            ("content-length: 5\r\ntransfer-encoding: Chunked\r\n", Some(Chunked), false),
            ("transfer-encoding: gzip, chunked\r\n", None, false),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", None, false),
            ("", Some(Close), false),
            ("content-length: 5\r\nconnection: x, Close\r\n", Some(Length(5)), false),
        ] {
            let head = parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).ok().flatten();
            assert_eq!(head.as_ref().map(|head| head.framing), framing, "{fields}");
            assert_eq!(head.as_ref().is_some_and(|head| head.keep_alive), keep_alive, "{fields}");
            let lengths = head.map_or(0, |head| head.headers.get_all("content-length").iter().count());
            assert!(lengths <= 1 && (lengths == 0 || framing != Some(Chunked)), "{fields}");
        }
        assert!(parsed("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &Method::GET).is_err());
        let old =
            parsed("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n", &Method::GET);
        assert!(old.unwrap().unwrap().keep_alive);
        for suspect in [
            "HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive, close\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close, \u{fc}\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
        ] {
            assert!(!parsed(suspect, &Method::GET).unwrap().unwrap().keep_alive, "{suspect}");
        }
        let head = parsed("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &Method::HEAD).unwrap().unwrap();
        assert_eq!((head.framing, &head.headers["content-length"]), (Length(0), &HeaderValue::from(5)));
    }

    #[test]
    fn a_head_is_read_when_its_last_line_may_have_come() {
        for (head, whole) in [
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\n", true),
            ("HTTP/1.1 200 OK\na: b\n\n", true),
            ("HTTP/1.1 200 OK\r\na: b\r\n\r", false),
            ("HTTP/1.1 200 OK\r\na: b", false),
        ] {
            let ends = (1..=head.len()).filter(|end| may_be_whole(&head.as_bytes()[..*end], end - 1));
            let expected: &[usize] = if whole { &[1, head.len()] } else { &[1] };
            assert_eq!(ends.collect::<Vec<_>>(), expected, "{head:?}");
        }
    }
}
