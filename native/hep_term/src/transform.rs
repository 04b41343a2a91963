//! The transformed view: `[{Name, Value}]` of the generic chunks.

use core::net::{Ipv4Addr, Ipv6Addr};

use hep::Options;
use hep::registry::{ChunkInfo, GenericChunk, Kind};

use crate::clock::SystemClock;
use crate::encode::{Fields, RecordChunk, timestamp};
use crate::record::inet;
use crate::{Answer, Atom, CHUNKS, Stop, TermBuilder, TermReader, Terms, error, stay_short, with_unpacked};

/// `[{Name, Value}]` of a list of `{<<VendorId:16, ChunkId:16>>, Value}`: the generic chunks that have
/// a transformed form, in order.
pub fn transform<B: TermReader>(builder: &B, chunks: B::Input) -> Answer<B::Term> {
    let mut properties = Terms::new();
    let mut count = 0;
    let is_list = builder.each(chunks, |chunk| {
        walk(builder, &mut count)?;
        let [key, value] = builder.elements(chunk).ok_or(Stop::BadArgument)?;
        let (vendor, id) = builder.read_key(key).ok_or(Stop::BadArgument)?;
        if vendor == 0
            && let Some(info) = GenericChunk::info(id)
            && let Some(value) = readable(builder, info, value)
        {
            properties.push(builder.tuple([builder.name(id, info.name), value]));
        }
        Ok(())
    })?;
    if is_list { Ok(builder.list(&mut properties)) } else { Err(Stop::BadArgument) }
}

/// Counts a chunk.
#[inline]
fn walk<B: TermBuilder>(builder: &B, count: &mut usize) -> Answer<B::Term, ()> {
    *count = count.saturating_add(1);
    stay_short(builder, *count <= CHUNKS)
}

/// `{ok, Version, [{Name, Value}]} | {error, Reason}` of a packet: the same as [`transform`] of its chunks,
/// without a list of them in between.
pub fn transform_packet<B: TermBuilder>(builder: &B, input: &[u8], options: &Options) -> Answer<B::Term> {
    with_unpacked(builder, input, options, |input| properties(builder, input, options))
}

/// `{ok, Version, [{Name, Value}]} | {error, Reason}`
fn properties<B: TermBuilder>(builder: &B, input: &[u8], options: &Options) -> Answer<B::Term> {
    let refused = |reason| error(builder, input, reason);
    let parsed = hep::parse(input, options, SystemClock).map_err(refused)?;
    let mut properties = Terms::new();
    let mut count = 0;
    for chunk in parsed.chunks() {
        let chunk = chunk.map_err(refused)?;
        walk(builder, &mut count)?;
        if chunk.vendor == 0
            && let Some(info) = GenericChunk::info(chunk.id)
            && let Some(value) = typed(builder, info, chunk.value)
        {
            properties.push(builder.tuple([builder.name(chunk.id, info.name), value]));
        }
    }
    let version = builder.integer(parsed.version.number().into());
    Ok(builder.tuple([builder.atom(Atom::Ok), version, builder.list(&mut properties)]))
}

/// `[{Name, Value}]` of a `#hep{}`, in the order of the chunks' ids: the same as [`transform`] of the packet
/// that it was decoded from.
pub fn transform_record<B: TermReader>(builder: &B, record: B::Input) -> Answer<B::Term> {
    let fields = Fields::of(builder, record).ok_or(Stop::BadArgument)?;
    let mut properties: Vec<(u16, [B::Term; 2])> = Vec::new();
    let mut add = |chunk: GenericChunk, value: B::Input| {
        if !builder.is_atom(value, Atom::Undefined) {
            properties.push(named(builder, chunk, builder.keep(value)));
        }
    };
    let is_ipv6 = |address| builder.elements::<8>(address).is_some();
    add(GenericChunk::ProtocolFamily, fields.family);
    add(GenericChunk::Protocol, fields.protocol);
    let source = if is_ipv6(fields.src_ip) { GenericChunk::Ipv6Source } else { GenericChunk::Ipv4Source };
    add(source, fields.src_ip);
    let is_ipv6 = is_ipv6(fields.dst_ip);
    let destination = if is_ipv6 { GenericChunk::Ipv6Destination } else { GenericChunk::Ipv4Destination };
    add(destination, fields.dst_ip);
    add(GenericChunk::SourcePort, fields.src_port);
    add(GenericChunk::DestinationPort, fields.dst_port);
    add(GenericChunk::PayloadType, fields.payload_type);
    add(GenericChunk::CaptureId, fields.node_id);
    add(GenericChunk::Payload, fields.payload);
    if !builder.is_atom(fields.timestamp, Atom::Undefined) {
        let time = timestamp(builder, fields.timestamp).ok_or(Stop::BadArgument)?;
        let integer = |value: u32| builder.integer(value.into());
        properties.push(named(builder, GenericChunk::Seconds, integer(time.seconds)));
        properties.push(named(builder, GenericChunk::Microseconds, integer(time.microseconds)));
    }
    let mut count = 0;
    let is_list = builder.each(fields.chunks, |chunk| {
        walk(builder, &mut count)?;
        let chunk = RecordChunk::of(builder, chunk).ok_or(Stop::BadArgument)?;
        if chunk.length.is_some() && chunk.length != builder.bytes(chunk.value).map(<[u8]>::len) {
            return Err(Stop::BadArgument);
        }
        if chunk.vendor == 0
            && let Some(property) = property(builder, chunk.id, chunk.value)
        {
            properties.push((chunk.id, property));
        }
        Ok(())
    })?;
    if !is_list {
        return Err(Stop::BadArgument);
    }
    properties.sort_by_key(|&(id, _)| id);
    let mut properties: Terms<_> =
        properties.into_iter().map(|(_, property)| builder.tuple(property)).collect();
    Ok(builder.list(&mut properties))
}

fn named<B: TermBuilder>(builder: &B, chunk: GenericChunk, value: B::Term) -> (u16, [B::Term; 2]) {
    let id = u16::from(chunk);
    (id, [builder.name(id, chunk.name().unwrap_or_default()), value])
}

/// The name and the value of a generic chunk; `None` if it is unknown or has a wrong width.
fn property<B: TermReader>(builder: &B, id: u16, value: B::Input) -> Option<[B::Term; 2]> {
    let info = GenericChunk::info(id)?;
    let value = readable(builder, info, value)?;
    Some([builder.name(id, info.name), value])
}

/// The value of a chunk in readable form; `None` if it has a wrong width.
#[inline]
fn readable<B: TermReader>(builder: &B, info: &ChunkInfo, value: B::Input) -> Option<B::Term> {
    match info.kind {
        Kind::Octets => builder.is_binary(value).then(|| builder.keep(value)),
        _ => typed(builder, info, builder.bytes(value)?),
    }
}

/// The value of a chunk; `None` if it has a wrong width.
#[inline]
fn typed<B: TermBuilder>(builder: &B, info: &ChunkInfo, bytes: &[u8]) -> Option<B::Term> {
    Some(match info.kind {
        Kind::Inet4 => inet(builder, Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        Kind::Inet6 => inet(builder, Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        Kind::Octets => builder.binary(bytes),
        _ => builder.integer(info.integer(bytes)?),
    })
}
