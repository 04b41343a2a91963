//! From a `#hep{}` to the bytes of a packet.

use core::net::IpAddr;
use std::borrow::Cow;

use hep::{
    Chunk, Compress, EncodeError, EncodeOptions, Family, Field, Kept, Packet, Payload, Timestamp, Version,
};

use crate::{Atom, Scheduler, TermReader, ok};

/// `{ok, [Header, Payload]}` or `{ok, [Header, Payload, Trailer]}`, `{error, Reason}`, see
/// `hep:encode_reason()`; `dirty` where a normal scheduler is not enough.
///
/// The payload is the record's own binary unless it had to be compressed.
pub fn encode<B: TermReader>(
    builder: &B,
    record: B::Input,
    options: &EncodeOptions<'_>,
    now: impl FnOnce() -> Timestamp,
    scheduler: Scheduler,
) -> B::Term {
    if scheduler == Scheduler::Normal && options.compress != Compress::None {
        return builder.atom(Atom::Dirty);
    }
    if !is_walked(builder, record, scheduler) {
        return builder.atom(Atom::Dirty);
    }
    match written(builder, record, options, now) {
        Ok(parts) => ok(builder, parts),
        Err(reason) => builder.tuple([builder.atom(Atom::Error), reason]),
    }
}

/// Whether the scheduler may walk the record's chunks.
fn is_walked<B: TermReader>(builder: &B, record: B::Input, scheduler: Scheduler) -> bool {
    let mut chunks = 0_usize;
    if let Some(fields) = Fields::of(builder, record) {
        let _whole = builder.each(fields.chunks, |_| {
            chunks = chunks.saturating_add(1);
            scheduler.walks(chunks).then_some(())
        });
    }
    scheduler.walks(chunks)
}

fn written<B: TermReader>(
    builder: &B,
    record: B::Input,
    options: &EncodeOptions<'_>,
    now: impl FnOnce() -> Timestamp,
) -> Result<B::Term, B::Term> {
    let Some(fields) = Fields::of(builder, record) else {
        return Err(builder.tuple([builder.atom(Atom::InvalidHep), builder.keep(record)]));
    };
    let packet = fields.packet(builder)?;
    let encoded =
        hep::encode(&packet, options, now).map_err(|error| fields.reason(builder, error, packet.version))?;
    let payload = match &encoded.payload {
        Cow::Borrowed(_) => builder.keep(fields.payload),
        Cow::Owned(smaller) => builder.binary(smaller),
    };
    let header = builder.binary(&encoded.header);
    Ok(if encoded.trailer.is_empty() {
        builder.list([header, payload].into_iter().collect())
    } else {
        builder.list([header, payload, builder.binary(&encoded.trailer)].into_iter().collect())
    })
}

/// The terms of a `#hep{}`, by their names in the record.
pub(crate) struct Fields<T> {
    pub(crate) version: T,
    pub(crate) family: T,
    pub(crate) protocol: T,
    pub(crate) src_ip: T,
    pub(crate) src_port: T,
    pub(crate) dst_ip: T,
    pub(crate) dst_port: T,
    pub(crate) timestamp: T,
    pub(crate) node_id: T,
    pub(crate) payload_type: T,
    pub(crate) payload: T,
    pub(crate) chunks: T,
}

impl<T: Copy> Fields<T> {
    /// `None` when the term is no such record.
    pub(crate) fn of<B: TermReader<Input = T>>(builder: &B, record: T) -> Option<Self> {
        let [
            tag,
            version,
            family,
            protocol,
            src_ip,
            src_port,
            dst_ip,
            dst_port,
            timestamp,
            node_id,
            payload_type,
            payload,
            chunks,
        ] = builder.elements(record)?;
        builder.is_atom(tag, Atom::Hep).then_some(Self {
            version,
            family,
            protocol,
            src_ip,
            src_port,
            dst_ip,
            dst_port,
            timestamp,
            node_id,
            payload_type,
            payload,
            chunks,
        })
    }

