//! The transformed view: `[{Name, Value}]` of the generic chunks.

use core::net::{Ipv4Addr, Ipv6Addr};

use hep::registry::{ChunkInfo, GenericChunk, Kind};
use hep::{Clock, DecodeError, Options, Parsed};

use crate::encode::{Fields, RecordChunk, timestamp};
use crate::record::inet;
use crate::{Atom, Scheduler, TermBuilder, TermReader, Terms, error, with_unpacked};

/// `[{Name, Value}]` of a list of `{<<VendorId:16, ChunkId:16>>, Value}`: the generic chunks that have
/// a transformed form, in order. The atom `dirty` where a normal scheduler is not enough; `None` when
/// the term is no such list.
pub fn transform<B: TermReader>(builder: &B, chunks: B::Input, scheduler: Scheduler) -> Option<B::Term> {
    let mut properties = Terms::new();
    let mut budget = Budget::new(scheduler);
    let walked = builder.each(chunks, |chunk| {
        budget.spend()?;
        let [key, value] = builder.elements(chunk)?;
        let (vendor, id) = builder.read_key(key)?;
        if vendor == 0
            && let Some(info) = GenericChunk::info(id)
            && let Some(value) = readable(builder, info, value)
        {
            properties.push(builder.tuple([builder.name(id, info.name), value]));
        }
        Some(())
    });
    match walked {
        Some(()) => Some(builder.list(&mut properties)),
        None if budget.overdrawn => Some(builder.atom(Atom::Dirty)),
        None => None,
    }
}

/// `{ok, Version, [{Name, Value}]} | {error, Reason}` of a packet: what [`transform`] gives for its chunks,
/// without a list of them in between; `dirty` where a normal scheduler is not enough.
pub fn transform_packet<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    clock: impl Clock,
    scheduler: Scheduler,
) -> B::Term {
    with_unpacked(builder, input, options, scheduler, |input| {
        match hep::parse(input, options, clock).and_then(|parsed| properties(builder, &parsed, scheduler)) {
            Ok(answer) => answer,
            Err(reason) => error(builder, input, reason),
        }
    })
}

fn properties<B: TermBuilder>(
    builder: &B,
    parsed: &Parsed<'_>,
    scheduler: Scheduler,
) -> Result<B::Term, DecodeError> {
    let mut properties = Terms::new();
    let mut budget = Budget::new(scheduler);
    for chunk in parsed.chunks() {
        let chunk = chunk?;
        if budget.spend().is_none() {
            return Ok(builder.atom(Atom::Dirty));
        }
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

/// `{ok, Name, Value} | no_call` of one generic chunk.
pub fn transform_chunk<B: TermReader>(builder: &B, id: B::Input, value: B::Input) -> B::Term {
    let id = builder.unsigned(id).and_then(|id| u16::try_from(id).ok());
    match id.and_then(|id| property(builder, id, value)) {
        Some([name, value]) => builder.tuple([builder.atom(Atom::Ok), name, value]),
        None => builder.atom(Atom::NoCall),
    }
}

/// `[{Name, Value}]` of a `#hep{}`, in the order of the chunks' ids: what [`transform`] gives for the packet
/// that it was decoded from. The atom `dirty` where a normal scheduler is not enough; `None` when the term
/// is no such record.
pub fn transform_record<B: TermReader>(
    builder: &B,
    record: B::Input,
    scheduler: Scheduler,
) -> Option<B::Term> {
    let fields = Fields::of(builder, record)?;
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
        let time = timestamp(builder, fields.timestamp)?;
        let integer = |value: u32| builder.integer(value.into());
        properties.push(named(builder, GenericChunk::Seconds, integer(time.seconds)));
        properties.push(named(builder, GenericChunk::Microseconds, integer(time.microseconds)));
    }
    let mut budget = Budget::new(scheduler);
    let walked = builder.each(fields.chunks, |chunk| {
        budget.spend()?;
        let RecordChunk { vendor, id, length, value } = RecordChunk::of(builder, chunk)?;
        if length.is_some() && length != builder.bytes(value).map(<[u8]>::len) {
            return None;
        }
        if vendor == 0
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
    let mut properties: Terms<_> =
        properties.into_iter().map(|(_, property)| builder.tuple(property)).collect();
    Some(builder.list(&mut properties))
}

fn named<B: TermBuilder>(builder: &B, chunk: GenericChunk, value: B::Term) -> (u16, [B::Term; 2]) {
    let id = u16::from(chunk);
    (id, [builder.name(id, chunk.name().unwrap_or_default()), value])
}

/// How many chunks were walked.
struct Budget {
    scheduler: Scheduler,
    walked: usize,
    overdrawn: bool,
}

impl Budget {
    const fn new(scheduler: Scheduler) -> Self {
        Self { scheduler, walked: 0, overdrawn: false }
    }

    fn spend(&mut self) -> Option<()> {
        self.walked = self.walked.saturating_add(1);
        self.overdrawn = !self.scheduler.walks(self.walked);
        (!self.overdrawn).then_some(())
    }
}

/// The name and the value of a generic chunk; `None` when it is unknown or of a wrong width.
fn property<B: TermReader>(builder: &B, id: u16, value: B::Input) -> Option<[B::Term; 2]> {
    let info = GenericChunk::info(id)?;
    let value = readable(builder, info, value)?;
    Some([builder.name(id, info.name), value])
}

/// The value of a chunk in readable form; `None` when it is of a wrong width.
#[inline]
fn readable<B: TermReader>(builder: &B, info: &ChunkInfo, value: B::Input) -> Option<B::Term> {
    match info.kind {
        Kind::Octets => builder.is_binary(value).then(|| builder.keep(value)),
        _ => typed(builder, info, builder.bytes(value)?),
    }
}

/// The value of a chunk; `None` when it is of a wrong width.
#[inline]
fn typed<B: TermBuilder>(builder: &B, info: &ChunkInfo, bytes: &[u8]) -> Option<B::Term> {
    Some(match info.kind {
        Kind::Inet4 => inet(builder, Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        Kind::Inet6 => inet(builder, Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        Kind::Octets => builder.binary(bytes),
        _ => builder.integer(info.integer(bytes)?),
    })
}
