//! One request over a connection, and what comes back: the response's head, then its content and trailers, while the
//! rest of the request may still be on its way. When both are over, the connection goes back to the pool by itself; if
//! this is dropped before, it is closed, and the upstream learns at once that nobody waits any more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, request, response};
use http_body::{Body, Frame, SizeHint};

use super::chunked::{Chunked, Piece};
use super::head::{self, Head, RequestFraming, ResponseFraming};
use super::interim::Interim;
use super::pool::Lease;
use super::wire::{Broken, Connection};
use crate::body::{AttemptBody, BoxError};

/// How large a response's head may be, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// A request under way, and the response to it.
#[derive(Debug)]
pub struct Answer {
    /// The connection, until the exchange on it is over.
    lease: Option<Lease>,
    sending: Sending,
    receiving: Receiving,
    /// How much of a head there was when it was last looked for.
    known: usize,
    keep_alive: bool,
}

#[derive(Debug)]
enum Sending {
    Body(AttemptBody, RequestFraming),
    Done,
    /// The upstream takes no more; it may have answered all the same.
    Refused,
}

#[derive(Debug)]
enum Receiving {
    Head,
    Length(u64),
    Chunked(Chunked),
    Close,
    Over,
}

impl Answer {
    /// Begins to send a request.
    pub(super) fn to(request: &request::Parts, body: AttemptBody, mut lease: Lease) -> Self {
        let framing = match body.size_hint().exact() {
            Some(0) => RequestFraming::Nothing,
            Some(length) => RequestFraming::Length(length),
            None => RequestFraming::Chunked,
        };
        lease.connection.output.reserve(1024);
        head::write(request, framing, &mut lease.connection.output);
        let sending =
            if framing == RequestFraming::Nothing { Sending::Done } else { Sending::Body(body, framing) };
        Self { lease: Some(lease), sending, receiving: Receiving::Head, known: 0, keep_alive: false }
    }

    /// The response's head, once it has come. Interim responses go to `interim`, one a turn, so that they are on their
    /// way before the final one is.
    pub(super) fn poll_head(
        &mut self,
        method: &Method,
        interim: &Interim,
        cx: &mut Context<'_>,
    ) -> Poll<Result<response::Parts, Broken>> {
        self.poll_send(cx)?;
        let Some(lease) = &mut self.lease else { return Poll::Pending };
        loop {
            let input = &mut lease.connection.input;
            let known = std::mem::replace(&mut self.known, input.len());
            let head = match head::may_be_whole(input, known) {
                true => head::read(input, method)?,
                false => None,
            };
            match head {
                Some(head) if head.status.is_informational() && head.status != 101 => {
                    self.known = 0;
                    interim.forward(head.status, head.headers);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(head) => return Poll::Ready(Ok(self.begin(head))),
                None if lease.connection.input.len() >= MAX_HEAD => {
                    return Poll::Ready(Err(Broken::Parse("the head is too large".into())));
                }
                None => {}
            }
            if ready!(lease.connection.poll_fill(cx)).map_err(Broken::Io)? == 0 {
                return Poll::Ready(Err(Broken::Closed));
            }
        }
    }

    /// The connection, as long as the exchange on it is not over.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.lease.as_mut().map(|lease| lease.connection.as_mut())
    }

    /// True if the whole request has been sent.
    pub fn has_sent_all(&self) -> bool {
        matches!(self.sending, Sending::Done)
    }

    fn begin(&mut self, head: Head) -> response::Parts {
        self.keep_alive = head.keep_alive;
        self.receiving = match head.framing {
            ResponseFraming::Length(length) => Receiving::Length(length),
            ResponseFraming::Chunked => Receiving::Chunked(Chunked::default()),
            ResponseFraming::Close => Receiving::Close,
        };
        if head.framing == ResponseFraming::Length(0) {
            self.end();
        }
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = head.status;
        parts.headers = head.headers;
        parts
    }

    /// The response is over. The connection can be used again if the request is, too.
    fn end(&mut self) {
        self.receiving = Receiving::Over;
        if let Some(lease) = self.lease.take()
            && self.keep_alive
            && matches!(self.sending, Sending::Done)
            && lease.connection.is_settled()
        {
            lease.give_back();
        }
    }

