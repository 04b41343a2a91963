//! Writing packets.

use std::borrow::Cow;
use std::io::Write;

use core::net::IpAddr;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use thiserror::Error;

use crate::clock::Clock;
use crate::frame::{self, Chunk};
use crate::header::{Header, Writer};
use crate::packet::{Packet, is_other};
use crate::quirks;
use crate::registry::{GenericChunk, MAGIC, PayloadType};
use crate::types::{Family, Timestamp, Version};

/// How version 2 is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V2Style {
    /// As documented: the header length counts the whole header, all integers are big-endian.
    #[default]
    Documented,
    /// As receivers in C expect it: the header length of version 1, a little-endian time header.
    C,
    /// As the forks of the Erlang library write and read it: the header length of version 1, all integers big-endian.
    Forks,
}

/// The compression of version 3's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// None: chunk 0x0f.
    #[default]
    None,
    /// zlib, chunk 0x10.
    Zlib,
    /// gzip, chunk 0x10.
    Gzip,
}

/// Options of [`encode`](crate::encode()).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions<'a> {
    /// How version 2 is written.
    pub v2_style: V2Style,
    /// The compression of version 3's payload.
    pub compress: Compress,
    /// The authenticate key of version 3, in place of the packet's.
    pub auth_key: Option<&'a [u8]>,
}

/// An encoded packet in three consecutive parts. The payload is borrowed from the packet.
#[derive(Clone, Debug, Default)]
pub struct Encoded<'a> {
    /// Everything before the payload.
    pub header: Header,
    /// The payload, compressed if requested.
    pub payload: Cow<'a, [u8]>,
    /// Everything after the payload: the vendors' chunks.
    pub trailer: Vec<u8>,
}

impl Encoded<'_> {
    /// The packet in one piece.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.header.as_bytes(), &self.payload, &self.trailer].concat()
    }
}

/// A field of a packet, or an option, that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of `Packet` and of `EncodeOptions`")]
pub enum Field {
    Protocol,
    SrcIp,
    SrcPort,
    DstIp,
    DstPort,
    Timestamp,
    CaptureId,
    Chunks,
    AuthKey,
    Compress,
}

/// Why a packet cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Versions 1 and 2 require the field.
    #[error("{0:?} is missing: versions 1 and 2 require it")]
    Missing(Field),
    /// The version cannot carry the field's value.
    #[error("the version cannot carry {0:?}")]
    Unsupported(Field),
    /// Versions 1 and 2 carry SIP only.
    #[error("payload type {0}: versions 1 and 2 carry SIP only")]
    UnsupportedPayloadType(u8),
    /// The address is not of the packet's protocol family.
    #[error("{0:?} is not of the packet's protocol family")]
    WrongFamily(Field),
    /// A chunk in `chunks` belongs in a field.
    #[error("chunk {id:#06x} of vendor {vendor} belongs in a field")]
    InvalidChunk {
        /// The chunk's vendor id.
        vendor: u16,
        /// The chunk's id.
        id: u16,
    },
    /// The packet would exceed the maximum of its length field.
    #[error("the packet would have {size} bytes, more than 65535")]
    TooLarge {
        /// Its minimum size.
        size: usize,
    },
}

/// Encodes a packet: its header, its payload, and the chunks after it.
///
/// The clock supplies the time if the packet has none.
///
/// # Errors
/// [`EncodeError`] names the invalid field.
pub fn encode<'a>(
    packet: &'a Packet<'_>,
    options: &EncodeOptions<'_>,
    clock: impl Clock,
) -> Result<Encoded<'a>, EncodeError> {
    let mut encoded = Encoded::default();
    encode_into(&mut encoded, packet, options, clock)?;
    Ok(encoded)
}

