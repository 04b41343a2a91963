//! The record view: `#hep{}`.

use core::net::IpAddr;

use hep::{Chunk, Family, Options, Packet, Timestamp, Version};

use crate::clock::SystemClock;
use crate::{Answer, Atom, TermBuilder, Terms, error, is_short, read, stay_short, with_unpacked};

/// `{ok, #hep{}} | {ok, #hep{}, Reason} | {error, Reason}`
pub fn decode<B: TermBuilder>(builder: &B, input: &[u8], options: &Options) -> Answer<B::Term> {
    with_unpacked(builder, input, options, |input| {
        let refused = |reason| error(builder, input, reason);
        // Also reads the version.
        let mut packet = Packet::new(Version::V3);
        packet.read_into(input, options, SystemClock).map_err(refused)?;
        stay_short(builder, is_short(&packet))?;
        if packet.payload.is_compressed() {
            packet = packet.inflate(options.max_inflated).map_err(refused)?;
        }
        Ok(read(builder, record(builder, &packet), packet.cut))
    })
}

pub(crate) fn record<B: TermBuilder>(builder: &B, packet: &Packet<'_>) -> B::Term {
    let optional = |value: Option<u64>| match value {
        Some(value) => builder.integer(value),
        None => builder.atom(Atom::Undefined),
    };
    builder.tuple([
        builder.atom(Atom::Hep),
        builder.integer(packet.version.number().into()),
        optional(packet.family.map(Family::number).map(u64::from)),
        optional(packet.protocol.map(u64::from)),
        address(builder, packet.src_ip),
        optional(packet.src_port.map(u64::from)),
        address(builder, packet.dst_ip),
        optional(packet.dst_port.map(u64::from)),
        timestamp(builder, packet.timestamp),
        optional(packet.capture_id.map(u64::from)),
        builder.integer(packet.payload_type.into()),
        builder.binary(packet.payload.as_bytes()),
        chunks(builder, &packet.chunks),
    ])
}

/// `inet:ip_address() | undefined`
fn address<B: TermBuilder>(builder: &B, address: Option<IpAddr>) -> B::Term {
    match address {
        Some(address) => inet(builder, address),
        None => builder.atom(Atom::Undefined),
    }
}

/// `inet:ip_address()`
pub(crate) fn inet<B: TermBuilder>(builder: &B, address: IpAddr) -> B::Term {
    match address {
        IpAddr::V4(address) => builder.tuple(address.octets().map(|octet| builder.integer(octet.into()))),
        IpAddr::V6(address) => {
            builder.tuple(address.segments().map(|segment| builder.integer(segment.into())))
        }
    }
}

/// `erlang:timestamp() | undefined`
fn timestamp<B: TermBuilder>(builder: &B, timestamp: Option<Timestamp>) -> B::Term {
    const MEGA: u32 = 1_000_000;
    let Some(Timestamp { seconds, microseconds }) = timestamp else {
        return builder.atom(Atom::Undefined);
    };
    let parts = [seconds / MEGA, seconds % MEGA, microseconds];
    builder.tuple(parts.map(|part| builder.integer(part.into())))
}

/// `[{{VendorId, ChunkId}, {Length, Value}}]`
fn chunks<B: TermBuilder>(builder: &B, chunks: &[Chunk<'_>]) -> B::Term {
    let chunk = |chunk: &Chunk<'_>| {
        let length = u64::try_from(chunk.value.len()).unwrap_or(u64::MAX);
        builder.tuple([
            builder.tuple([builder.integer(chunk.vendor.into()), builder.integer(chunk.id.into())]),
            builder.tuple([builder.integer(length), builder.binary(chunk.value)]),
        ])
    };
    // Not collected: that would move them.
    let mut elements = Terms::new();
    elements.extend(chunks.iter().map(chunk));
    builder.list(&mut elements)
}
