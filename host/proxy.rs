//! The life of an exchange, from the request's head to the response's body; read `respond` as its table of contents.

use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header, request};
use hyper::body::Incoming;
use tokio::time::timeout_at;

use crate::attempt::Attempts;
use crate::body::{BufferedBody, ReadError, RequestBody, ResponseBody, UpstreamBody};
use crate::chain::{Flow, Run};
use crate::conclusion::Conclusion;
use crate::connection::Client;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::headers::{self, X_REQUEST_ID};
use crate::manifest::ErrorFormat;
use crate::upstream::{Answer, Interim};
use crate::worker::{Destination, Proxied, Setup, Worker};

/// An id of the client's own is taken if it is no longer than this, and visible ASCII.
const MAX_ID: usize = 128;

/// Answers one request.
pub async fn serve(
    worker: &Rc<Worker>,
    client: &Client,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let (mut head, incoming) = request.into_parts();
    let id = request_id(&mut head);
    let text = id.to_str().unwrap_or_default();
    let setup = worker.setup();
    let mut response = match destination(&setup, &mut head) {
        Ok(Destination::Upstream(route)) => {
            let exchange = admit(client, route, head, text.to_owned());
            let begun = begin(worker, &setup, route, exchange);
            respond(worker, client, route, begun, incoming).await
        }
        Ok(Destination::Metrics) => {
            worker.shared.host.telemetry.answer().map(|body| ResponseBody::Whole(body, None))
        }
        Ok(Destination::Health) => {
            health(worker, &head).unwrap_or_else(|| refuse(worker, Error::NoRoute, text))
        }
        Err(error) => refuse(worker, error, text),
    };
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// From the request's head to the response's.
async fn respond(
    worker: &Worker,
    client: &Client,
    route: &Proxied,
    mut conclusion: Box<Conclusion>,
    incoming: Incoming,
) -> Response<ResponseBody> {
    let run = &mut conclusion.run;
    let version = run.exchange.request.version;
    let mut body = RequestBody::new(incoming, &run.exchange.request.headers, route.replay_limit, client.idle);
    if run.on_request().await == Flow::Respond {
        return reply(conclusion, route.errors);
    }
    if run.walks().want_request_body() {
        match read_body(run, &body, route.body_limit).await {
            Flow::Respond => return reply(conclusion, route.errors),
            Flow::Proceed => body = RequestBody::Whole(whole(&run.exchange)),
        }
    }
    let interim =
        if version >= Version::HTTP_11 { Interim::to(client.watch.clone()) } else { Interim::default() };
    let attempts =
        Attempts { upstream: &route.upstream, body: &body, budget: &worker.budget, interim: &interim };
    let Some(answer) = attempts.run(run).await else { return reply(conclusion, route.errors) };
    if run.on_response().await == Flow::Respond {
        return reply(conclusion, route.errors);
    }
    stream(conclusion, route, answer)
}

/// The exchange at the beginning of its way.
fn admit(client: &Client, route: &Proxied, mut head: request::Parts, id: String) -> Box<Exchange> {
    headers::prepare_request(&mut head.headers, &client.address_text, "http");
    Box::new(Exchange::new(head, id, client.address, route.names.clone(), route.timeout))
}

/// From here on, the exchange is concluded whatever happens, even if the client leaves and this is dropped.
fn begin(worker: &Worker, setup: &Setup, route: &Proxied, exchange: Box<Exchange>) -> Box<Conclusion> {
    let run = Run::new(exchange, setup.chain.clone(), route.walks.clone());
    let counters = route.upstream.counters.clone();
    Box::new(Conclusion::new(run, counters, worker.telemetry.active(), setup.log_requests))
}

/// Which route takes the request, once the request is plain enough to tell.
fn destination<'a>(setup: &'a Setup, head: &mut request::Parts) -> Result<&'a Destination, Error> {
    if head.method == Method::CONNECT {
        return Err(Error::NotImplemented);
    }
    if !is_chunked_only(&head.headers) {
        return Err(Error::BadRequest("The only transfer coding that is taken is chunked"));
    }
    if !has_target_form(head) {
        return Err(Error::BadRequest("The request target is malformed"));
    }
    if has_dot_segments(head.uri.path()) {
        return Err(Error::BadRequest("The path has dot segments; write it without them"));
    }
    settle_authority(head)?;
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    setup.route(host, head.uri.path(), &head.method).ok_or(Error::NoRoute)
}

/// A path or a whole URI (RFC 9112, section 3.2); `*` is for OPTIONS, an authority alone for CONNECT.
fn has_target_form(head: &request::Parts) -> bool {
    match head.uri.path() {
        "*" => head.method == Method::OPTIONS,
        path => path.starts_with('/') && (head.uri.authority().is_none() || head.uri.scheme().is_some()),
    }
}