/// Like [`encode()`], but writes into the caller's [`Encoded`], so that nothing is moved afterwards.
///
/// # Errors
/// [`EncodeError`] names the invalid field; the contents of `Encoded` are then meaningless.
#[inline]
pub fn encode_into<'a>(
    encoded: &mut Encoded<'a>,
    packet: &'a Packet<'_>,
    options: &EncodeOptions<'_>,
    clock: impl Clock,
) -> Result<(), EncodeError> {
    let family = family(packet)?;
    let timestamp = packet.timestamp.unwrap_or_else(|| clock.now());
    encoded.payload = Cow::Borrowed(packet.payload.as_bytes());
    encoded.trailer.clear();
    match packet.version {
        Version::V1 | Version::V2 => {
            fixed(&mut encoded.header, packet, timestamp, options)?;
            total(encoded).map(|_| ())
        }
        Version::V3 => framed(encoded, packet, family, timestamp, options),
    }
}

/// The total length of a packet of version 3.
#[inline]
fn total(encoded: &Encoded<'_>) -> Result<u16, EncodeError> {
    let sizes = [encoded.header.len(), encoded.payload.len(), encoded.trailer.len()];
    let size = sizes.into_iter().fold(0, usize::saturating_add);
    u16::try_from(size).map_err(|_| EncodeError::TooLarge { size })
}

/// The packet's family, to which its addresses must belong.
///
/// Version 3 has separate chunks for the two addresses: if the packet states the source's family, as a
/// decoded packet does, the destination may have the other one.
fn family(packet: &Packet<'_>) -> Result<Option<Family>, EncodeError> {
    let family = packet.family.or_else(|| packet.src_ip.or(packet.dst_ip).map(Family::of));
    let is_mixed = packet.version == Version::V3 && packet.family.is_some() && packet.src_ip.is_some();
    let is_wrong = |address: Option<IpAddr>| address.is_some() && address.map(Family::of) != family;
    if is_wrong(packet.src_ip) {
        Err(EncodeError::WrongFamily(Field::SrcIp))
    } else if is_wrong(packet.dst_ip) && !is_mixed {
        Err(EncodeError::WrongFamily(Field::DstIp))
    } else {
        Ok(family)
    }
}

/// Versions 1 and 2. Both addresses have the same family.
fn fixed(
    header: &mut Header,
    packet: &Packet<'_>,
    timestamp: Timestamp,
    options: &EncodeOptions<'_>,
) -> Result<(), EncodeError> {
    let number = packet.payload_type;
    if PayloadType::from(number) != PayloadType::Sip {
        return Err(EncodeError::UnsupportedPayloadType(number));
    }
    let need = |field| EncodeError::Missing(field);
    let protocol = packet.protocol.ok_or(need(Field::Protocol))?;
    let protocol = u8::try_from(protocol).map_err(|_| EncodeError::Unsupported(Field::Protocol))?;
    let (src_ip, dst_ip) =
        (packet.src_ip.ok_or(need(Field::SrcIp))?, packet.dst_ip.ok_or(need(Field::DstIp))?);
    let src_port = packet.src_port.ok_or(need(Field::SrcPort))?;
    let dst_port = packet.dst_port.ok_or(need(Field::DstPort))?;
    let family = Family::of(src_ip);
    let is_v2 = packet.version == Version::V2;
    let id = if is_v2 { u16::try_from(packet.capture_id.unwrap_or(0)).ok() } else { None };
    let unsupported = [
        (Field::Chunks, !packet.chunks.is_empty()),
        (Field::CaptureId, if is_v2 { id.is_none() } else { packet.capture_id.is_some() }),
        (Field::AuthKey, options.auth_key.is_some()),
        (Field::Compress, options.compress != Compress::None || packet.payload.is_compressed()),
    ];
    if let Some(&(field, _)) = unsupported.iter().find(|&&(_, unsupported)| unsupported) {
        return Err(EncodeError::Unsupported(field));
    }

    let documented = is_v2 && options.v2_style == V2Style::Documented;
    let counted = if documented { Version::V2 } else { Version::V1 };
    let mut writer = header.writer();
    writer.put([
        packet.version.number(),
        quirks::documented_length(counted, family),
        family.number(),
        protocol,
    ]);
    writer.put(src_port.to_be_bytes());
    writer.put(dst_port.to_be_bytes());
    for address in [src_ip, dst_ip] {
        match address {
            IpAddr::V4(address) => writer.put(address.octets()),
            IpAddr::V6(address) => writer.put(address.octets()),
        }
    }
    if let Some(id) = id {
        // With the header length of version 1, a decoder assumes little-endian if the microseconds do not decide.
        let is_ambiguous = options.v2_style == V2Style::Forks;
        let time = if is_ambiguous {
            quirks::carried_over(timestamp)
        } else {
            quirks::unswappable_timestamp(timestamp)
        };
        let Timestamp { seconds, microseconds } = time.ok_or(EncodeError::Unsupported(Field::Timestamp))?;
        let (seconds, microseconds, id) = match options.v2_style {
            V2Style::Documented | V2Style::Forks => {
                (seconds.to_be_bytes(), microseconds.to_be_bytes(), id.to_be_bytes())
            }
            V2Style::C => (seconds.to_le_bytes(), microseconds.to_le_bytes(), id.to_le_bytes()),
        };
        writer.put(seconds);
        writer.put(microseconds);
        writer.put(id);
        writer.put([0, 0]);
    }
    writer.finish();
    Ok(())
}

