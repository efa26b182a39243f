//! Bodies of the demo upstream, in and out. A request's body is read whole, up to a limit; an answer's body
//! is made piece by piece as the client takes it, and stalls or breaks off in its middle if told to.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep, timeout};

use super::misbehaviour::MiddleFault;
use super::provider::Failure;

/// Why a connection or a body ended early.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Bytes of a request's body that are kept.
const BODY_LIMIT: usize = 10 << 20;

/// Bytes of a request's body that are read at all. An answer that overtakes its request's body is often lost
/// to a reset, so what is over the limit is read and dropped; past this, the connection is closed on it.
const READ_LIMIT: usize = 64 << 20;

/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a body is cut into, in bytes.
const PIECE: u64 = 64 << 10;

/// Reads a request's body whole.
///
/// # Errors
/// 413 if it is over 10 MiB, 408 if it takes more than 30 s, 400 if it breaks off.
pub(super) async fn receive(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Failure> {
    let announced = body.size_hint().lower();
    if announced > BODY_LIMIT as u64 && headers.contains_key(header::EXPECT) {
        return Err(too_large()); // the client asked first: it has sent nothing that would be lost
    }
    let slow = Failure::new(StatusCode::REQUEST_TIMEOUT, "the request body took more than 30 s to arrive");
    timeout(BODY_TIMEOUT, collect(body)).await.map_err(|_| slow)?
}

async fn collect(mut body: Incoming) -> Result<Bytes, Failure> {
    let mut kept = BytesMut::new();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Failure::invalid(format!("the request body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read > READ_LIMIT {
            break;
        }
        if read > BODY_LIMIT {
            kept = BytesMut::new();
        } else {
            kept.extend_from_slice(&data);
        }
    }
    if read > BODY_LIMIT { Err(too_large()) } else { Ok(kept.freeze()) }
}

fn too_large() -> Failure {
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "the request body is larger than 10 MiB")
}

/// What an answer's body consists of.
pub(super) enum Content {
    /// Bytes at hand.
    Whole(Bytes),
    /// Pieces that are made when their turn comes; the middle is after `middle` of them.
    Pieces { pieces: Box<dyn Iterator<Item = Bytes> + Send>, middle: u64, length: Option<u64> },
    /// A head, then a request's body as it arrives.
    Echo { head: Bytes, body: Incoming },
}

impl Content {
    /// So many bytes of a pattern, made as they are sent.
    pub(super) fn pattern(length: u64) -> Self {
        let piece = length.div_ceil(2).clamp(1, PIECE);
        let pieces = (0..length.div_ceil(piece)).map(move |index| {
            let start = index * piece;
            let phase = (start % PATTERN_PERIOD) as usize;
            let size = piece.min(length - start) as usize;
            Bytes::from_static(&PATTERN[phase..phase + size])
        });
        Self::Pieces { pieces: Box::new(pieces), middle: length.div_ceil(piece) / 2, length: Some(length) }
    }
}

const PATTERN_PERIOD: u64 = 16;

/// One piece of the pattern, and a period more so that it can start anywhere in it.
static PATTERN: [u8; (PIECE + PATTERN_PERIOD) as usize] = {
    let mut bytes = [0; (PIECE + PATTERN_PERIOD) as usize];
    let mut index = 0;
    while index < bytes.len() {
        bytes[index] = b"0123456789abcdef"[index % PATTERN_PERIOD as usize];
        index += 1;
    }
    bytes
};

/// The end of a connection that a request's headers asked for.
#[derive(Debug)]
pub(super) struct ToldToBreak;

impl fmt::Display for ToldToBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request asked for a break")
    }
}

impl Error for ToldToBreak {}

/// An answer's body.
pub(super) struct AnswerBody {
    source: Source,
    length: Option<u64>,
    middle: u64,
    frames: u64,
    fault: Option<MiddleFault>,
    pause: Option<Pin<Box<Sleep>>>,
    rest: bool,
}

enum Source {
    Pieces(Box<dyn Iterator<Item = Bytes> + Send>),
    Echo { head: Option<Bytes>, body: Incoming },
}

impl AnswerBody {
    /// A body of `content` that meets `fault`, if any, in its middle.
    pub(super) fn new(content: Content, fault: Option<MiddleFault>) -> Self {
        let (source, middle, length) = match content {
            Content::Whole(bytes) => {
                let (first, rest) = if fault.is_some() { halves(bytes) } else { (bytes, Bytes::new()) };
                let length = (first.len() + rest.len()) as u64;
                let pieces = [first, rest].into_iter().filter(|piece| !piece.is_empty());
                (Source::Pieces(Box::new(pieces)), 1, Some(length))
            }
            Content::Pieces { pieces, middle, length } => (Source::Pieces(pieces), middle, length),
            Content::Echo { head, body } => {
                let length = body.size_hint().exact().map(|length| length.saturating_add(head.len() as u64));
                (Source::Echo { head: Some(head), body }, 1, length)
            }
        };
        Self { source, length, middle, frames: 0, fault, pause: None, rest: false }
    }

    /// Ready at once, except in the middle of a body that has a fault: there, when the fault is over.
    fn poll_fault(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ToldToBreak>> {
        let Some(fault) = self.fault.filter(|_| self.frames >= self.middle) else {
            return Poll::Ready(Ok(()));
        };
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(fault.pause())));
        ready!(pause.as_mut().poll(cx));
        self.fault = None;
        Poll::Ready(if fault.breaks { Err(ToldToBreak) } else { Ok(()) })
    }
}

fn halves(mut bytes: Bytes) -> (Bytes, Bytes) {
    let first = bytes.split_to(bytes.len() / 2);
    (first, bytes)
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.rest) {
            // hyper writes out what it has when a body is not ready: so each event goes out before the next
            // is made, and a client that takes gigabytes leaves turns to the others.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_fault(cx))?;
        let frame = match &mut this.source {
            Source::Pieces(pieces) => pieces.next().map(|piece| Ok(Frame::data(piece))),
            Source::Echo { head, body } => match head.take() {
                Some(head) => Some(Ok(Frame::data(head))),
                None => ready!(Pin::new(body).poll_frame(cx)),
            },
        };
        this.frames += 1;
        this.rest = frame.is_some();
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
