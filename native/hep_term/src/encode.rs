//! Encodes a `#hep{}`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use hep::{
    Chunk, Compress, EncodeError, EncodeOptions, Encoded, Family, Field, OtherChunks, Packet, Payload,
    Timestamp, Version,
};

use crate::clock::SystemClock;
use crate::{Answer, Atom, CHUNKS, Stop, TermReader, Terms, ok, refused, stay_short};

/// The largest binary on a process's heap of the BEAM. Larger ones are allocated and freed individually, which takes
/// longer than writing their contents.
const HEAP_BINARY: usize = 64;
/// The maximum number of such binaries for a header. A larger header is one binary.
const PIECES: usize = 4;

/// `{ok, Packet}` or `{error, Reason}`, see `hep:encode_reason()`.
pub fn encode<B: TermReader>(builder: &B, record: B::Input, options: &EncodeOptions<'_>) -> Answer<B::Term> {
    written(builder, record, options, |encoded, _| {
        builder.joined([encoded.header.as_bytes(), &encoded.payload, &encoded.trailer])
    })
}

/// `{ok, Parts}` or `{error, Reason}`, see `hep:encode_reason()`.
///
/// The parts are the header in pieces, the payload, and the chunks after it, if any. The payload is
/// the record's binary unless it is compressed.
pub fn encode_iolist<B: TermReader>(
    builder: &B,
    record: B::Input,
    options: &EncodeOptions<'_>,
) -> Answer<B::Term> {
    written(builder, record, options, |encoded, payload| parts(builder, encoded, payload))
}

