//! The response's body on its way to the client: the upstream's, through the filters that asked for chunks, or a short
//! one of our own. Whatever way it ends, the exchange's conclusion is drawn when it is dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::BoxError;
use super::stall::Stall;
use crate::chain::Chunk;
use crate::conclusion::Conclusion;
use crate::headers;
use crate::upstream::Answer;
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
    answer: Answer,
    stall: Stall,
    /// What is done in the end.
    conclusion: Box<Conclusion>,
    /// A filter wants to see chunks.
    filtered: bool,
    /// Filters have seen the last chunk.
    last_seen: bool,
    trailers: Option<HeaderMap>,
    /// What has gone wrong, to be said in the next turn.
    failure: Option<BoxError>,
    over: bool,
}

impl UpstreamBody {
    /// The body of `answer`, which may stand still for `idle`.
    pub fn new(answer: Answer, idle: Duration, conclusion: Box<Conclusion>) -> Self {
        let filtered = conclusion.run.walks().want_response_chunks();
        Self {
            answer,
            stall: Stall::new(idle),
            conclusion,
            filtered,
            last_seen: false,
            trailers: None,
            failure: None,
            over: false,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        loop {
            if let Some(trailers) = self.trailers.take() {
                self.complete();
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.over {
                return Poll::Ready(None);
            }
            let frame = match Pin::new(&mut self.answer).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    ready!(self.stall.poll_stalled(cx));
                    Some(Err("the upstream's body stands still".into()))
                }
            };
            self.stall.moved();
            let next = match frame.map(|frame| frame.map(Frame::into_data)) {
                None => self.ended(),
                Some(Err(error)) => Some(Err(self.broke(&error.to_string()))),
                Some(Ok(Ok(chunk))) => self.chunk(chunk),
                Some(Ok(Err(frame))) => self.trailed(frame.into_trailers().unwrap_or_default()),
            };
            match next {
                // `hyper` drops what it has not written yet, and that may be all: it gets a turn to write first.
                Some(Err(failure)) => {
                    self.failure = Some(failure);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(frame) => return Poll::Ready(Some(frame)),
                None => {}
            }
        }
    }

    fn chunk(&mut self, chunk: Bytes) -> Option<Result<Frame<Bytes>, BoxError>> {
        let last = self.answer.is_end_stream();
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
        match self.conclusion.run.on_response_chunk(chunk, last) {
            Chunk::Send(bytes) if bytes.is_empty() => None,
            Chunk::Send(bytes) => Some(Ok(Frame::data(bytes))),
            Chunk::Abort(why) => {
                self.over = true;
                self.conclusion.aborted(&why);
                Some(Err(why.into()))
            }
        }
    }

    fn broke(&mut self, why: &str) -> BoxError {
        self.over = true;
        self.conclusion.upstream_broke(why);
        why.into()
    }

    fn complete(&mut self) {
        self.over = true;
        self.conclusion.run.ending = Ending::Complete;
    }
}

impl Drop for UpstreamBody {
    /// A body that is empty from the start is never asked for: it was complete all the same.
    fn drop(&mut self) {
        if !self.over && self.answer.is_end_stream() && self.last_words().is_none_or(|last| last.is_ok()) {
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
                body.trailers.is_none()
                    && body.failure.is_none()
                    && (body.over || (body.answer.is_end_stream() && !unsaid))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) if body.filtered => SizeHint::default(),
            Self::Upstream(body) => body.answer.size_hint(),
        }
    }
}
