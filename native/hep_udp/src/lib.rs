//! Receives UDP datagrams in batches.
//!
//! One system call (`recvmmsg`) reads up to [`BATCH`] datagrams on Linux, Android, FreeBSD and NetBSD; other
//! systems read them one by one. The crate does not depend on the datagrams' contents.
//!
//! ```
//! use std::net::UdpSocket;
//! use hep_udp::{Limits, Receiver};
//!
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! UdpSocket::bind("127.0.0.1:0")?.send_to(b"hello", socket.local_addr()?)?;
//! let mut receiver = Receiver::new(socket)?;
//! let limits = Limits { datagrams: 100, bytes: 1 << 20 };
//! let mut all = Vec::new();
//! receiver.receive(limits, |datagram| all.push((datagram.source, datagram.bytes.to_vec())))?;
//! assert_eq!(all[0].1, b"hello");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Memory
//!
//! A receiver allocates [`Receiver::MEMORY`] bytes, once. The system provides pages as datagrams fill them: a
//! receiver of datagrams below 4 KiB uses [`BATCH`] pages.

#![forbid(unsafe_code)]

#[cfg_attr(
    any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd"),
    path = "batch.rs"
)]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd")),
    path = "single.rs"
)]
mod system;

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// The maximum number of datagrams per system call.
pub const BATCH: usize = system::BATCH;

/// The size of a buffer for one datagram. No datagram is larger: its length is a number of 16 bits.
pub const DATAGRAM: usize = 65_536;

/// A socket, and the buffers to read from it.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    buffers: Box<[u8]>,
    /// The size of a buffer: [`DATAGRAM`], except in tests.
    size: usize,
    /// An error that followed datagrams already passed on: the result of the next call.
    error: Option<io::Error>,
}

/// A received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender. An IPv4 sender has an IPv4 address, also on a socket of both families.
    pub source: SocketAddr,
    /// The contents, complete unless truncated; empty for an empty datagram.
    pub bytes: &'a [u8],
    /// Whether it was larger than the buffer, and its end is lost.
    pub is_truncated: bool,
}

/// The limits of a call of [`Receiver::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most this many datagrams, and at least one.
    pub datagrams: usize,
    /// At most this many bytes. If below [`DATAGRAM`], one datagram of any size is read.
    pub bytes: usize,
}

/// The result of a call of [`Receiver::receive`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// How many datagrams.
    pub datagrams: usize,
    /// The sum of their sizes.
    pub bytes: usize,
    /// Whether a limit ended the call, so that more may be available.
    pub is_full: bool,
}

impl Receiver {
    /// The memory that a receiver allocates, in bytes.
    pub const MEMORY: usize = BATCH * DATAGRAM;

    /// Takes a bound socket and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// The system's error for the socket.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        Self::with_size(socket, DATAGRAM)
    }

    fn with_size(socket: UdpSocket, size: usize) -> io::Result<Self> {
        // Rejects anything but a socket of one of the two families.
        socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let buffers = vec![0; BATCH.saturating_mul(size)].into_boxed_slice();
        Ok(Self { socket, buffers, size, error: None })
    }

    /// Calls `each` with every available datagram, up to the limits. Does not wait.
    ///
    /// # Errors
    ///
    /// The system's error for the socket. It loses no datagram: an error that follows datagrams is the result of
    /// the next call.
    pub fn receive(&mut self, limits: Limits, mut each: impl FnMut(Datagram<'_>)) -> io::Result<Received> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut all = Received::default();
        loop {
            let wanted = self.wanted(limits, all);
            if wanted == 0 {
                return Ok(Received { is_full: true, ..all });
            }
            let mut count = |datagram: Datagram<'_>| {
                all.datagrams = all.datagrams.saturating_add(1);
                all.bytes = all.bytes.saturating_add(datagram.bytes.len());
                each(datagram);
            };
            match system::receive(&self.socket, &mut self.buffers, self.size, wanted, &mut count) {
                // Fewer than asked for: there are no more.
                Ok(count) if count < wanted => return Ok(all),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(all),
                    io::ErrorKind::Interrupted => {}
                    _ if all.datagrams == 0 => return Err(error),
                    _ => {
                        self.error = Some(error);
                        return Ok(all);
                    }
                },
            }
        }
    }

    /// The number of datagrams for the next system call: as many as fit if all have the maximum size.
    fn wanted(&self, limits: Limits, all: Received) -> usize {
        let room = limits.bytes.saturating_sub(all.bytes).checked_div(self.size).unwrap_or(0);
        let left = limits.datagrams.saturating_sub(all.datagrams);
        let wanted = left.min(room).min(BATCH);
        if all.datagrams == 0 { wanted.max(1) } else { wanted }
    }
}

#[cfg(test)]
mod tests;
