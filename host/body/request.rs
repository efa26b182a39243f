//! The request's body on its way to one attempt after another. What has been read from the client is kept, up to a
//! limit, so that a later attempt can send it again; past the limit it streams on and there is no later attempt.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::BoxError;
use super::stall::Stall;
use crate::headers;

/// A request's body, from which each attempt gets an [`AttemptBody`].
#[derive(Debug, Clone)]
pub enum RequestBody {
    /// Read whole, or nothing at all.
    Whole(Bytes),
    /// Still with the client.
    Streaming(Rc<RefCell<Source>>),
}

/// Why a body could not be read from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// More than the limit that was asked for.
    TooLarge,
    /// The client broke off, or its framing is wrong.
    Broken,
    /// The client sent nothing for the listener's idle timeout.
    Stalled,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the request's body is larger than the limit",
            Self::Broken => "the client broke off its body",
            Self::Stalled => "the client stopped sending its body",
        })
    }
}

impl std::error::Error for ReadError {}

impl RequestBody {
    /// The body of a request with this head that has just arrived, of which at most `keep` bytes are kept for later
    /// attempts; `idle` is how long the client may send nothing.
    pub fn new(incoming: Incoming, head: &HeaderMap, keep: u64, idle: Duration) -> Self {
        if incoming.is_end_stream() {
            return Self::Whole(Bytes::new());
        }
        Self::Streaming(Rc::new(RefCell::new(Source {
            size: incoming.size_hint(),
            incoming,
            keep,
            kept: Vec::new(),
            kept_bytes: 0,
            announced: headers::announced_trailers(head),
            trailers: None,
            state: State::Reading,
            lost: false,
            awaited: false,
            stall: Stall::new(idle),
        })))
    }

