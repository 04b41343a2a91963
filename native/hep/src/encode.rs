//! Writing packets.

use std::borrow::Cow;
use std::io::Write;

use core::net::IpAddr;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use smallvec::SmallVec;
use thiserror::Error;

use crate::frame::{self, Chunk};
use crate::header::Header;
use crate::packet::{Family, Packet, is_kept};
use crate::registry::{GenericChunk, MAGIC, PayloadType};
use crate::{Timestamp, Version, quirks};

/// How version 2 is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V2Style {
    /// As documented: the header length counts the whole header, all integers are big-endian.
    #[default]
    Documented,
    /// As receivers in C expect it: the header length of version 1, a little-endian time header.
    C,
}

/// How the payload of version 3 is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// Not at all: chunk 0x0f.
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
    /// How the payload of version 3 is packed.
    pub compress: Compress,
    /// The authenticate key of version 3, in place of the packet's.
    pub auth_key: Option<&'a [u8]>,
}

/// A written packet in three parts, to be sent one behind the other. The payload is the packet's own.
#[derive(Clone, Debug, Default)]
pub struct Encoded<'a> {
    /// All that stands before the payload.
    pub header: Header,
    /// The payload, compressed where that was asked for.
    pub payload: Cow<'a, [u8]>,
    /// All that stands behind it: the vendors' chunks.
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

/// Why a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Versions 1 and 2 need the field.
    #[error("{0:?} is missing: versions 1 and 2 need it")]
    Missing(Field),
    /// The version has no place for the field's value.
    #[error("the version has no place for {0:?}")]
    Unsupported(Field),
    /// Versions 1 and 2 carry SIP only.
    #[error("payload type {0}: versions 1 and 2 carry SIP only")]
    UnsupportedPayloadType(u8),
    /// The address is not of the packet's protocol family.
    #[error("{0:?} is not of the packet's protocol family")]
    WrongFamily(Field),
    /// A chunk among `chunks` has a field of its own, or the wrong width.
    #[error("chunk {id:#06x} of vendor {vendor} has a field of its own, or a wrong width")]
    InvalidChunk {
        /// The chunk's vendor id.
        vendor: u16,
        /// The chunk's id.
        id: u16,
    },
    /// The packet would be larger than its length can say.
    #[error("the packet would have {size} bytes, more than 65535")]
    TooLarge {
        /// How large it would be at the least.
        size: usize,
    },
}

/// Writes a packet. The time is `now` where it has none.
pub(crate) fn encode<'a>(
    packet: &'a Packet<'_>,
    options: &EncodeOptions<'_>,
    now: impl FnOnce() -> Timestamp,
) -> Result<Encoded<'a>, EncodeError> {
    let mut encoded = Encoded::default();
    encode_into(&mut encoded, packet, options, now)?;
    Ok(encoded)
}

/// Writes a packet into `encoded`.
#[inline]
pub(crate) fn encode_into<'a>(
    encoded: &mut Encoded<'a>,
    packet: &'a Packet<'_>,
    options: &EncodeOptions<'_>,
    now: impl FnOnce() -> Timestamp,
) -> Result<(), EncodeError> {
    let family = family(packet)?;
    let timestamp = packet.timestamp.unwrap_or_else(now);
    encoded.payload = Cow::Borrowed(packet.payload.as_bytes());
    match packet.version {
        Version::V1 | Version::V2 => fixed(&mut encoded.header, packet, timestamp, options)?,
        Version::V3 => framed(encoded, packet, family, timestamp, options)?,
    }
    total(encoded).map(|_| ())
}

/// Begins a frame of version 3, whose length is not known yet.
fn begin_frame(header: &mut Header) {
    header.put_slice(MAGIC);
    header.put([0, 0]);
}

/// Writes the total length into the header of version 3.
fn state_total(encoded: &mut Encoded<'_>) -> Result<(), EncodeError> {
    let total = total(encoded)?;
    encoded.header.put_at(MAGIC.len(), total.to_be_bytes());
    Ok(())
}