/// Version 3: the generic chunks in the order of their ids, then the payload, then the vendors' chunks.
fn framed(
    encoded: &mut Encoded<'_>,
    packet: &Packet<'_>,
    family: Option<Family>,
    timestamp: Timestamp,
    options: &EncodeOptions<'_>,
) -> Result<(), EncodeError> {
    let chunks = in_order(packet, options.auth_key)?;
    let timestamp =
        quirks::unswappable_timestamp(timestamp).ok_or(EncodeError::Unsupported(Field::Timestamp))?;
    fit(&chunks)?;
    let mut payload_id = GenericChunk::Payload;
    if packet.payload.is_compressed() {
        // Still compressed: `Packet::inflate` was not called.
        payload_id = GenericChunk::CompressedPayload;
    } else if let Some(smaller) = pack(packet.payload.as_bytes(), options.compress) {
        payload_id = GenericChunk::CompressedPayload;
        encoded.payload = Cow::Owned(smaller);
    }

    let payload = chunk_header(0, payload_id.into(), chunk_length(&encoded.payload));
    let head = Head { packet, family, timestamp, chunks: &chunks, payload };
    let vendors = match packet {
        // The fields of nearly every packet. The other branch would write the same bytes; in this one the compiler
        // knows the position of each byte.
        Packet {
            protocol: Some(..=0xff),
            src_ip: Some(IpAddr::V4(_)),
            src_port: Some(_),
            dst_ip: Some(IpAddr::V4(_)),
            dst_port: Some(_),
            capture_id: Some(_),
            ..
        } if family.is_some() && first_id(&chunks) > u32::from(u16::from(GenericChunk::CaptureId)) => {
            head.write(&mut encoded.header)
        }
        _ => head.write_any(&mut encoded.header),
    };
    for &Chunk { vendor, id, value } in vendors {
        encoded.trailer.extend(chunk_header(vendor, id, chunk_length(value)));
        encoded.trailer.extend_from_slice(value);
    }
    let total = total(encoded)?;
    encoded.header.put_at(MAGIC.len(), total.to_be_bytes());
    Ok(())
}

/// The packet's `chunks` in the order of writing: generic ones by id, then vendors'.
fn in_order<'p>(
    packet: &'p Packet<'_>,
    auth_key: Option<&'p [u8]>,
) -> Result<Cow<'p, [Chunk<'p>]>, EncodeError> {
    let is_wrong = |chunk: &&Chunk<'_>| chunk.vendor == 0 && !is_other(chunk.id, chunk.value);
    if let Some(&Chunk { vendor, id, .. }) = packet.chunks.iter().find(is_wrong) {
        return Err(EncodeError::InvalidChunk { vendor, id });
    }
    if auth_key.is_none() && packet.chunks.is_sorted_by_key(place) {
        return Ok(Cow::Borrowed(&packet.chunks));
    }
    Ok(Cow::Owned(ordered(packet, auth_key)))
}

