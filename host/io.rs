//! A socket that can be asked what has happened on it: whether anything came in, whether writing is blocked, and that
//! takes interim responses, which `hyper`'s server has no way to send.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How many bytes of interim responses may wait; more are dropped.
const MAX_INTERIM: usize = 64 << 10;

/// What is known of a socket, shared between it and whoever watches.
#[derive(Debug, Default)]
pub struct Watch {
    received: Cell<bool>,
    blocked_since: Cell<Option<Instant>>,
    interim: RefCell<Interim>,
}

#[derive(Debug, Default)]
struct Interim {
    bytes: Vec<u8>,
    written: usize,
}

impl Watch {
    /// True if anything has come in since the last call of `forget`.
    pub fn has_received(&self) -> bool {
        self.received.get()
    }

    /// Begins to watch for input anew.
    pub fn forget(&self) {
        self.received.set(false);
    }

    /// Since when the other side has taken nothing of what was to be written.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since.get()
    }

    /// Puts an interim response in line: it goes out when `hyper` has nothing half-written, that is, before the
    /// final response, and not at all if that comes first.
    pub fn push_interim(&self, bytes: &[u8]) {
        let mut interim = self.interim.borrow_mut();
        if interim.bytes.len() + bytes.len() <= MAX_INTERIM {
            interim.bytes.extend_from_slice(bytes);
        }
    }
}

/// A stream with a [`Watch`] on it.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    watch: Rc<Watch>,
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// The stream, watched.
    pub fn new(stream: S, watch: Rc<Watch>) -> Self {
        Self { stream, watch }
    }

    /// Notes how a write went.
    fn note<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match done {
            Poll::Ready(_) => self.watch.blocked_since.set(None),
            Poll::Pending if self.watch.blocked_since.get().is_none() => {
                self.watch.blocked_since.set(Some(Instant::now()));
            }
            Poll::Pending => {}
        }
        done
    }

    /// Writes the interim responses in line, from where it stopped.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watch = self.watch.clone();
        let mut interim = watch.interim.borrow_mut();
        while interim.written < interim.bytes.len() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &interim.bytes[interim.written..]);
            match ready!(self.note(written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => interim.written += written,
            }
        }
        *interim = Interim::default();
        Poll::Ready(Ok(()))
    }

    /// Before `hyper` writes: what was begun is ended, what was not is too late.
    fn settle_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.watch.interim.borrow().written;
        if written == 0 {
            *self.watch.interim.borrow_mut() = Interim::default();
            return Poll::Ready(Ok(()));
        }
        self.poll_interim(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.received.set(true);
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.settle_interim(cx))?;
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.settle_interim(cx))?;
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(flavor = "current_thread")]
    async fn an_interim_response_goes_out_before_what_follows() {
        let (near, mut far) = tokio::io::duplex(8);
        let watch = Rc::new(Watch::default());
        let mut stream = Watched::new(near, watch.clone());
        watch.push_interim(b"HTTP/1.1 103 Early Hints\r\n\r\n");
        let writing = async {
            stream.flush().await.unwrap();
            stream.write_all(b"final").await.unwrap();
            drop(stream);
        };
        let mut got = String::new();
        let (_, read) = tokio::join!(writing, far.read_to_string(&mut got));
        read.unwrap();
        assert_eq!(got, "HTTP/1.1 103 Early Hints\r\n\r\nfinal");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_interim_response_that_comes_too_late_is_dropped() {
        let (near, mut far) = tokio::io::duplex(64);
        let watch = Rc::new(Watch::default());
        let mut stream = Watched::new(near, watch.clone());
        stream.write_all(b"fi").await.unwrap();
        watch.push_interim(b"103");
        stream.write_all(b"nal").await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
        let mut got = String::new();
        far.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "final");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_blocked_write_is_noted_until_it_goes_on() {
        let (near, mut far) = tokio::io::duplex(4);
        let watch = Rc::new(Watch::default());
        let mut stream = Watched::new(near, watch.clone());
        stream.write_all(b"full").await.unwrap();
        assert!(watch.blocked_since().is_none());
        let blocked =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut stream).poll_write(cx, b"x"))).await;
        assert!(blocked.is_pending() && watch.blocked_since().is_some());
        far.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert!(watch.blocked_since().is_none());
    }
}