/// The length of the whole packet, as version 3 states it.
fn total(encoded: &Encoded<'_>) -> Result<u16, EncodeError> {
    let sizes = [encoded.header.len(), encoded.payload.len(), encoded.trailer.len()];
    let size = sizes.into_iter().fold(0, usize::saturating_add);
    u16::try_from(size).map_err(|_| EncodeError::TooLarge { size })
}

/// The packet's family, which its addresses must be of.
///
/// Version 3 has chunks of its own for either direction: where the packet says what the source's family is, as a
/// decoded packet does, the destination may be of the other one.
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

/// Versions 1 and 2. The addresses are of one family.
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
    header.put([
        packet.version.number(),
        quirks::documented_length(counted, family),
        family.number(),
        protocol,
    ]);
    header.put(src_port.to_be_bytes());
    header.put(dst_port.to_be_bytes());
    for address in [src_ip, dst_ip] {
        match address {
            IpAddr::V4(address) => header.put(address.octets()),
            IpAddr::V6(address) => header.put(address.octets()),
        }
    }
    if let Some(id) = id {
        let Timestamp { seconds, microseconds } = readable(timestamp)?;
        let (seconds, microseconds, id) = match options.v2_style {
            V2Style::Documented => (seconds.to_be_bytes(), microseconds.to_be_bytes(), id.to_be_bytes()),
            V2Style::C => (seconds.to_le_bytes(), microseconds.to_le_bytes(), id.to_le_bytes()),
        };
        header.put(seconds);
        header.put(microseconds);
        header.put(id);
        header.put([0, 0]);
    }
    Ok(())
}

/// The time as it will be read.
fn readable(timestamp: Timestamp) -> Result<Timestamp, EncodeError> {
    quirks::unswappable_timestamp(timestamp).ok_or(EncodeError::Unsupported(Field::Timestamp))
}

/// Version 3: the generic chunks in the order of their ids, then the payload, then the vendors' chunks.
fn framed(
    encoded: &mut Encoded<'_>,
    packet: &Packet<'_>,
    family: Option<Family>,
    timestamp: Timestamp,
    options: &EncodeOptions<'_>,
) -> Result<(), EncodeError> {
    begin_frame(&mut encoded.header);
    let mut writer = Writer { header: &mut encoded.header, kept: SmallVec::new(), written: 0 };
    writer.keep(packet, options)?;
    if let Some(family) = family {
        writer.own(GenericChunk::ProtocolFamily, [family.number()])?;
    }
    match packet.protocol.map(|protocol| (u8::try_from(protocol), protocol)) {
        Some((Ok(protocol), _)) => writer.own(GenericChunk::Protocol, [protocol])?,
        // Rule Q4: there are senders of two bytes.
        Some((Err(_), protocol)) => writer.own(GenericChunk::Protocol, protocol.to_be_bytes())?,
        None => {}
    }
    for (chunk, address) in
        [(GenericChunk::Ipv4Source, packet.src_ip), (GenericChunk::Ipv4Destination, packet.dst_ip)]
    {
        if let Some(IpAddr::V4(address)) = address {
            writer.own(chunk, address.octets())?;
        }
    }
    for (chunk, address) in
        [(GenericChunk::Ipv6Source, packet.src_ip), (GenericChunk::Ipv6Destination, packet.dst_ip)]
    {
        if let Some(IpAddr::V6(address)) = address {
            writer.own(chunk, address.octets())?;
        }
    }
    if let Some(port) = packet.src_port {
        writer.own(GenericChunk::SourcePort, port.to_be_bytes())?;
    }
    if let Some(port) = packet.dst_port {
        writer.own(GenericChunk::DestinationPort, port.to_be_bytes())?;
    }
    let timestamp = readable(timestamp)?;
    writer.own(GenericChunk::Seconds, timestamp.seconds.to_be_bytes())?;
    writer.own(GenericChunk::Microseconds, timestamp.microseconds.to_be_bytes())?;
    writer.own(GenericChunk::PayloadType, [packet.payload_type])?;
    if let Some(id) = packet.capture_id {
        writer.own(GenericChunk::CaptureId, id.to_be_bytes())?;
    }
    writer.kept_below(u32::from(u16::MAX).saturating_add(1))?;

    let mut id = GenericChunk::Payload;
    if packet.payload.is_compressed() {
        // As it came: `Packet::inflate` was not called.
        id = GenericChunk::CompressedPayload;
    } else if let Some(smaller) = pack(packet.payload.as_bytes(), options.compress) {
        id = GenericChunk::CompressedPayload;
        encoded.payload = Cow::Owned(smaller);
    }
    put_chunk_header(&mut encoded.header, 0, id.into(), encoded.payload.len())?;

    for chunk in packet.chunks.iter().filter(|chunk| chunk.vendor != 0) {
        let trailer = &mut encoded.trailer;
        trailer.extend(chunk_header(chunk.vendor, chunk.id, chunk.value.len(), trailer.len())?);
        trailer.extend_from_slice(chunk.value);
    }
    state_total(encoded)
}