    /// Sends what can be sent now.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        let Some(Lease { connection, .. }) = &mut self.lease else { return Ok(()) };
        if matches!(self.sending, Sending::Refused) {
            return Ok(());
        }
        loop {
            while let Sending::Body(body, framing) = &mut self.sending
                && connection.has_room()
            {
                let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else { break };
                if queue(frame, framing, connection)? {
                    self.sending = Sending::Done;
                }
            }
            let had_room = connection.has_room();
            match connection.poll_flush(cx) {
                Poll::Ready(Ok(())) if had_room => return Ok(()),
                Poll::Ready(Ok(())) => {}
                // Nothing of it has gone out: what may lie on the connection is no answer to it.
                Poll::Ready(Err(error)) if !connection.has_sent => return Err(Broken::Io(error)),
                Poll::Ready(Err(_)) => {
                    self.sending = Sending::Refused;
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_send(cx)?;
        loop {
            let Some(Lease { connection, .. }) = &mut self.lease else { return Poll::Ready(None) };
            let input = &mut connection.input;
            match &mut self.receiving {
                Receiving::Length(left) if !input.is_empty() => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    *left -= length as u64;
                    let over = *left == 0;
                    let data = input.split_to(length).freeze();
                    if over {
                        self.end();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Receiving::Chunked(chunked) => match chunked.next(input)? {
                    Piece::Wanting => {}
                    Piece::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Piece::End(trailers) => {
                        self.end();
                        return Poll::Ready(some_trailers(trailers).map(Ok));
                    }
                },
                Receiving::Close if !input.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(input.split().freeze()))));
                }
                Receiving::Head | Receiving::Over => return Poll::Ready(None),
                Receiving::Length(_) | Receiving::Close => {}
            }
            if ready!(connection.poll_fill(cx)).map_err(Broken::Io)? == 0 {
                let whole = matches!(self.receiving, Receiving::Close);
                self.end();
                return Poll::Ready(if whole { None } else { Some(Err(Broken::Closed)) });
            }
        }
    }
}

fn some_trailers(trailers: HeaderMap) -> Option<Frame<Bytes>> {
    (!trailers.is_empty()).then(|| Frame::trailers(trailers))
}

/// Puts a piece of the request's body in line; true if it was the last.
fn queue(
    frame: Option<Result<Frame<Bytes>, BoxError>>,
    framing: &mut RequestFraming,
    connection: &mut Connection,
) -> Result<bool, Broken> {
    let output = &mut connection.output;
    let frame = frame.transpose().map_err(Broken::Request)?.map(Frame::into_data);
    match (framing, frame) {
        (RequestFraming::Length(left), Some(Ok(data))) => {
            let rest = left.checked_sub(data.len() as u64);
            *left = rest.ok_or_else(|| Broken::Request("it is longer than announced".into()))?;
            connection.queue(data, b"");
            Ok(*left == 0)
        }
        (RequestFraming::Length(0) | RequestFraming::Nothing, _) => Ok(true),
        (RequestFraming::Length(_), _) => Err(Broken::Request("it is shorter than announced".into())),
        (RequestFraming::Chunked, Some(Ok(data))) => {
            // A chunk of nothing would be the last.
            if !data.is_empty() {
                output.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                connection.queue(data, b"\r\n");
            }
            Ok(false)
        }
        (RequestFraming::Chunked, trailers) => {
            output.extend_from_slice(b"0\r\n");
            let trailers = trailers.and_then(|frame| frame.err()?.into_trailers().ok()).unwrap_or_default();
            trailers.iter().for_each(|(name, value)| head::write_field(name, value, output));
            output.extend_from_slice(b"\r\n");
            Ok(true)
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.poll_content(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.receiving, Receiving::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match self.receiving {
            Receiving::Length(left) => SizeHint::with_exact(left),
            Receiving::Over => SizeHint::with_exact(0),
            Receiving::Head | Receiving::Chunked(_) | Receiving::Close => SizeHint::default(),
        }
    }
}