    /// The packet that the record stands for; the reason names the field that is wrong.
    pub(crate) fn packet<'b, B: TermReader<Input = T>>(&self, builder: &'b B) -> Result<Packet<'b>, B::Term> {
        let version = match builder.unsigned(self.version) {
            Some(1) => Version::V1,
            Some(2) => Version::V2,
            Some(3) => Version::V3,
            _ => return Err(invalid(builder, Atom::Version, self.version)),
        };
        let mut packet = Packet::new(version);
        packet.family = self.family(builder)?;
        packet.payload_type = required(builder, Atom::PayloadType, self.payload_type)?;
        packet.protocol = optional(builder, Atom::Protocol, self.protocol)?;
        packet.src_ip = address(builder, Atom::SrcIp, self.src_ip)?;
        packet.src_port = optional(builder, Atom::SrcPort, self.src_port)?;
        packet.dst_ip = address(builder, Atom::DstIp, self.dst_ip)?;
        packet.dst_port = optional(builder, Atom::DstPort, self.dst_port)?;
        packet.timestamp = time(builder, self.timestamp)?;
        packet.capture_id = optional(builder, Atom::NodeId, self.node_id)?;
        packet.chunks = self.chunks(builder)?;
        packet.payload = match builder.bytes(self.payload) {
            Some(bytes) => Payload::Plain(bytes),
            None => return Err(invalid(builder, Atom::Payload, self.payload)),
        };
        Ok(packet)
    }

    fn family<B: TermReader<Input = T>>(&self, builder: &B) -> Result<Option<Family>, B::Term> {
        if builder.is_atom(self.family, Atom::Undefined) {
            return Ok(None);
        }
        let number = builder.unsigned(self.family).and_then(|number| u8::try_from(number).ok());
        match number.and_then(Family::from_number) {
            Some(family) => Ok(Some(family)),
            None => {
                Err(builder.tuple([builder.atom(Atom::UnknownProtocolFamily), builder.keep(self.family)]))
            }
        }
    }

    fn chunks<'b, B: TermReader<Input = T>>(&self, builder: &'b B) -> Result<Kept<'b>, B::Term> {
        let mut chunks = Kept::new();
        let mut size = 0_usize;
        let mut wrong = None;
        let walked = builder.each(self.chunks, |element| {
            match record_chunk(builder, element) {
                Some(chunk) => {
                    size = size.saturating_add(chunk.value.len().max(1));
                    chunks.push(chunk);
                }
                None => wrong = Some(invalid(builder, Atom::Chunks, element)),
            }
            // What is too large for a packet is too large for its chunks: no more of it is looked at.
            (wrong.is_none() && u16::try_from(size).is_ok()).then_some(())
        });
        match (walked, wrong) {
            (Some(()), None) => Ok(chunks),
            (_, Some(reason)) => Err(reason),
            (None, None) if u16::try_from(size).is_err() => {
                Err(self.reason(builder, EncodeError::TooLarge { size }, Version::V3))
            }
            (None, None) => Err(invalid(builder, Atom::Chunks, self.chunks)),
        }
    }

    fn reason<B: TermReader<Input = T>>(&self, builder: &B, error: EncodeError, version: Version) -> B::Term {
        let integer = |value: usize| builder.integer(u64::try_from(value).unwrap_or(u64::MAX));
        match error {
            EncodeError::Missing(field) => {
                builder.tuple([builder.atom(Atom::MissingField), builder.atom(atom(field))])
            }
            EncodeError::Unsupported(field) => builder.tuple([
                builder.atom(Atom::UnsupportedField),
                builder.atom(atom(field)),
                builder.integer(version.number().into()),
            ]),
            EncodeError::UnsupportedPayloadType(number) => {
                builder.tuple([builder.atom(Atom::UnsupportedPayloadType), builder.integer(number.into())])
            }
            EncodeError::WrongFamily(field) => {
                let address = if field == Field::SrcIp { self.src_ip } else { self.dst_ip };
                invalid(builder, atom(field), address)
            }
            EncodeError::InvalidChunk { vendor, id } => {
                let key = builder.tuple([vendor, id].map(|number| builder.integer(number.into())));
                builder.tuple([builder.atom(Atom::InvalidField), builder.atom(Atom::Chunks), key])
            }
            EncodeError::TooLarge { size } => {
                builder.tuple([builder.atom(Atom::PacketTooLarge), integer(size)])
            }
        }
    }
}