/// Writes generic chunks in the order of their ids: fields' own, and between them the kept ones.
struct Writer<'h, 'a> {
    header: &'h mut Header,
    kept: SmallVec<[(u16, &'a [u8]); 8]>,
    written: usize,
}

impl<'a> Writer<'_, 'a> {
    /// The generic chunks among the packet's `chunks`, in the order of their ids.
    fn keep(&mut self, packet: &'a Packet<'_>, options: &EncodeOptions<'a>) -> Result<(), EncodeError> {
        let auth_key = u16::from(GenericChunk::AuthKey);
        for &Chunk { vendor, id, value } in packet.chunks.iter().filter(|chunk| chunk.vendor == 0) {
            if !is_kept(id, value) {
                return Err(EncodeError::InvalidChunk { vendor, id });
            }
            if id != auth_key || options.auth_key.is_none() {
                self.kept.push((id, value));
            }
        }
        self.kept.extend(options.auth_key.map(|key| (auth_key, key)));
        self.kept.sort_by_key(|&(id, _)| id);
        Ok(())
    }

    #[inline]
    fn own<const WIDTH: usize>(
        &mut self,
        chunk: GenericChunk,
        value: [u8; WIDTH],
    ) -> Result<(), EncodeError> {
        let id = u16::from(chunk);
        self.kept_below(id.into())?;
        put_chunk_header(self.header, 0, id, WIDTH)?;
        self.header.put(value);
        Ok(())
    }

    #[inline]
    fn kept_below(&mut self, limit: u32) -> Result<(), EncodeError> {
        while let Some(&(id, value)) = self.kept.get(self.written).filter(|&&(id, _)| u32::from(id) < limit) {
            put_chunk(self.header, 0, id, value)?;
            self.written = self.written.saturating_add(1);
        }
        Ok(())
    }
}

fn put_chunk(header: &mut Header, vendor: u16, id: u16, value: &[u8]) -> Result<(), EncodeError> {
    put_chunk_header(header, vendor, id, value.len())?;
    header.put_slice(value);
    Ok(())
}

#[inline]
fn put_chunk_header(header: &mut Header, vendor: u16, id: u16, width: usize) -> Result<(), EncodeError> {
    header.put(chunk_header(vendor, id, width, header.len())?);
    Ok(())
}

/// The header of a chunk behind others of `size` bytes.
#[inline]
fn chunk_header(vendor: u16, id: u16, width: usize, size: usize) -> Result<[u8; 6], EncodeError> {
    let size = size.saturating_add(width).saturating_add(frame::HEADER.into());
    // Nothing beyond the limit is written, however many chunks there are.
    u16::try_from(size).map_err(|_| EncodeError::TooLarge { size })?;
    let length = u16::try_from(width).ok().and_then(|width| width.checked_add(frame::HEADER));
    let length = length.ok_or(EncodeError::TooLarge { size })?;
    let [[v0, v1], [i0, i1], [l0, l1]] = [vendor, id, length].map(u16::to_be_bytes);
    Ok([v0, v1, i0, i1, l0, l1])
}

fn pack(payload: &[u8], compress: Compress) -> Option<Vec<u8>> {
    match compress {
        Compress::None => None,
        Compress::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(payload).and_then(|()| encoder.finish()).ok()
        }
        Compress::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(payload).and_then(|()| encoder.finish()).ok()
        }
    }
}
