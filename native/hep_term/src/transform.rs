//! The transformed view: `[{Name, Value}]` of the generic chunks.

use core::net::{Ipv4Addr, Ipv6Addr};

use hep::registry::{GenericChunk, Kind};

use crate::record::inet;
use crate::{Atom, TermBuilder, TermReader, Terms};

/// `erlang:timestamp()` counts in millions of seconds.
const MEGA: u64 = 1_000_000;

/// `[{Name, Value}]` of a list of `{<<VendorId:16, ChunkId:16>>, Value}`: the generic chunks that have
/// a transformed form, in order. The atom `dirty` when there are more than `limit` chunks; `None` when
/// the term is no such list.
pub fn transform<B: TermReader>(builder: &B, chunks: &B::Term, limit: usize) -> Option<B::Term> {
    let mut properties = Terms::new();
    let mut budget = Budget::new(limit);
    let walked = builder.each(chunks, |chunk| {
        budget.spend()?;
        let [key, value] = builder.elements(&chunk)? else { return None };
        let (vendor, id) = builder.read_key(key)?;
        if vendor == 0
            && let Some(info) = GenericChunk::info(id)
            && let Some(value) = readable(builder, info.kind, value)
        {
            properties.push(builder.tuple([builder.name(id, info.name), value]));
        }
        Some(())
    });
    match walked {
        Some(()) => Some(builder.list(&properties)),
        None if budget.overdrawn => Some(builder.atom(Atom::Dirty)),
        None => None,
    }
}

/// `{ok, Name, Value} | no_call` of one generic chunk.
pub fn transform_chunk<B: TermReader>(builder: &B, id: u16, value: &B::Term) -> B::Term {
    match property(builder, id, value) {
        Some([name, value]) => builder.tuple([builder.atom(Atom::Ok), name, value]),
        None => builder.atom(Atom::NoCall),
    }
}

/// `[{Name, Value}]` of a `#hep{}`, in the order of the chunks' ids: what [`transform`] gives for the packet
/// that it was decoded from. The atom `dirty` when it has more than `limit` chunks; `None` when the term is no
/// such record.
pub fn transform_record<B: TermReader>(builder: &B, record: &B::Term, limit: usize) -> Option<B::Term> {
    let [
        _hep,
        _version,
        family,
        protocol,
        src_ip,
        src_port,
        dst_ip,
        dst_port,
        time,
        node_id,
        kind,
        payload,
        chunks,
    ] = builder.elements(record)?
    else {
        return None;
    };
    let undefined = builder.atom(Atom::Undefined);
    let mut properties: Vec<(u16, [B::Term; 2])> = Vec::new();
    let mut add = |chunk: GenericChunk, value: B::Term| {
        if value != undefined {
            let id = u16::from(chunk);
            properties.push((id, [builder.name(id, chunk.name().unwrap_or_default()), value]));
        }
    };
    let is_ipv6 = |address| builder.elements(address).is_some_and(|segments| segments.len() == 8);
    add(GenericChunk::ProtocolFamily, family.clone());
    add(GenericChunk::Protocol, protocol.clone());
    add(if is_ipv6(src_ip) { GenericChunk::Ipv6Source } else { GenericChunk::Ipv4Source }, src_ip.clone());
    add(
        if is_ipv6(dst_ip) { GenericChunk::Ipv6Destination } else { GenericChunk::Ipv4Destination },
        dst_ip.clone(),
    );
    add(GenericChunk::SourcePort, src_port.clone());
    add(GenericChunk::DestinationPort, dst_port.clone());
    if *time != undefined {
        let [mega, seconds, microseconds] = builder.elements(time)? else { return None };
        let seconds = builder.unsigned(mega)?.checked_mul(MEGA)?.checked_add(builder.unsigned(seconds)?)?;
        add(GenericChunk::Seconds, builder.integer(seconds));
        add(GenericChunk::Microseconds, microseconds.clone());
    }
    add(GenericChunk::PayloadType, kind.clone());
    add(GenericChunk::CaptureId, node_id.clone());
    add(GenericChunk::Payload, payload.clone());
    let mut budget = Budget::new(limit);
    let walked = builder.each(chunks, |chunk| {
        budget.spend()?;
        let [key, value] = builder.elements(&chunk)? else { return None };
        let [vendor, id] = builder.elements(key)? else { return None };
        // `{Length, Value}`, or the value alone.
        let value = builder.elements(value).and_then(<[_]>::last).unwrap_or(value);
        let id = u16::try_from(builder.unsigned(id)?).ok()?;
        if builder.unsigned(vendor)? == 0
            && let Some(property) = property(builder, id, value)
        {
            properties.push((id, property));
        }
        Some(())
    });
    if budget.overdrawn {
        return Some(builder.atom(Atom::Dirty));
    }
    walked?;
    properties.sort_by_key(|&(id, _)| id);
    let properties: Terms<_> = properties.into_iter().map(|(_, property)| builder.tuple(property)).collect();
    Some(builder.list(&properties))
}

/// How many chunks may still be walked.
struct Budget {
    left: usize,
    overdrawn: bool,
}

impl Budget {
    const fn new(limit: usize) -> Self {
        Self { left: limit, overdrawn: false }
    }

    fn spend(&mut self) -> Option<()> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.overdrawn = true,
        }
        (!self.overdrawn).then_some(())
    }
}

/// The name and the value of a generic chunk; `None` when it is unknown or of a wrong width.
fn property<B: TermReader>(builder: &B, id: u16, value: &B::Term) -> Option<[B::Term; 2]> {
    let info = GenericChunk::info(id)?;
    let value = readable(builder, info.kind, value)?;
    Some([builder.name(id, info.name), value])
}

/// The value of a chunk in readable form; `None` when it is of a wrong width.
#[inline]
fn readable<B: TermReader>(builder: &B, kind: Kind, value: &B::Term) -> Option<B::Term> {
    match kind {
        Kind::Octets => builder.is_binary(value).then(|| value.clone()),
        kind => typed(builder, kind, builder.bytes(value)?),
    }
}

/// An integer or an address; `None` when the width is wrong.
#[inline]
fn typed<B: TermBuilder>(builder: &B, kind: Kind, bytes: &[u8]) -> Option<B::Term> {
    Some(match kind {
        Kind::Uint8 => builder.integer(u8::from_be_bytes(bytes.try_into().ok()?).into()),
        Kind::Uint16 => builder.integer(u16::from_be_bytes(bytes.try_into().ok()?).into()),
        Kind::Uint32 => builder.integer(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Kind::Uint64 => builder.integer(u64::from_be_bytes(bytes.try_into().ok()?)),
        Kind::Inet4 => inet(builder, Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        Kind::Inet6 => inet(builder, Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        Kind::Octets => builder.binary(bytes),
    })
}
