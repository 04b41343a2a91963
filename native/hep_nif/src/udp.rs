//! A UDP socket owned by a process, for reading many datagrams in one call.
//!
//! The VM's `socket` opens and owns the socket. `udp_attach` duplicates its descriptor, so that no call reads a
//! descriptor that the VM has closed and reused. The duplicate keeps the port bound; it is closed by
//! `udp_close`, when the process that attached it ends, and when no term refers to it any more.

#![expect(clippy::needless_pass_by_value, reason = "rustler passes arguments by value")]

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hep_udp::{Limits, Receiver};
use rustler::types::tuple::make_tuple;
use rustler::{
    Atom, Encoder, Env, LocalPid, Monitor, NewBinary, Resource, ResourceArc, Term, resource_impl, schedule,
};

/// The maximum of one call: well under a millisecond of work.
const LIMITS: Limits = Limits { datagrams: 256, bytes: 1 << 20 };

/// More buffers would never be filled.
const _: () = assert!(Receiver::MEMORY <= LIMITS.bytes);

rustler::atoms! {
    ok,
    error,
    all,
    more,
    closed,
    errno,
    invalid = "einval",
    not_supported = "enotsup",
    out_of_memory = "enomem",
    connection_refused = "econnrefused",
    host_unreachable = "ehostunreach",
    network_unreachable = "enetunreach",
}

/// `None` if it is closed.
struct Socket(Mutex<Option<Receiver>>);

impl Socket {
    /// Waits for the call that is reading, if one is.
    fn receiver(&self) -> MutexGuard<'_, Option<Receiver>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        drop(self.receiver().take());
    }
}

#[resource_impl]
impl Resource for Socket {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.close();
    }
}

#[rustler::nif]
fn udp_attach(env: Env<'_>, descriptor: i32) -> Term<'_> {
    let receiver = match duplicate(descriptor).and_then(Receiver::new) {
        Ok(receiver) => receiver,
        Err(failure) => return failed(env, &failure),
    };
    let socket = ResourceArc::new(Socket(Mutex::new(Some(receiver))));
    match env.monitor(&socket, &env.pid()) {
        Some(_) => (ok(), socket).encode(env),
        // The process is terminating.
        None => (error(), closed()).encode(env),
    }
}

#[rustler::nif]
fn udp_read(env: Env<'_>, socket: ResourceArc<Socket>, datagrams: usize, bytes: usize) -> Term<'_> {
    let start = Instant::now();
    let limits = Limits { datagrams: datagrams.min(LIMITS.datagrams), bytes: bytes.min(LIMITS.bytes) };
    let mut list = Vec::new();
    let mut sources = Sources { env, last: None };
    let result = match socket.receiver().as_mut() {
        Some(receiver) => receiver.receive(limits, |datagram| {
            // A separate binary, so that keeping it does not keep other datagrams in memory.
            let mut bytes = NewBinary::new(env, datagram.bytes.len());
            bytes.as_mut_slice().copy_from_slice(datagram.bytes);
            list.push((sources.term(datagram.source), Term::from(bytes)).encode(env));
        }),
        None => return (error(), closed()).encode(env),
    };
    // In hundredths of a timeslice of a millisecond.
    let percent = i32::try_from(start.elapsed().as_micros() / 10).unwrap_or(100).clamp(1, 100);
    schedule::consume_timeslice(env, percent);
    match result {
        Ok(received) => (if received.is_full { more() } else { all() }, list).encode(env),
        Err(failure) => failed(env, &failure),
    }
}

#[rustler::nif]
fn udp_close(socket: ResourceArc<Socket>) -> Atom {
    socket.close();
    ok()
}

#[cfg(unix)]
fn duplicate(descriptor: i32) -> io::Result<UdpSocket> {
    use std::os::fd::BorrowedFd;

    if descriptor < 0 {
        return Err(ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is not -1. The caller owns the socket, so that it stays open during the call; a number that is no
    // open descriptor is an error of the system.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(UdpSocket::from(borrowed.try_clone_to_owned()?))
}

#[cfg(not(unix))]
fn duplicate(_descriptor: i32) -> io::Result<UdpSocket> {
    Err(ErrorKind::Unsupported.into())
}

/// The term of the last sender: consecutive datagrams are often from the same sender, and share the term.
struct Sources<'a> {
    env: Env<'a>,
    last: Option<(SocketAddr, Term<'a>)>,
}

impl<'a> Sources<'a> {
    fn term(&mut self, source: SocketAddr) -> Term<'a> {
        match self.last {
            Some((last, term)) if last == source => term,
            _ => {
                let ip = match source.ip() {
                    IpAddr::V4(ip) => make_tuple(self.env, &ip.octets().map(|octet| octet.encode(self.env))),
                    IpAddr::V6(ip) => make_tuple(self.env, &ip.segments().map(|word| word.encode(self.env))),
                };
                let term = (ip, source.port()).encode(self.env);
                self.last = Some((source, term));
                term
            }
        }
    }
}

fn failed<'a>(env: Env<'a>, failure: &io::Error) -> Term<'a> {
    let reason = match failure.kind() {
        ErrorKind::ConnectionRefused => connection_refused(),
        ErrorKind::HostUnreachable => host_unreachable(),
        ErrorKind::NetworkUnreachable => network_unreachable(),
        ErrorKind::OutOfMemory => out_of_memory(),
        ErrorKind::Unsupported => not_supported(),
        ErrorKind::InvalidInput => invalid(),
        _ => return (error(), (errno(), failure.raw_os_error().unwrap_or_default())).encode(env),
    };
    (error(), reason).encode(env)
}