/// The packet's chunks in order, with the option's key in place of the packet's.
#[inline(never)]
fn ordered<'p>(packet: &'p Packet<'_>, auth_key: Option<&'p [u8]>) -> Vec<Chunk<'p>> {
    let key = auth_key.map(|value| Chunk { vendor: 0, id: GenericChunk::AuthKey.into(), value });
    let is_replaced = |chunk: &Chunk<'_>| key.is_some_and(|key| place(chunk) == place(&key));
    let others = packet.chunks.iter().copied().filter(|chunk| !is_replaced(chunk));
    let mut ordered: Vec<_> = others.chain(key).collect();
    ordered.sort_by_key(place);
    ordered
}

/// Whether the chunk is a vendor's, and otherwise its id.
#[inline]
const fn place(chunk: &Chunk<'_>) -> (bool, u16) {
    if chunk.vendor == 0 { (false, chunk.id) } else { (true, 0) }
}

/// The contents of a version 3 header.
#[derive(Clone, Copy)]
struct Head<'c, 'p> {
    packet: &'c Packet<'p>,
    family: Option<Family>,
    timestamp: Timestamp,
    /// In the order of writing.
    chunks: &'c [Chunk<'c>],
    /// The header of the payload's chunk.
    payload: [u8; 6],
}

impl<'c> Head<'c, '_> {
    /// Writes the header, up to the payload, and returns the vendors' chunks.
    #[expect(clippy::inline_always, reason = "what there is to write is known where it is called")]
    #[inline(always)]
    fn write(self, header: &mut Header) -> &'c [Chunk<'c>] {
        let Self { packet, family, timestamp, chunks, payload } = self;
        // Read before anything is written, while the compiler still knows the caller's values.
        let next = first_id(chunks);
        let mut chunk_writer = ChunkWriter { writer: header.writer(), others: chunks, next };
        chunk_writer.writer.put(*MAGIC);
        // The total length, which is filled in at the end.
        chunk_writer.writer.put([0, 0]);
        if let Some(family) = family {
            chunk_writer.field(GenericChunk::ProtocolFamily, [family.number()]);
        }
        if let Some(protocol) = packet.protocol {
            match u8::try_from(protocol) {
                Ok(protocol) => chunk_writer.field(GenericChunk::Protocol, [protocol]),
                // Rule Q4: some senders write two bytes.
                Err(_) => chunk_writer.field(GenericChunk::Protocol, protocol.to_be_bytes()),
            }
        }
        if let Some(IpAddr::V4(address)) = packet.src_ip {
            chunk_writer.field(GenericChunk::Ipv4Source, address.octets());
        }
        if let Some(IpAddr::V4(address)) = packet.dst_ip {
            chunk_writer.field(GenericChunk::Ipv4Destination, address.octets());
        }
        if let Some(IpAddr::V6(address)) = packet.src_ip {
            chunk_writer.field(GenericChunk::Ipv6Source, address.octets());
        }
        if let Some(IpAddr::V6(address)) = packet.dst_ip {
            chunk_writer.field(GenericChunk::Ipv6Destination, address.octets());
        }
        if let Some(port) = packet.src_port {
            chunk_writer.field(GenericChunk::SourcePort, port.to_be_bytes());
        }
        if let Some(port) = packet.dst_port {
            chunk_writer.field(GenericChunk::DestinationPort, port.to_be_bytes());
        }
        chunk_writer.field(GenericChunk::Seconds, timestamp.seconds.to_be_bytes());
        chunk_writer.field(GenericChunk::Microseconds, timestamp.microseconds.to_be_bytes());
        chunk_writer.field(GenericChunk::PayloadType, [packet.payload_type]);
        if let Some(id) = packet.capture_id {
            chunk_writer.field(GenericChunk::CaptureId, id.to_be_bytes());
        }
        chunk_writer.others_below(u32::MAX);
        let ChunkWriter { mut writer, others, .. } = chunk_writer;
        writer.put(payload);
        writer.finish();
        others
    }

    /// Like [`write`](Self::write), but not inlined: for the rarer packets.
    #[inline(never)]
    fn write_any(self, header: &mut Header) -> &'c [Chunk<'c>] {
        self.write(header)
    }
}