/// What the record calls a field.
const fn atom(field: Field) -> Atom {
    match field {
        Field::Protocol => Atom::Protocol,
        Field::SrcIp => Atom::SrcIp,
        Field::SrcPort => Atom::SrcPort,
        Field::DstIp => Atom::DstIp,
        Field::DstPort => Atom::DstPort,
        Field::Timestamp => Atom::Timestamp,
        Field::CaptureId => Atom::NodeId,
        Field::Chunks => Atom::Chunks,
        Field::AuthKey => Atom::AuthKey,
        Field::Compress => Atom::Compress,
    }
}

/// `{invalid_field, Field, Value}`
fn invalid<B: TermReader>(builder: &B, field: Atom, value: B::Input) -> B::Term {
    builder.tuple([builder.atom(Atom::InvalidField), builder.atom(field), builder.keep(value)])
}

fn required<B: TermReader, N: TryFrom<u64>>(builder: &B, field: Atom, term: B::Input) -> Result<N, B::Term> {
    let number = builder.unsigned(term).and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| invalid(builder, field, term))
}

fn optional<B: TermReader, N: TryFrom<u64>>(
    builder: &B,
    field: Atom,
    term: B::Input,
) -> Result<Option<N>, B::Term> {
    if builder.is_atom(term, Atom::Undefined) { Ok(None) } else { required(builder, field, term).map(Some) }
}

fn address<B: TermReader>(builder: &B, field: Atom, term: B::Input) -> Result<Option<IpAddr>, B::Term> {
    if builder.is_atom(term, Atom::Undefined) {
        return Ok(None);
    }
    let address = match builder.elements::<4>(term) {
        Some(octets) => numbers::<_, u8, 4>(builder, octets).map(IpAddr::from),
        None => builder
            .elements::<8>(term)
            .and_then(|segments| numbers::<_, u16, 8>(builder, segments))
            .map(IpAddr::from),
    };
    address.map(Some).ok_or_else(|| invalid(builder, field, term))
}

fn numbers<B: TermReader, N: TryFrom<u64> + Copy + Default, const COUNT: usize>(
    builder: &B,
    terms: [B::Input; COUNT],
) -> Option<[N; COUNT]> {
    let mut numbers = [N::default(); COUNT];
    for (number, term) in numbers.iter_mut().zip(terms) {
        *number = N::try_from(builder.unsigned(term)?).ok()?;
    }
    Some(numbers)
}

/// `erlang:timestamp() | undefined`
fn time<B: TermReader>(builder: &B, term: B::Input) -> Result<Option<Timestamp>, B::Term> {
    if builder.is_atom(term, Atom::Undefined) {
        return Ok(None);
    }
    timestamp(builder, term).map(Some).ok_or_else(|| invalid(builder, Atom::Timestamp, term))
}

/// `erlang:timestamp()`
pub(crate) fn timestamp<B: TermReader>(builder: &B, term: B::Input) -> Option<Timestamp> {
    /// It counts in millions of seconds.
    const MEGA: u64 = 1_000_000;
    let [mega, seconds, microseconds] = builder.elements(term)?;
    let seconds = builder.unsigned(mega)?.checked_mul(MEGA)?.checked_add(builder.unsigned(seconds)?)?;
    Some(Timestamp {
        seconds: u32::try_from(seconds).ok()?,
        microseconds: u32::try_from(builder.unsigned(microseconds)?).ok()?,
    })
}

/// `{{VendorId, ChunkId}, {Length, Value}}` or `{{VendorId, ChunkId}, Value}`
pub(crate) fn record_chunk<B: TermReader>(builder: &B, term: B::Input) -> Option<Chunk<'_>> {
    let (vendor, id, value) = record_chunk_terms(builder, term)?;
    Some(Chunk { vendor, id, value: builder.bytes(value)? })
}

/// The vendor, the id and the value's term. A length that is not the value's is none.
pub(crate) fn record_chunk_terms<B: TermReader>(builder: &B, term: B::Input) -> Option<(u16, u16, B::Input)> {
    let [key, value] = builder.elements(term)?;
    let [vendor, id] = builder.elements(key)?;
    let number = |term| u16::try_from(builder.unsigned(term)?).ok();
    let value = match builder.elements(value) {
        None => value,
        Some([length, value]) => {
            let width = builder.bytes(value)?.len();
            (usize::from(number(length)?) == width).then_some(value)?
        }
    };
    Some((number(vendor)?, number(id)?, value))
}