#[inline]
fn written<B: TermReader>(
    builder: &B,
    record: B::Input,
    options: &EncodeOptions<'_>,
    term: impl FnOnce(&Encoded<'_>, B::Input) -> B::Term,
) -> Answer<B::Term> {
    stay_short(builder, options.compress == Compress::None)?;
    let fields = Fields::required(builder, record)?;
    let mut packet = Packet::new(fields.version(builder)?);
    fields.read(builder, &mut packet)?;
    let mut encoded = Encoded::default();
    hep::encode_into(&mut encoded, &packet, options, SystemClock)
        .map_err(|error| fields.refused(builder, error, packet.version))?;
    Ok(ok(builder, term(&encoded, fields.payload)))
}

fn parts<B: TermReader>(builder: &B, encoded: &Encoded<'_>, payload: B::Input) -> B::Term {
    let mut parts = Terms::new();
    let header = encoded.header.as_bytes();
    let width = if header.len() > PIECES * HEAP_BINARY { header.len() } else { HEAP_BINARY };
    for piece in header.chunks(width) {
        parts.push(builder.binary(piece));
    }
    parts.push(match &encoded.payload {
        Cow::Borrowed(_) => builder.keep(payload),
        Cow::Owned(smaller) => builder.binary(smaller),
    });
    if !encoded.trailer.is_empty() {
        parts.push(builder.binary(&encoded.trailer));
    }
    builder.list(&mut parts)
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
    /// `None` if the term is not a `#hep{}`.
    #[inline]
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

    /// Like [`of`](Self::of), but stops with an error for other terms.
    #[inline]
    pub(crate) fn required<B: TermReader<Input = T>>(builder: &B, record: T) -> Answer<B::Term, Self> {
        Self::of(builder, record).ok_or_else(|| {
            refused(builder, builder.tuple([builder.atom(Atom::InvalidHep), builder.keep(record)]))
        })
    }

    /// Converts the record to a packet. An error names the wrong field.
    pub(crate) fn packet<'b, B: TermReader<Input = T>>(&self, builder: &'b B) -> Answer<B::Term, Packet<'b>> {
        let mut packet = Packet::new(self.version(builder)?);
        self.read(builder, &mut packet)?;
        Ok(packet)
    }

    #[inline]
    fn version<B: TermReader<Input = T>>(&self, builder: &B) -> Answer<B::Term, Version> {
        match builder.unsigned(self.version) {
            Some(1) => Ok(Version::V1),
            Some(2) => Ok(Version::V2),
            Some(3) => Ok(Version::V3),
            _ => Err(invalid(builder, Atom::Version, self.version)),
        }
    }

    /// Reads all fields except the version into an empty packet.
    #[inline]
    fn read<'b, B: TermReader<Input = T>>(
        &self,
        builder: &'b B,
        packet: &mut Packet<'b>,
    ) -> Answer<B::Term, ()> {
        packet.family = self.family(builder)?;
        packet.payload_type = required(builder, Atom::PayloadType, self.payload_type)?;
        packet.protocol = optional(builder, Atom::Protocol, self.protocol)?;
        address(builder, Atom::SrcIp, self.src_ip, &mut packet.src_ip)?;
        packet.src_port = optional(builder, Atom::SrcPort, self.src_port)?;
        address(builder, Atom::DstIp, self.dst_ip, &mut packet.dst_ip)?;
        packet.dst_port = optional(builder, Atom::DstPort, self.dst_port)?;
        packet.timestamp = time(builder, self.timestamp)?;
        packet.capture_id = optional(builder, Atom::NodeId, self.node_id)?;
        self.chunks(builder, &mut packet.chunks)?;
        packet.payload = match builder.bytes(self.payload) {
            Some(bytes) => Payload::Plain(bytes),
            None => return Err(invalid(builder, Atom::Payload, self.payload)),
        };
        Ok(())
    }

    #[inline]
    fn family<B: TermReader<Input = T>>(&self, builder: &B) -> Answer<B::Term, Option<Family>> {
        if builder.is_atom(self.family, Atom::Undefined) {
            return Ok(None);
        }
        let number = builder.unsigned(self.family).and_then(|number| u8::try_from(number).ok());
        number.and_then(Family::from_number).map(Some).ok_or_else(|| {
            let reason = [builder.atom(Atom::UnknownProtocolFamily), builder.keep(self.family)];
            refused(builder, builder.tuple(reason))
        })
    }

    fn chunks<'b, B: TermReader<Input = T>>(
        &self,
        builder: &'b B,
        chunks: &mut OtherChunks<'b>,
    ) -> Answer<B::Term, ()> {
        let mut size = 0_usize;
        let is_list = builder.each(self.chunks, |element| {
            let chunk = record_chunk(builder, element);
            let chunk = chunk.ok_or_else(|| invalid(builder, Atom::Chunks, element))?;
            size = size.saturating_add(chunk.value.len().max(1));
            chunks.push(chunk);
            // Too large for a packet: the rest of the list does not matter.
            if u16::try_from(size).is_err() {
                return Err(self.refused(builder, EncodeError::TooLarge { size }, Version::V3));
            }
            stay_short(builder, chunks.len() <= CHUNKS)
        })?;
        if is_list { Ok(()) } else { Err(invalid(builder, Atom::Chunks, self.chunks)) }
    }

    /// The error for a packet that cannot be encoded.
    #[cold]
    fn refused<B: TermReader<Input = T>>(
        &self,
        builder: &B,
        error: EncodeError,
        version: Version,
    ) -> Stop<B::Term> {
        let integer = |value: usize| builder.integer(u64::try_from(value).unwrap_or(u64::MAX));
        let reason = match error {
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
                return invalid(builder, atom(field), address);
            }
            EncodeError::InvalidChunk { vendor, id } => {
                let key = builder.tuple([vendor, id].map(|number| builder.integer(number.into())));
                builder.tuple([builder.atom(Atom::InvalidField), builder.atom(Atom::Chunks), key])
            }
            EncodeError::TooLarge { size } => {
                builder.tuple([builder.atom(Atom::PacketTooLarge), integer(size)])
            }
        };
        refused(builder, reason)
    }
}

/// The record's name of a field.
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

/// `{error, {invalid_field, Field, Value}}`
#[cold]
fn invalid<B: TermReader>(builder: &B, field: Atom, value: B::Input) -> Stop<B::Term> {
    let reason = [builder.atom(Atom::InvalidField), builder.atom(field), builder.keep(value)];
    refused(builder, builder.tuple(reason))
}

