//! Systems without `recvmmsg`: one datagram per call.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::Datagram;

pub(crate) const BATCH: usize = 1;

/// One call: reads a datagram into the buffer of `size` bytes.
pub(crate) fn receive(
    socket: &UdpSocket,
    buffer: &mut [u8],
    _size: usize,
    _wanted: usize,
    each: &mut impl FnMut(Datagram<'_>),
) -> io::Result<usize> {
    let (length, source) = socket.recv_from(buffer)?;
    let (bytes, _) = buffer.split_at(length);
    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
    // A datagram that fills the buffer may be truncated: the standard library does not report it. None fills a buffer
    // of `DATAGRAM` bytes.
    each(Datagram { source, bytes, is_truncated: bytes.len() == buffer.len() });
    Ok(1)
}
