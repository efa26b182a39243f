//! From a request to the demo upstream to its answer: reads what the headers tell, finds who answers, and
//! lets the answer meet its misbehaviour.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use serde_json::json;

use super::body::{AnswerBody, Content, ToldToBreak, receive};
use super::misbehaviour::{FailFirst, Misbehaviour};
use super::provider::{Answer, Failure, Provider, SERVER};
use super::reply::{CREATED, CREATED_AT};
use super::{anthropic, chat, embeddings, responses};

/// The most that `/bytes/N` sends.
const MAX_BYTES: u64 = 1 << 40;

/// Answers a request.
///
/// # Errors
/// The request was told to break off in place of an answer: the connection is to be reset.
pub(super) async fn answer(
    request: Request<Incoming>,
    fail_first: Arc<FailFirst>,
) -> Result<Response<AnswerBody>, ToldToBreak> {
    let (head, body) = request.into_parts();
    let told = Misbehaviour::of(&head.headers, &fail_first);
    let answer = if told.failure.is_none() && head.uri.path() == "/echo" {
        echo(&head, body)
    } else {
        let received = receive(&head.headers, body).await;
        let answer = match &told.failure {
            Some(failure) => Err(failure.clone()),
            None => received.and_then(|body| route(&head, &body)),
        };
        answer.unwrap_or_else(|failure| Provider::of(&head).error(&failure))
    };
    if !told.delay.is_zero() {
        tokio::time::sleep(told.delay).await;
    }
    if told.breaks_head { Err(ToldToBreak) } else { Ok(response(answer, &told)) }
}

fn response(answer: Answer, told: &Misbehaviour) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::new(answer.content, told.middle));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.content_type.starts_with("text/event-stream") {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    if let Some(allow) = answer.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = told.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn route(head: &Parts, body: &[u8]) -> Result<Answer, Failure> {
    match head.uri.path() {
        "/" => get(head, || Ok(welcome())),
        "/v1/models" => get(head, || Ok(models())),
        "/v1/chat/completions" => post(head, || chat::complete(body)),
        "/v1/responses" => post(head, || responses::respond(body)),
        "/v1/embeddings" => post(head, || embeddings::embed(body)),
        "/v1/messages" => post(head, || anthropic::message(body)),
        "/v1/messages/count_tokens" => post(head, || anthropic::count_tokens(body)),
        path => match path.strip_prefix("/bytes/") {
            Some(number) => get(head, || bytes(number)),
            None => Err(Failure::new(StatusCode::NOT_FOUND, format!("the demo upstream has no {path}"))),
        },
    }
}

fn get(head: &Parts, answer: impl FnOnce() -> Result<Answer, Failure>) -> Result<Answer, Failure> {
    match head.method {
        Method::GET | Method::HEAD => answer(),
        _ => Err(Failure::method_not_allowed("GET, HEAD")),
    }
}

fn post(head: &Parts, answer: impl FnOnce() -> Result<Answer, Failure>) -> Result<Answer, Failure> {
    match head.method {
        Method::POST => answer(),
        _ => Err(Failure::method_not_allowed("POST")),
    }
}

fn welcome() -> Answer {
    const TEXT: &str = "This is Tollgate's demo upstream. It answers like the OpenAI and Anthropic APIs:\n\
        POST /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/messages; GET /v1/models.\n\
        /echo sends a request back, /bytes/N sends N bytes. Headers such as `x-demo-status: 503`\n\
        tell it to misbehave.\n";
    Answer::new("text/plain; charset=utf-8", Content::Whole(Bytes::from_static(TEXT.as_bytes())))
}

/// One list that both providers' clients understand.
fn models() -> Answer {
    let model = |id: &str| {
        json!({"id": id, "object": "model", "created": CREATED, "owned_by": "tollgate",
            "type": "model", "display_name": id, "created_at": CREATED_AT})
    };
    let (first, last) = ("tollgate-demo", "tollgate-demo-embedding");
    Answer::json(&json!({"object": "list", "data": [model(first), model(last)],
        "has_more": false, "first_id": first, "last_id": last}))
}

fn bytes(number: &str) -> Result<Answer, Failure> {
    match number.parse() {
        Ok(length) if length <= MAX_BYTES => {
            Ok(Answer::new("application/octet-stream", Content::pattern(length)))
        }
        _ => Err(Failure::invalid(format!("/bytes/ takes a number from 0 to {MAX_BYTES}"))),
    }
}

/// The request as it came, in the form that RFC 9110 has for TRACE.
fn echo(head: &Parts, body: Incoming) -> Answer {
    let mut text = BytesMut::from(format!("{} {} {:?}\r\n", head.method, head.uri, head.version).as_bytes());
    for (name, value) in &head.headers {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    text.put_slice(b"\r\n");
    let head = text.freeze();
    let content = if body.is_end_stream() { Content::Whole(head) } else { Content::Echo { head, body } };
    Answer::new("message/http", content)
}