/// Another coding before `chunked` would be lost on the way: codings are each connection's own.
fn is_chunked_only(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Routes and filters would see one path, and an upstream that resolves `..` another. Servers differ in whether they
/// decode `%2e`, `%2f` and `%5c` before that, and take `\` for `/`; what any of them would resolve is refused.
fn has_dot_segments(path: &str) -> bool {
    if !path.contains(['.', '%', '\\']) {
        return false;
    }
    let lower = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    lower.split(['/', '\\']).any(|segment| {
        // Some servers cut parameters off a segment before they look at it.
        matches!(segment.split(';').next(), Some("." | ".."))
    })
}

/// The host asked for, put into the `host` field: an absolute request target beats the field (RFC 9112, section
/// 3.2.2), and the two must not be told apart further on.
fn settle_authority(head: &mut request::Parts) -> Result<(), Error> {
    const MALFORMED: Error = Error::BadRequest("The host field is malformed");
    let mut fields = head.headers.get_all(header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (_, Some(_)) => return Err(Error::BadRequest("The request has more than one host field")),
        (field, None) => field,
    };
    let field = field.map(HeaderValue::to_str).transpose().map_err(|_| MALFORMED)?;
    let missing = match (head.uri.authority(), field) {
        (Some(authority), _) => Some(authority.as_str()),
        (None, Some(_)) => None,
        (None, None) if head.version >= Version::HTTP_11 => {
            return Err(Error::BadRequest("The request has no host field"));
        }
        (None, None) => Some(""),
    };
    if !is_authority(missing.or(field).unwrap_or_default()) {
        return Err(MALFORMED);
    }
    if let Some(authority) = missing {
        head.headers.insert(header::HOST, HeaderValue::from_str(authority).map_err(|_| MALFORMED)?);
    }
    Ok(())
}

/// Host and port, without user information, or nothing.
fn is_authority(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    // Nearly all are plain, and need no parser, which would copy them.
    let plain =
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && name.bytes().all(is_of_name);
    (plain && !name.is_empty())
        || text.is_empty()
        || (!text.contains('@') && text.parse::<http::uri::Authority>().is_ok())
}

/// The id of the request: the client's own if it is a sensible one, else 128 random bits. It is visible ASCII.
fn request_id(head: &mut request::Parts) -> HeaderValue {
    let sensible = |id: &&HeaderValue| {
        (1..=MAX_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    let given = head.headers.get(X_REQUEST_ID).filter(sensible).cloned();
    let id = given.unwrap_or_else(random_id);
    // Several of them would let two hops log two ids.
    head.headers.insert(X_REQUEST_ID, id.clone());
    id
}

/// 32 hexadecimal digits.
fn random_id() -> HeaderValue {
    let mut digits = Vec::with_capacity(32);
    for byte in fastrand::u128(..).to_be_bytes() {
        digits.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    HeaderValue::from_maybe_shared(Bytes::from(digits)).unwrap_or(HeaderValue::from_static("0"))
}

async fn read_body(run: &mut Run, body: &RequestBody, limit: u64) -> Flow {
    let deadline = run.exchange.deadline.into();
    match timeout_at(deadline, body.read_whole(limit)).await.unwrap_or(Err(ReadError::Stalled)) {
        Ok(bytes) => {
            run.exchange.body = Some(BufferedBody::new(bytes));
            run.on_request_body().await
        }
        Err(error) => run.fail(error.into()),
    }
}

/// The body that filters have left.
fn whole(exchange: &Exchange) -> Bytes {
    exchange.body.as_ref().map(|body| body.bytes().clone()).unwrap_or_default()
}

/// The upstream's response, on its way to the client.
fn stream(mut conclusion: Box<Conclusion>, route: &Proxied, answer: Answer) -> Response<ResponseBody> {
    let filtered = conclusion.run.walks().want_response_chunks();
    let head_only = conclusion.run.exchange.request.method == Method::HEAD;
    let Some(head) = &mut conclusion.run.exchange.response else { return reply(conclusion, route.errors) };
    let status = head.status;
    let mut headers = if route.keeps_response { head.headers.clone() } else { mem::take(&mut head.headers) };
    // Filters may change the length. Where no content can follow it stays: there it says what GET would bring.
    if filtered && !head_only && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.remove(header::CONTENT_LENGTH);
    }
    conclusion.status = status;
    conclusion.run.exchange.stage = crate::exchange::Stage::ResponseBody;
    let body = UpstreamBody::new(answer, route.upstream.timeouts.idle, conclusion);
    let mut response = Response::new(ResponseBody::Upstream(Box::new(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A filter's answer, or the host's own in its place.
fn reply(mut conclusion: Box<Conclusion>, format: ErrorFormat) -> Response<ResponseBody> {
    let exchange = &mut conclusion.run.exchange;
    let reply = exchange.reply.clone().unwrap_or_else(|| Error::FilterFailed.reply());
    let mut rendered = reply.render(format, &exchange.id);
    if let Some(error) = conclusion.run.error {
        close_after(error, rendered.headers_mut());
    }
    conclusion.replied(rendered.status());
    rendered.map(|body| ResponseBody::Whole(body, Some(conclusion)))
}

/// An answer to a request that no route took.
fn refuse(worker: &Worker, error: Error, id: &str) -> Response<ResponseBody> {
    worker.unrouted.request(error.status().as_u16(), std::time::Duration::ZERO);
    worker.unrouted.error(error.kind());
    let mut response = error.reply().render(ErrorFormat::Problem, id);
    close_after(error, response.headers_mut());
    response.map(|body| ResponseBody::Whole(body, None))
}

/// Has `hyper` close the connection after the answer, if the error asks for it.
fn close_after(error: Error, headers: &mut HeaderMap) {
    if error.ends_connection() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

fn health(worker: &Worker, head: &request::Parts) -> Option<Response<ResponseBody>> {
    let host = &worker.shared.host;
    let answer = host.health.answer(head.uri.path(), head.uri.query(), &host.pressure)?;
    Some(answer.map(|body| ResponseBody::Whole(body, None)))
}
