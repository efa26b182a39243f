//! The service behind Tollgate, played by a test: each connection gets a thread, and a function that does with the
//! socket whatever the test needs. If that panics, the test fails.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Message, PATIENCE};

/// An origin server.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    stop: AtomicBool,
    connections: AtomicUsize,
    requests: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A connection to the origin.
#[derive(Debug)]
pub struct Peer {
    /// The reading side; `get_ref` is the socket.
    pub stream: BufReader<TcpStream>,
    /// Which connection it is, counted from 0.
    pub number: usize,
    seen: Arc<Seen>,
    /// Goes last: with it goes the origin's own hold on the socket.
    _held: Held,
}

/// The origin's hold on a socket, so that it can end what still waits when the test is over. Nothing more: a connection
/// is closed when its [`Peer`] is gone.
#[derive(Debug)]
struct Held(Arc<Seen>, Option<SocketAddr>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.open.lock().unwrap().retain(|stream| stream.peer_addr().ok() != self.1);
    }
}

impl Origin {
    /// An origin that does `serve` with each connection, which is closed when that returns.
    pub fn raw(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (shared, serve) = (seen.clone(), Arc::new(serve));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                shared.open.lock().unwrap().push(stream.try_clone().unwrap());
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let held = Held(shared.clone(), stream.peer_addr().ok());
                let peer = Peer { stream: BufReader::new(stream), number, seen: shared.clone(), _held: held };
                let serve = serve.clone();
                let thread = std::thread::spawn(move || serve(peer));
                shared.threads.lock().unwrap().push(thread);
            }
        });
        Self { address, seen, accepting: Some(accepting) }
    }

    /// An origin that answers every request with what `answer` makes of it: the bytes of a response. Connections are
    /// kept alive.
    pub fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::raw(move |mut peer| {
            while let Some(request) = peer.request() {
                if peer.try_send(answer(&request)).is_err() {
                    return;
                }
            }
        })
    }

    /// An origin that answers 200 with the words "it works".
    pub fn working() -> Self {
        Self::answering(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nit works".to_vec())
    }

    /// An origin that answers every request with `answer`, and a receiver of the requests that it got.
    pub fn recording(answer: &'static str) -> (Self, Receiver<Message>) {
        let (sender, requests) = channel();
        let origin = Self::answering(move |request| {
            // The test may have seen enough.
            let _ = sender.send(request.clone());
            answer.as_bytes().to_vec()
        });
        (origin, requests)
    }

    /// Its address as an endpoint of a manifest.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many requests were read by [`Peer::request`] so far.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.seen.open.lock().unwrap().iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        let accepted = self.accepting.take().unwrap().join();
        let threads: Vec<_> = self.seen.threads.lock().unwrap().drain(..).collect();
        let served: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        if !std::thread::panicking() {
            accepted.unwrap();
            served.into_iter().for_each(|thread| thread.expect("the origin's side of the test"));
        }
    }
}

impl Peer {
    /// Reads a request; none when the other side closes.
    pub fn request(&mut self) -> Option<Message> {
        use std::io::BufRead;
        // A connection that is reset while it is idle has ended, no more.
        self.stream.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
        let request = Message::read_request(&mut self.stream)?;
        self.seen.requests.fetch_add(1, Ordering::SeqCst);
        Some(request)
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("a writable connection");
    }

    /// Writes bytes as they are, if the other side is still there.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.stream.get_ref());
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}