    /// Reads the body whole, if it is no larger than `limit` bytes. Trailers are dropped: a filter may change the
    /// body that they speak of.
    pub async fn read_whole(&self, limit: u64) -> Result<Bytes, ReadError> {
        let source = match self {
            Self::Whole(bytes) if bytes.len() as u64 > limit => return Err(ReadError::TooLarge),
            Self::Whole(bytes) => return Ok(bytes.clone()),
            Self::Streaming(source) => source,
        };
        if source.borrow().size.lower() > limit {
            return Err(ReadError::TooLarge);
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = std::future::poll_fn(|cx| source.borrow_mut().poll_chunk(cx)).await? {
            if (whole.len() + chunk.len()) as u64 > limit {
                return Err(ReadError::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The body for one attempt. Two of them are never read at once: an attempt is dropped before the next is made.
    pub fn attempt(&self) -> AttemptBody {
        match self {
            Self::Whole(bytes) => AttemptBody(Reader::Whole(Some(bytes.clone()).filter(|b| !b.is_empty()))),
            Self::Streaming(source) => {
                AttemptBody(Reader::Streaming { source: source.clone(), next: 0, trailed: false })
            }
        }
    }

    /// True if a further attempt could send all of it.
    pub fn can_replay(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streaming(source) => {
                let source = source.borrow();
                !source.lost && !matches!(source.state, State::Failed(_))
            }
        }
    }

    /// There will be no further attempt: what was kept for one is let go, as soon as the last attempt has sent it.
    pub fn settle(&self) {
        if let Self::Streaming(source) = self {
            source.borrow_mut().lost = true;
        }
    }

    /// True if it is the client that is waited for.
    pub fn is_awaited(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Streaming(source) => source.borrow().awaited,
        }
    }

    /// A number that grows whenever something has been read from the client.
    pub fn progress(&self) -> u64 {
        match self {
            Self::Whole(_) => 0,
            Self::Streaming(source) => source.borrow().kept_bytes,
        }
    }

    /// True if all of it has been read from the client.
    pub fn is_read(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Streaming(source) => matches!(source.borrow().state, State::Ended),
        }
    }

    /// How reading from the client failed, if it did: then an attempt's failure is not the upstream's.
    pub fn failure(&self) -> Option<ReadError> {
        match self {
            Self::Whole(_) => None,
            Self::Streaming(source) => match source.borrow().state {
                State::Failed(error) => Some(error),
                State::Reading | State::Ended => None,
            },
        }
    }
}

/// A kept piece costs some memory beside its bytes, and a body may come in pieces of one: there are a few, and one more for
/// so many bytes that may be kept.
const FEW: u64 = 16;
const PIECE: u64 = 64;
/// Shorter pieces are copied when they are kept, in bytes.
const SMALL: usize = 4 << 10;

/// The client's end of a body, and what has been kept of it.
#[derive(Debug)]
pub struct Source {
    incoming: Incoming,
    size: SizeHint,
    keep: u64,
    kept: Vec<Bytes>,
    kept_bytes: u64,
    /// The trailers that may come.
    announced: Vec<HeaderName>,
    trailers: Option<HeaderMap>,
    state: State,
    /// More than `keep` has been read: what was kept is gone.
    lost: bool,
    /// Somebody wants more, and the client has not sent it yet.
    awaited: bool,
    stall: Stall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed(ReadError),
}

impl Source {
    /// The next piece from the client; none at the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        loop {
            match self.state {
                State::Ended => return Poll::Ready(Ok(None)),
                State::Failed(error) => return Poll::Ready(Err(error)),
                State::Reading => {}
            }
            let frame = Pin::new(&mut self.incoming).poll_frame(cx);
            self.awaited = frame.is_pending();
            let Poll::Ready(frame) = frame else {
                ready!(self.stall.poll_stalled(cx));
                self.state = State::Failed(ReadError::Stalled);
                continue;
            };
            self.stall.moved();
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => self.state = State::Ended,
                Some(Err(_)) => self.state = State::Failed(ReadError::Broken),
                Some(Ok(Ok(chunk))) => {
                    // Nobody asks again once `content-length` bytes have come.
                    if self.incoming.is_end_stream() {
                        self.state = State::Ended;
                    }
                    return Poll::Ready(Ok(Some(chunk)));
                }
                Some(Ok(Err(frame))) => {
                    self.trailers = frame.into_trailers().ok();
                    if let Some(trailers) = &mut self.trailers {
                        headers::strip_trailers(trailers);
                        headers::strip_unannounced(trailers, &self.announced);
                    }
                }
            }
        }
    }

    /// The piece of that number, from what was kept or from the client.
    fn poll_piece(&mut self, next: usize, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        let lost = self.lost;
        if let Some(kept) = self.kept.get_mut(next) {
            let piece = if lost { std::mem::take(kept) } else { kept.clone() };
            return Poll::Ready(Ok(Some(piece)));
        }
        let chunk = ready!(self.poll_chunk(cx));
        if let Ok(Some(chunk)) = &chunk {
            self.remember(chunk);
        }
        Poll::Ready(chunk)
    }

    fn remember(&mut self, chunk: &Bytes) {
        self.kept_bytes += chunk.len() as u64;
        if self.lost || self.kept_bytes > self.keep || self.kept.len() as u64 > self.keep / PIECE + FEW {
            self.lost = true;
            self.kept = Vec::new();
        } else if chunk.len() < SMALL {
            // It lies in a buffer of the connection's, which would be kept with it.
            self.kept.push(Bytes::copy_from_slice(chunk));
        } else {
            self.kept.push(chunk.clone());
        }
    }
}

/// The request's body as one attempt sends it.
#[derive(Debug)]
pub struct AttemptBody(Reader);

#[derive(Debug)]
enum Reader {
    Whole(Option<Bytes>),
    Streaming { source: Rc<RefCell<Source>>, next: usize, trailed: bool },
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (source, next, trailed) = match &mut self.0 {
            Reader::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Reader::Streaming { source, next, trailed } => (source, next, trailed),
        };
        let mut source = source.borrow_mut();
        match ready!(source.poll_piece(*next, cx)) {
            Err(error) => Poll::Ready(Some(Err(error.into()))),
            Ok(Some(chunk)) => {
                *next += 1;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Ok(None) if std::mem::replace(trailed, true) => Poll::Ready(None),
            Ok(None) => Poll::Ready(source.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Reader::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Reader::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Reader::Streaming { source, .. } => source.borrow().size,
        }
    }
}
