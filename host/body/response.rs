//! The response's body on its way to the client: the upstream's, through the filters that asked for chunks, or a short
//! one of our own. Whatever way it ends, the exchange's conclusion is drawn when it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::stall::Stall;
use super::{BoxError, RequestBody};
use crate::chain::Chunk;
use crate::conclusion::Conclusion;
use crate::headers;
use crate::upstream::Lease;
use crate::wasm::Ending;

/// The body of a response to the client.
#[derive(Debug)]
pub enum ResponseBody {
    /// Short, and whole; with what is concluded once it is gone, if it belongs to an exchange.
    Whole(Bytes, Option<Box<Conclusion>>),
    /// The upstream's.
    Upstream(Box<UpstreamBody>),
}

/// The upstream's body, as it streams.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    stall: Stall,
    tail: Tail,
    /// A filter wants to see chunks.
    filtered: bool,
    /// Filters have seen the last chunk.
    last_seen: bool,
    trailers: Option<HeaderMap>,
    over: bool,
}

/// What a streaming response holds on to until it ends.
#[derive(Debug)]
pub struct Tail {
    /// The connection that it comes by.
    pub lease: Option<Lease>,
    /// The request that it answers: a connection can be used again only if that was sent whole.
    pub request: RequestBody,
    /// What is done in the end.
    pub conclusion: Box<Conclusion>,
}

impl UpstreamBody {
    /// The body `incoming`, which may stand still for `idle`.
    pub fn new(incoming: Incoming, idle: Duration, tail: Tail) -> Self {
        let filtered = tail.conclusion.run.walks().want_response_chunks();
        Self {
            incoming,
            stall: Stall::new(idle),
            tail,
            filtered,
            last_seen: false,
            trailers: None,
            over: false,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                self.complete();
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                ready!(self.stall.poll_stalled(cx));
                return Poll::Ready(Some(Err(self.broke("the upstream's body stands still"))));
            };
            self.stall.moved();
            let next = match frame.map(|frame| frame.map(Frame::into_data)) {
                None => self.ended(),
                Some(Err(error)) => Some(Err(self.broke(&error.to_string()))),
                Some(Ok(Ok(chunk))) => self.chunk(chunk),
                Some(Ok(Err(frame))) => self.trailed(frame.into_trailers().unwrap_or_default()),
            };
            if next.is_some() {
                return Poll::Ready(next);
            }
        }
    }

    fn chunk(&mut self, chunk: Bytes) -> Option<Result<Frame<Bytes>, BoxError>> {
        let last = self.incoming.is_end_stream();
        let next = if self.filtered { self.filter(chunk, last) } else { Some(Ok(Frame::data(chunk))) };
        // Once `hyper` has written what `content-length` promised, it does not ask again.
        if last && next.as_ref().is_none_or(Result::is_ok) {
            self.complete();
        }
        next
    }

    fn ended(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        let next = self.last_words();
        if next.as_ref().is_none_or(Result::is_ok) {
            self.complete();
        }
        next
    }

    fn trailed(&mut self, mut trailers: HeaderMap) -> Option<Result<Frame<Bytes>, BoxError>> {
        headers::strip_trailers(&mut trailers);
        self.trailers = Some(trailers);
        let next = self.last_words();
        if next.as_ref().is_some_and(Result::is_err) {
            self.trailers = None;
        }
        next
    }

    /// Tells filters that the body is over, if they do not know yet; they may add to it.
    fn last_words(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        if self.filtered && !self.last_seen { self.filter(Bytes::new(), true) } else { None }
    }

    fn filter(&mut self, chunk: Bytes, last: bool) -> Option<Result<Frame<Bytes>, BoxError>> {
        self.last_seen = last;
        match self.tail.conclusion.run.on_response_chunk(chunk, last) {
            Chunk::Send(bytes) if bytes.is_empty() => None,
            Chunk::Send(bytes) => Some(Ok(Frame::data(bytes))),
            Chunk::Abort(why) => {
                self.over = true;
                self.tail.conclusion.aborted(&why);
                Some(Err(why.into()))
            }
        }
    }

    fn broke(&mut self, why: &str) -> BoxError {
        self.over = true;
        self.tail.conclusion.upstream_broke(why);
        why.into()
    }

    fn complete(&mut self) {
        self.over = true;
        self.tail.conclusion.run.ending = Ending::Complete;
        if let Some(lease) = self.tail.lease.take().filter(|_| self.tail.request.is_read()) {
            lease.give_back();
        }
    }
}

impl Drop for UpstreamBody {
    /// A body that is empty from the start is never asked for: it was complete all the same.
    fn drop(&mut self) {
        if !self.over && self.incoming.is_end_stream() && self.last_words().is_none_or(|last| last.is_ok()) {
            self.complete();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(bytes, _) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes, _) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Upstream(body) => body.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes, _) => bytes.is_empty(),
            Self::Upstream(body) => {
                let unsaid = body.filtered && !body.last_seen;
                body.trailers.is_none() && (body.over || (body.incoming.is_end_stream() && !unsaid))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) if body.filtered => SizeHint::default(),
            Self::Upstream(body) => body.incoming.size_hint(),
        }
    }
}
