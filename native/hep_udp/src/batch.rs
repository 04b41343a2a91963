//! Systems with `recvmmsg`.

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg};

use crate::Datagram;

pub(crate) const BATCH: usize = 16;

/// One call: reads at most `wanted` datagrams into buffers of `size` bytes, and returns their number.
pub(crate) fn receive(
    socket: &UdpSocket,
    buffers: &mut [u8],
    size: usize,
    wanted: usize,
    each: &mut impl FnMut(Datagram<'_>),
) -> io::Result<usize> {
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(wanted, None);
    let mut buffers = buffers.chunks_exact_mut(size);
    let mut slices: [_; BATCH] = array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
    let slices = slices.iter_mut().take(wanted);
    let messages = recvmmsg(socket.as_raw_fd(), &mut headers, slices, MsgFlags::MSG_DONTWAIT, None)?;
    let mut count: usize = 0;
    for message in messages {
        count = count.saturating_add(1);
        let source = source(&message).unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let bytes = message.iovs().next().unwrap_or_default();
        each(Datagram { source, bytes, is_truncated: message.flags.contains(MsgFlags::MSG_TRUNC) });
    }
    Ok(count)
}

/// A UDP socket of the one or the other family always has one.
fn source(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<SocketAddr> {
    let address = message.address?;
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddr::from(*address));
    }
    let address = SocketAddr::from(*address.as_sockaddr_in6()?);
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}