#[inline]
fn required<B: TermReader, N: TryFrom<u64>>(builder: &B, field: Atom, term: B::Input) -> Answer<B::Term, N> {
    let number = builder.unsigned(term).and_then(|number| N::try_from(number).ok());
    number.ok_or_else(|| invalid(builder, field, term))
}

#[inline]
fn optional<B: TermReader, N: TryFrom<u64>>(
    builder: &B,
    field: Atom,
    term: B::Input,
) -> Answer<B::Term, Option<N>> {
    if builder.is_atom(term, Atom::Undefined) { Ok(None) } else { required(builder, field, term).map(Some) }
}

/// Reads an address into its place.
fn address<B: TermReader>(
    builder: &B,
    field: Atom,
    term: B::Input,
    place: &mut Option<IpAddr>,
) -> Answer<B::Term, ()> {
    if builder.is_atom(term, Atom::Undefined) {
        return Ok(());
    }
    *place = match builder.elements::<4>(term) {
        Some(octets) => ipv4(builder, octets).map(IpAddr::V4),
        None => builder.elements::<8>(term).and_then(|segments| ipv6(builder, segments)).map(IpAddr::V6),
    };
    if place.is_some() { Ok(()) } else { Err(invalid(builder, field, term)) }
}

/// Combined into one number: if it were written octet by octet, it could not be read at once.
#[inline]
fn ipv4<B: TermReader>(builder: &B, octets: [B::Input; 4]) -> Option<Ipv4Addr> {
    let bits = octets.into_iter().try_fold(0, |bits, octet| {
        let octet = u8::try_from(builder.unsigned(octet)?).ok()?;
        Some(bits << u8::BITS | u32::from(octet))
    });
    bits.map(Ipv4Addr::from_bits)
}

#[inline]
fn ipv6<B: TermReader>(builder: &B, segments: [B::Input; 8]) -> Option<Ipv6Addr> {
    let bits = segments.into_iter().try_fold(0, |bits, segment| {
        let segment = u16::try_from(builder.unsigned(segment)?).ok()?;
        Some(bits << u16::BITS | u128::from(segment))
    });
    bits.map(Ipv6Addr::from_bits)
}

/// `erlang:timestamp() | undefined`
#[inline]
fn time<B: TermReader>(builder: &B, term: B::Input) -> Answer<B::Term, Option<Timestamp>> {
    if builder.is_atom(term, Atom::Undefined) {
        return Ok(None);
    }
    timestamp(builder, term).map(Some).ok_or_else(|| invalid(builder, Atom::Timestamp, term))
}

/// `erlang:timestamp()`
#[inline]
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

/// A chunk of the record. `None` if the length differs from that of the value.
#[inline]
fn record_chunk<B: TermReader>(builder: &B, term: B::Input) -> Option<Chunk<'_>> {
    let RecordChunk { vendor, id, length, value } = RecordChunk::of(builder, term)?;
    let value = builder.bytes(value)?;
    length.is_none_or(|length| length == value.len()).then_some(Chunk { vendor, id, value })
}

/// `{{VendorId, ChunkId}, {Length, Value}}` or `{{VendorId, ChunkId}, Value}`
pub(crate) struct RecordChunk<T> {
    pub(crate) vendor: u16,
    pub(crate) id: u16,
    pub(crate) length: Option<usize>,
    pub(crate) value: T,
}

impl<T: Copy> RecordChunk<T> {
    #[inline]
    pub(crate) fn of<B: TermReader<Input = T>>(builder: &B, term: T) -> Option<Self> {
        let [key, value] = builder.elements(term)?;
        let [vendor, id] = builder.elements(key)?;
        let number = |term| u16::try_from(builder.unsigned(term)?).ok();
        let (length, value) = match builder.elements(value) {
            Some([length, value]) => (Some(number(length)?.into()), value),
            None => (None, value),
        };
        Some(Self { vendor: number(vendor)?, id: number(id)?, length, value })
    }
}
