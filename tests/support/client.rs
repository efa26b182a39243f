//! A client: a socket that writes just what a test says.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Message, PATIENCE};

/// A client's connection.
#[derive(Debug)]
pub struct Client {
    /// The reading side; `get_ref` is the socket.
    pub stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("a writable connection");
        self
    }

    /// Reads a final response, past interim ones.
    pub fn receive(&mut self) -> Message {
        self.try_receive(false).expect("a response")
    }

    /// Reads the response to a HEAD request.
    pub fn receive_head(&mut self) -> Message {
        self.try_receive(true).expect("a response")
    }

    /// Reads a final response; none if the connection ended before.
    pub fn try_receive(&mut self, head: bool) -> Option<Message> {
        loop {
            let mut message = Message::read_head(&mut self.stream)?;
            if message.status() >= 200 {
                if !head && !matches!(message.status(), 204 | 304) {
                    message.read_content(&mut self.stream);
                }
                return Some(message);
            }
        }
    }

    /// Sends a request without content, on this connection, and reads the response.
    pub fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).receive()
    }

    /// Sends JSON, on this connection, with further fields (each ending in CRLF), and reads the response.
    pub fn post(&mut self, path: &str, fields: &str, json: &str) -> Message {
        let length = json.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{fields}\r\n{json}"
        ))
        .receive()
    }

    /// True if the other side closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it, too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}
