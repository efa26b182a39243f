//! A connection to an upstream as bytes: what is to be written, what has been read, and the timer that watches it. The
//! exchange that has the connection polls it in its own task: a task of the connection's own would cost two wake-ups
//! and two queues a request.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes are asked for at once: at first, and when they come faster than they are taken.
const FIRST_READ: usize = 8 << 10;
const MAX_READ: usize = 64 << 10;

/// Content up to this length is copied behind the head, so that both go in one piece; longer content is written from
/// where it lies. A plain write of one piece costs the kernel less than a vectored one of two.
const COPIED: usize = 4 << 10;

/// Why nothing more can be sent or received.
#[derive(Debug)]
pub(super) enum Broken {
    /// The other side closed the connection before the message was whole.
    Closed,
    /// The socket failed.
    Io(io::Error),
    /// What came is not HTTP.
    Parse(String),
    /// The request's body broke off: its [`RequestBody`](crate::body::RequestBody) knows why.
    Request(crate::body::BoxError),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed before the message was whole"),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::Parse(what) => write!(f, "no HTTP: {what}"),
            Self::Request(error) => write!(f, "the request broke off: {error}"),
        }
    }
}

impl std::error::Error for Broken {}

/// A connection to an upstream.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Read, and not understood yet.
    pub(super) input: BytesMut,
    /// To be written first.
    pub(super) output: BytesMut,
    /// To be written after that, and then a line break if it is a chunk.
    bulk: Bytes,
    line_break: &'static [u8],
    appetite: usize,
    /// What has been written and read for the exchange under way.
    pub(super) has_sent: bool,
    pub(super) has_received: bool,
    /// One timer for all exchanges: moving it back costs next to nothing, and a new one is registered and removed.
    timer: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            bulk: Bytes::new(),
            line_break: b"",
            appetite: FIRST_READ,
            has_sent: false,
            has_received: false,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// A new exchange begins.
    pub(super) fn begin(&mut self) {
        self.has_sent = false;
        self.has_received = false;
    }

    /// True if an idle connection is of no use any more: the other side has closed it, or said something unasked.
    /// Costs no system call while nothing has happened on the socket.
    pub(super) fn is_spent(&self) -> bool {
        let is_silent =
            || self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        !(self.is_settled() && is_silent())
    }

    /// True if nothing is left to be written or understood.
    pub(super) fn is_settled(&self) -> bool {
        self.input.is_empty() && self.is_flushed()
    }

    /// Lets go of buffers: an idle connection needs none.
    pub(super) fn rest(&mut self) {
        self.input = BytesMut::new();
        self.output = BytesMut::new();
        self.appetite = FIRST_READ;
    }

    /// Ready at that time.
    pub(super) fn poll_until(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() != until {
            self.timer.as_mut().reset(until);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Puts content in line. What was put there before has been written.
    pub(super) fn queue(&mut self, content: Bytes, line_break: &'static [u8]) {
        if content.len() <= COPIED {
            self.output.extend_from_slice(&content);
            self.output.extend_from_slice(line_break);
        } else {
            self.bulk = content;
            self.line_break = line_break;
        }
    }

    /// True if more should be put in line before writing.
    pub(super) fn has_room(&self) -> bool {
        self.bulk.is_empty() && self.line_break.is_empty() && self.output.len() <= COPIED
    }

    fn is_flushed(&self) -> bool {
        self.output.is_empty() && self.bulk.is_empty() && self.line_break.is_empty()
    }

    /// Writes all that is in line.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let stream = Pin::new(&mut self.stream);
            let written = if self.bulk.is_empty() && self.line_break.is_empty() {
                stream.poll_write(cx, &self.output)
            } else {
                let slices = [&self.output[..], &self.bulk[..], self.line_break].map(IoSlice::new);
                stream.poll_write_vectored(cx, &slices)
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut bytes: usize) {
        self.has_sent = true;
        let of_output = bytes.min(self.output.len());
        self.output.advance(of_output);
        bytes -= of_output;
        let of_bulk = bytes.min(self.bulk.len());
        self.bulk.advance(of_bulk);
        bytes -= of_bulk;
        self.line_break = self.line_break.get(bytes..).unwrap_or_default();
    }

    /// Reads more; 0 bytes are the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.appetite);
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
        self.has_received |= read > 0;
        if read == room {
            self.appetite = (self.appetite * 2).min(MAX_READ);
        }
        Poll::Ready(Ok(read))
    }
}