/// Writes generic chunks in the order of their ids: those of fields, merged with the packet's other ones.
///
/// Only inlined functions take it by value, so that it stays in registers.
struct ChunkWriter<'h, 'c> {
    writer: Writer<'h>,
    /// The chunks not yet written.
    others: &'c [Chunk<'c>],
    /// The id of the first of them; above all ids if none is generic.
    next: u32,
}

impl ChunkWriter<'_, '_> {
    #[expect(clippy::inline_always, reason = "what it writes is mostly known where it is called")]
    #[inline(always)]
    fn field<const WIDTH: usize>(&mut self, chunk: GenericChunk, value: [u8; WIDTH]) {
        let id = u16::from(chunk);
        self.others_below(id.into());
        self.writer.put(chunk_header(0, id, chunk_length(&value)));
        self.writer.put(value);
    }

    /// Writes the chunks with a lower id.
    #[inline]
    fn others_below(&mut self, limit: u32) {
        if self.next < limit {
            self.others = self.writer.put_with(|writer| put_chunks(writer, self.others, limit));
            self.next = first_id(self.others);
        }
    }
}

#[inline]
fn first_id(others: &[Chunk<'_>]) -> u32 {
    match others {
        [Chunk { vendor: 0, id, .. }, ..] => (*id).into(),
        _ => u32::MAX,
    }
}

/// Writes the leading generic chunks with an id below `limit`, and returns the rest.
#[inline(never)]
fn put_chunks<'c>(writer: &mut Writer<'_>, mut chunks: &'c [Chunk<'c>], limit: u32) -> &'c [Chunk<'c>] {
    while let [Chunk { vendor: 0, id, value }, rest @ ..] = chunks
        && u32::from(*id) < limit
    {
        writer.put(chunk_header(0, *id, chunk_length(value)));
        writer.put_slice(value);
        chunks = rest;
    }
    chunks
}

/// Checks that the chunks fit a packet, before any of them is written.
#[inline]
fn fit(chunks: &[Chunk<'_>]) -> Result<(), EncodeError> {
    let sizes = chunks.iter().map(|chunk| chunk.value.len().saturating_add(frame::HEADER.into()));
    let size = sizes.fold(0, usize::saturating_add);
    u16::try_from(size).map(|_| ()).map_err(|_| EncodeError::TooLarge { size })
}

/// A chunk's length field. It saturates: `total` then reports `TooLarge`.
#[inline]
fn chunk_length(value: &[u8]) -> u16 {
    u16::try_from(value.len()).unwrap_or(u16::MAX).saturating_add(frame::HEADER)
}

#[inline]
fn chunk_header(vendor: u16, id: u16, length: u16) -> [u8; 6] {
    let [[v0, v1], [i0, i1], [l0, l1]] = [vendor, id, length].map(u16::to_be_bytes);
    [v0, v1, i0, i1, l0, l1]
}

#[inline]
fn pack(payload: &[u8], compress: Compress) -> Option<Vec<u8>> {
    match compress {
        Compress::None => None,
        Compress::Zlib => zlib(payload),
        Compress::Gzip => gzip(payload),
    }
}

#[inline(never)]
fn zlib(payload: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(payload).and_then(|()| encoder.finish()).ok()
}

#[inline(never)]
fn gzip(payload: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(payload).and_then(|()| encoder.finish()).ok()
}
