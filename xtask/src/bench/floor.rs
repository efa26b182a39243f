//! The floor that every proxy stands on: a byte pump. For each request it reads from the client, writes to the
//! upstream, reads and writes back, four system calls, and knows nothing of HTTP. One thread, one epoll set, one
//! upstream connection for each client's.
//!
//! Sockets block on writing. That is right for requests and responses that fit a socket's buffer, which is all that
//! it is used for.

use rustix::event::epoll;
use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::process::ExitCode;

/// What the hidden command `bench-floor` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The port to listen on, on loopback.
    port: u16,
    /// The port of the upstream, on loopback.
    upstream: u16,
}

/// Pumps, until it is killed.
pub(crate) fn run(options: &Options) -> Result<ExitCode, String> {
    pump(options).map(|()| ExitCode::SUCCESS).map_err(|error| format!("the byte pump stops: {error}"))
}

/// A socket, and the key of the one that gets what is read from it.
struct End {
    stream: TcpStream,
    peer: u64,
}

fn pump(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let door = key(&listener);
    watch(&set, &listener, door)?;
    let mut ends = HashMap::new();
    let mut buffer = vec![0; 64 << 10];
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        // A process that was suspended and goes on is told so here, as an interruption.
        let wait = || epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None);
        rustix::io::retry_on_intr(wait)?;
        for event in &events {
            let source = event.data.u64();
            if source == door {
                join(&set, &listener, options.upstream, &mut ends)?;
            } else if !forward(source, &mut ends, &mut buffer)
                && let Some(end) = ends.remove(&source)
            {
                ends.remove(&end.peer);
            }
        }
    }
}

/// Takes a client and connects it to the upstream.
fn join(
    set: &OwnedFd,
    listener: &TcpListener,
    upstream: u16,
    ends: &mut HashMap<u64, End>,
) -> io::Result<()> {
    let (client, _) = listener.accept()?;
    let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream))?;
    let (near, far) = (key(&client), key(&upstream));
    for (stream, peer) in [(client, far), (upstream, near)] {
        stream.set_nodelay(true)?;
        watch(set, &stream, key(&stream))?;
        ends.insert(key(&stream), End { stream, peer });
    }
    Ok(())
}

/// Moves what has arrived at one end to the other; false when the connection is over. An end that is gone already
/// had an event of the same turn, and there is nothing to move.
fn forward(source: u64, ends: &mut HashMap<u64, End>, buffer: &mut [u8]) -> bool {
    let Some(end) = ends.get_mut(&source) else { return true };
    let peer = end.peer;
    let Ok(length @ 1..) = end.stream.read(buffer) else { return false };
    ends.get_mut(&peer).is_some_and(|end| end.stream.write_all(&buffer[..length]).is_ok())
}

fn watch(set: &OwnedFd, socket: impl AsFd, key: u64) -> io::Result<()> {
    Ok(epoll::add(set, socket, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
}

/// A socket's file descriptor, which is its own for as long as it is open.
fn key(socket: &impl AsFd) -> u64 {
    u64::from(socket.as_fd().as_raw_fd().unsigned_abs())
}
