//! Reads a capture file in parts: the reader is a resource.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hep_pcap::{FileError, Found, Inside, Next, Options, Reader, Reason};
use rustler::types::tuple::make_tuple;
use rustler::{Atom, Binary, Encoder, Env, NewBinary, NifResult, Resource, ResourceArc, Term};

/// The maximum number of packets per call.
const MAX_PACKETS: usize = 256;
const MAX_BYTES: usize = 1 << 20;

rustler::atoms! {
    hep,
    sip,
    again,
    incomplete,
    end = "eof",
    error,
    undefined,
    not_pcap,
    truncated,
    invalid_gzip,
    too_large,
    invalid_block,
    unknown_interface,
    too_many_interfaces,
    frames,
    other,
    not_ip,
    unknown_link,
    fragments_dropped,
    tcp_missing,
    tcp_incomplete,
}

struct PcapReader(Mutex<Reader>);

impl PcapReader {
    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[rustler::resource_impl]
impl Resource for PcapReader {}

/// A reader that looks for HEP on a list of ports, or on `any`.
#[rustler::nif]
fn pcap_open(ports: Term<'_>) -> NifResult<ResourceArc<PcapReader>> {
    let ports = if ports.is_atom() {
        None
    } else {
        // Reading an improper list would panic.
        ports.list_length()?;
        Some(ports.decode::<Vec<u16>>()?)
    };
    Ok(ResourceArc::new(PcapReader(Mutex::new(Reader::new(Options { ports })))))
}

/// `{again | incomplete | eof | {error, Error}, [Found]}`: adds the next bytes, or `eof` after the last ones.
#[rustler::nif(schedule = "DirtyCpu")]
#[expect(clippy::needless_pass_by_value, reason = "rustler passes arguments by value")]
fn pcap_read<'a>(env: Env<'a>, reader: ResourceArc<PcapReader>, bytes: Term<'a>) -> NifResult<Term<'a>> {
    let mut reader = reader.reader();
    if bytes.is_atom() {
        reader.finish();
    } else {
        reader.feed(&bytes.decode::<Binary<'_>>()?);
    }
    let mut list = Vec::new();
    let mut size = 0_usize;
    let status = loop {
        if list.len() >= MAX_PACKETS || size >= MAX_BYTES {
            break again().encode(env);
        }
        match reader.read() {
            Next::Found(found) => {
                size = size.saturating_add(found.bytes.len());
                list.push(packet(env, &found));
            }
            Next::Incomplete => break incomplete().encode(env),
            Next::End => break end().encode(env),
            Next::Error(FileError { offset, reason }) => {
                break (error(), (offset, self::reason(env, reason))).encode(env);
            }
        }
    };
    Ok((status, list).encode(env))
}

/// The counts, see `hep_pcap:stats()`.
#[rustler::nif]
#[expect(clippy::needless_pass_by_value, reason = "rustler passes arguments by value")]
fn pcap_stats(env: Env<'_>, reader: ResourceArc<PcapReader>) -> NifResult<Term<'_>> {
    let stats = reader.reader().stats();
    let pairs = [
        (frames(), stats.frames),
        (hep(), stats.hep),
        (sip(), stats.sip),
        (other(), stats.other),
        (not_ip(), stats.not_ip),
        (unknown_link(), stats.unknown_link),
        (fragments_dropped(), stats.fragments_dropped),
        (tcp_missing(), stats.tcp_missing),
        (tcp_incomplete(), stats.tcp_incomplete),
    ];
    Term::map_from_pairs(env, &pairs)
}

/// `{hep | sip, Time, Protocol, Source, Destination, Bytes}`
fn packet<'a>(env: Env<'a>, found: &Found) -> Term<'a> {
    let inside: Atom = match found.inside {
        Inside::Hep => hep(),
        Inside::Sip => sip(),
    };
    let time = found.time.map_or_else(|| undefined().encode(env), |time| time.encode(env));
    let mut bytes = NewBinary::new(env, found.bytes.len());
    bytes.as_mut_slice().copy_from_slice(&found.bytes);
    let [source, destination] = [found.source, found.destination].map(|socket| address(env, socket));
    (inside, time, found.protocol, source, destination, Term::from(bytes)).encode(env)
}

fn address(env: Env<'_>, socket: SocketAddr) -> Term<'_> {
    let ip = match socket.ip() {
        IpAddr::V4(ip) => make_tuple(env, &ip.octets().map(|octet| octet.encode(env))),
        IpAddr::V6(ip) => make_tuple(env, &ip.segments().map(|word| word.encode(env))),
    };
    (ip, socket.port()).encode(env)
}

fn reason(env: Env<'_>, reason: Reason) -> Term<'_> {
    match reason {
        Reason::NotPcap => not_pcap().encode(env),
        Reason::Truncated => truncated().encode(env),
        Reason::InvalidGzip => invalid_gzip().encode(env),
        Reason::TooLarge(length) => (too_large(), length).encode(env),
        Reason::InvalidBlock => invalid_block().encode(env),
        Reason::UnknownInterface(id) => (unknown_interface(), id).encode(env),
        Reason::TooManyInterfaces => too_many_interfaces().encode(env),
    }
}
