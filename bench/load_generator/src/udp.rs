//! Datagrams at a steady rate.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use crate::hostile::Mix;

/// The interval of sending, unless the machine is late.
const TICK: Duration = Duration::from_micros(250);
/// The maximum number of packets per call.
const BATCH: usize = 64;
/// The maximum speed of catching up, as a multiple of the rate.
const CATCH_UP: u64 = 2;

pub(crate) struct Pace {
    /// Packets per second.
    pub(crate) rate: u64,
    /// The total number.
    pub(crate) packets: u64,
    pub(crate) sockets: usize,
}

/// Sends to `to` and returns the duration. Batches alternate among the sockets.
pub(crate) fn send(to: SocketAddr, pace: &Pace, mix: &mut Mix) -> io::Result<Duration> {
    let sockets = (0..pace.sockets).map(|_| connect(to)).collect::<io::Result<Vec<_>>>()?;
    let mut next_socket = sockets.iter().cycle();
    let mut packets = vec![Vec::new(); BATCH];
    let limit = packets_in(TICK, pace.rate).saturating_mul(CATCH_UP).max(1);
    let start = Instant::now();
    let mut wake = start;
    let mut sent = 0;
    while sent < pace.packets {
        let wanted = packets_in(start.elapsed(), pace.rate).saturating_add(1).min(pace.packets);
        let mut due = wanted.saturating_sub(sent).min(limit);
        sent = sent.saturating_add(due);
        while due > 0 {
            let size = usize::try_from(due).unwrap_or(BATCH).min(BATCH);
            due = due.saturating_sub(size as u64);
            let (batch, _) = packets.split_at_mut(size);
            for packet in batch.iter_mut() {
                mix.write(packet);
            }
            if let Some(socket) = next_socket.next() {
                send_batch(socket, batch)?;
            }
        }
        let now = Instant::now();
        wake = wake.checked_add(TICK).map_or(now, |wake| wake.max(now));
        thread::sleep(wake.saturating_duration_since(now));
    }
    Ok(start.elapsed())
}

fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket)
}

fn packets_in(time: Duration, rate: u64) -> u64 {
    let packets = time.as_nanos().saturating_mul(u128::from(rate)) / 1_000_000_000;
    u64::try_from(packets).unwrap_or(u64::MAX)
}

fn send_batch(socket: &UdpSocket, packets: &[Vec<u8>]) -> io::Result<()> {
    let slices: Vec<[IoSlice<'_>; 1]> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
    let mut controls: Vec<_> = packets.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> =
        slices.iter().zip(&mut controls).map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
    let mut rest = messages.as_mut_slice();
    while !rest.is_empty() {
        match sendmmsg(socket, rest, SendFlags::empty()) {
            Ok(sent) => rest = rest.split_at_mut(sent).1,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
