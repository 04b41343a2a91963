//! The record view: a packet with one field per fact.

use core::net::IpAddr;

use smallvec::SmallVec;

use crate::clock::Clock;
use crate::error::DecodeError;
use crate::fixed::{self, FixedPacket};
use crate::frame::{Chunk, CutChunks, Frame};
use crate::options::{CaptureId, Lengths, Options, TimestampRepair};
use crate::registry::{GenericChunk, PayloadType};
use crate::types::{Family, Timestamp, Version};
use crate::{inflate, quirks};

/// Decodes a packet, one field per fact, and inflates a compressed payload. A packet in gzip must be
/// [unpacked](crate::unpack()) first.
///
/// The clock supplies the time for packets of version 1, which carry none, and decides if a sender's time is ambiguous.
///
/// # Errors
/// [`DecodeError`] has the reason and the offset.
pub fn decode<'a>(input: &'a [u8], options: &Options, clock: impl Clock) -> Result<Packet<'a>, DecodeError> {
    Packet::read(input, options, clock)?.inflate(options.max_inflated)
}

/// A decoded packet: one field per fact, borrowed from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// HEP version.
    pub version: Version,
    /// Protocol family; that of the addresses if there are any.
    pub family: Option<Family>,
    /// IP protocol id: 6 TCP, 17 UDP, 132 SCTP, ...
    pub protocol: Option<u16>,
    /// Source address.
    pub src_ip: Option<IpAddr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination address.
    pub dst_ip: Option<IpAddr>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Time of capture. Version 1 has no such field: the time of decoding.
    pub timestamp: Option<Timestamp>,
    /// Capture agent id. Version 1 has none.
    pub capture_id: Option<u32>,
    /// Payload type as a number, see [`PayloadType`]; SIP if the packet does not state it.
    pub payload_type: u8,
    /// The captured payload.
    pub payload: Payload<'a>,
    /// All chunks without a field here, in order: vendors', unknown, and generic ones.
    pub chunks: OtherChunks<'a>,
    /// The error in the lengths of a packet that was decoded [leniently](Lengths::Lenient) and may be incomplete.
    /// Encoding and JSON ignore it.
    pub cut: Option<DecodeError>,
}

/// The chunks of a packet that have no field. A few, as in most packets, need no allocation.
pub type OtherChunks<'a> = SmallVec<[Chunk<'a>; 4]>;

/// The payload of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Unchanged from the packet.
    Plain(&'a [u8]),
    /// Still compressed, see [`Packet::inflate`].
    Compressed {
        /// The compressed bytes.
        data: &'a [u8],
        /// Their offset in the packet.
        offset: usize,
    },
    /// Inflated.
    Inflated(Vec<u8>),
}

impl Payload<'_> {
    /// Whether it is still compressed.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed { .. })
    }

    /// The payload's bytes; still compressed if it was not inflated.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) | Self::Compressed { data: bytes, .. } => bytes,
            Self::Inflated(bytes) => bytes,
        }
    }
}

impl<'a> Packet<'a> {
    /// Decodes a packet like [`decode`], but leaves a compressed payload compressed.
    ///
    /// # Errors
    /// [`DecodeError`] has the reason and the offset.
    #[inline]
    pub fn read(input: &'a [u8], options: &Options, clock: impl Clock) -> Result<Self, DecodeError> {
        let mut packet = Self::new(Version::V3);
        packet.read_into(input, options, clock)?;
        Ok(packet)
    }

    /// Like [`read`](Self::read), but reads into a packet just made by [`new`](Self::new), so that the large packet is
    /// not moved. Does not clear anything in it.
    ///
    /// # Errors
    /// [`DecodeError`] describes the error and its place; the contents of the packet are then meaningless.
    #[inline]
    pub fn read_into(
        &mut self,
        input: &'a [u8],
        options: &Options,
        clock: impl Clock,
    ) -> Result<(), DecodeError> {
        if let Some(version) = Version::of_fixed_header(input) {
            self.take_fixed(&FixedPacket::read(version, input, options, &clock)?, &clock);
            return Ok(());
        }
        match self.take_frame(input, options, &clock) {
            Err(reason) if options.lengths == Lengths::Lenient => {
                self.take_cut_frame(input, options, &clock, reason)
            }
            result => result,
        }
    }

    /// Builds a packet from chunks, of whatever version they were [parsed](crate::parse()); `None` if the value of a
    /// chunk is invalid.
    #[must_use]
    pub fn from_chunks(
        version: Version,
        chunks: impl IntoIterator<Item = Chunk<'a>>,
        clock: impl Clock,
    ) -> Option<Self> {
        // They have no offset: there is no packet.
        let offset = || 0;
        let mut packet = Self::new(version);
        let mut facts = Facts::default();
        chunks
            .into_iter()
            .try_for_each(|chunk| packet.take_chunk(chunk, offset, &mut facts).then_some(()))?;
        packet.finish(&facts, &Options::default(), &clock).ok()?;
        Some(packet)
    }

    /// Inflates a compressed payload to at most `limit` bytes; leaves any other unchanged.
    ///
    /// # Errors
    /// [`DecodeError::InvalidChunk`] if the compressed bytes are corrupt or inflate beyond the limit.
    pub fn inflate(mut self, limit: usize) -> Result<Self, DecodeError> {
        if let Payload::Compressed { data, offset } = self.payload {
            let inflated = inflate::inflate(data, limit).ok_or(invalid(
                0,
                GenericChunk::CompressedPayload.into(),
                data.len(),
                offset,
            ))?;
            self.payload = Payload::Inflated(inflated);
        }
        Ok(self)
    }

    /// An empty packet.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            family: None,
            protocol: None,
            src_ip: None,
            src_port: None,
            dst_ip: None,
            dst_port: None,
            timestamp: None,
            capture_id: None,
            payload_type: PayloadType::Sip.into(),
            payload: Payload::Plain(&[]),
            chunks: OtherChunks::new(),
            cut: None,
        }
    }

    #[inline]
    fn take_fixed(&mut self, fixed: &FixedPacket<'a>, clock: &impl Clock) {
        self.version = fixed.version;
        self.family = Some(fixed.family);
        self.protocol = uint8(fixed.protocol).map(u16::from);
        self.src_ip = fixed::address(fixed.src_ip);
        self.src_port = uint16(fixed.src_port);
        self.dst_ip = fixed::address(fixed.dst_ip);
        self.dst_port = uint16(fixed.dst_port);
        self.timestamp = Some(fixed.time.map_or_else(|| clock.now(), |time| time.timestamp));
        self.capture_id = fixed.time.map(|time| time.capture_id.into());
        self.payload = Payload::Plain(quirks::without_opensips_padding(fixed.payload, fixed.family));
    }

    #[inline]
    fn take_frame(
        &mut self,
        input: &'a [u8],
        options: &Options,
        clock: &impl Clock,
    ) -> Result<(), DecodeError> {
        self.version = Version::V3;
        let mut facts = Facts::default();
        let mut chunks = Frame::read(input)?.chunks();
        while let Some(chunk) = chunks.next() {
            let chunk = chunk?;
            if !self.take_chunk(chunk, || chunks.offset_of_value(&chunk), &mut facts) {
                return Err(invalid(
                    chunk.vendor,
                    chunk.id,
                    chunk.value.len(),
                    chunks.offset_of_value(&chunk),
                ));
            }
        }
        self.finish(&facts, options, clock)
    }

    /// Reads a frame with wrong lengths again, as far as possible; `reason` is the error in its lengths.
    #[cold]
    fn take_cut_frame(
        &mut self,
        input: &'a [u8],
        options: &Options,
        clock: &impl Clock,
        reason: DecodeError,
    ) -> Result<(), DecodeError> {
        let chunks = match reason {
            DecodeError::Truncated { .. }
            | DecodeError::TruncatedChunk { .. }
            | DecodeError::InvalidChunkLength { .. } => CutChunks::read(input).ok_or(reason)?,
            _ => return Err(reason),
        };
        *self = Self { cut: Some(reason), ..Self::new(Version::V3) };
        let mut facts = Facts::default();
        for (offset, chunk) in chunks {
            if !self.take_chunk(chunk, || offset, &mut facts) {
                return Err(invalid(chunk.vendor, chunk.id, chunk.value.len(), offset));
            }
        }
        self.finish(&facts, options, clock)
    }

    /// Stores a chunk in its field or in `chunks`; `false` if its value is invalid. `offset` is the start of the value.
    #[inline]
    fn take_chunk(&mut self, chunk: Chunk<'a>, offset: impl Fn() -> usize, facts: &mut Facts) -> bool {
        let Some(info) = GenericChunk::info(chunk.id).filter(|_| chunk.vendor == 0) else {
            self.chunks.push(chunk);
            return true;
        };
        let value = chunk.value;
        if value.is_empty() {
            return true;
        }
        match info.chunk {
            GenericChunk::ProtocolFamily => {
                set(&mut facts.family, uint8(value).map(|number| (number, offset())))
            }
            GenericChunk::Protocol => {
                set(&mut self.protocol, uint8(value).map(u16::from).or_else(|| quirks::wide_protocol(value)))
            }
            GenericChunk::Ipv4Source => set(&mut self.src_ip, ipv4(value)),
            GenericChunk::Ipv4Destination => set(&mut self.dst_ip, ipv4(value)),
            GenericChunk::Ipv6Source | GenericChunk::Ipv6Destination if quirks::is_port_as_ipv6(value) => {
                self.chunks.push(chunk);
                true
            }
            GenericChunk::Ipv6Source => set(&mut self.src_ip, ipv6(value)),
            GenericChunk::Ipv6Destination => set(&mut self.dst_ip, ipv6(value)),
            GenericChunk::SourcePort => set(&mut self.src_port, uint16(value)),
            GenericChunk::DestinationPort => set(&mut self.dst_port, uint16(value)),
            GenericChunk::Seconds => set(&mut facts.seconds, uint32(value)),
            GenericChunk::Microseconds => set(&mut facts.microseconds, uint32(value)),
            GenericChunk::PayloadType => uint8(value).map(|number| self.payload_type = number).is_some(),
            GenericChunk::CaptureId => set(&mut self.capture_id, uint32(value)),
            GenericChunk::Payload => {
                self.payload = Payload::Plain(value);
                true
            }
            GenericChunk::CompressedPayload => {
                self.payload = Payload::Compressed { data: value, offset: offset() };
                true
            }
            _ => {
                self.chunks.push(chunk);
                true
            }
        }
    }

    /// Sets the fields that depend on several chunks.
    #[inline]
    fn finish(&mut self, facts: &Facts, options: &Options, clock: &impl Clock) -> Result<(), DecodeError> {
        if facts.seconds.is_some() || facts.microseconds.is_some() {
            let timestamp = Timestamp {
                seconds: facts.seconds.unwrap_or(0),
                microseconds: facts.microseconds.unwrap_or(0),
            };
            // The chunks of a parsed packet of version 1 or 2 have the time already corrected.
            let is_kept = options.timestamp == TimestampRepair::Keep || self.version != Version::V3;
            self.timestamp =
                Some(if is_kept { timestamp } else { quirks::repaired_timestamp(timestamp, clock) });
        }
        if options.capture_id == CaptureId::Repair {
            self.capture_id = self.capture_id.map(quirks::shifted_capture_id);
        }
        self.family = match (self.src_ip.or(self.dst_ip), facts.family) {
            (Some(address), _) => Some(Family::of(address)),
            (None, Some((number, offset))) => stated_family(number, offset)?,
            (None, None) => None,
        };
        Ok(())
    }
}

/// Whether decoding puts this generic chunk into the packet's `chunks`; an empty one counts as absent.
pub(crate) fn is_other(id: u16, value: &[u8]) -> bool {
    GenericChunk::info(id).is_none_or(|info| match info.chunk {
        GenericChunk::Ipv6Source | GenericChunk::Ipv6Destination => quirks::is_port_as_ipv6(value),
        _ => !info.has_field,
    })
}

/// Facts that depend on several chunks.
#[derive(Default)]
struct Facts {
    /// The number and its offset.
    family: Option<(u8, usize)>,
    seconds: Option<u32>,
    microseconds: Option<u32>,
}

/// The family stated by the chunk, for a packet without addresses. 0, as in heplify's keep-alive, means none.
fn stated_family(number: u8, offset: usize) -> Result<Option<Family>, DecodeError> {
    match Family::from_number(number) {
        Some(family) => Ok(Some(family)),
        None if quirks::is_foreign_inet6(number) => Ok(Some(Family::Ipv6)),
        None if number == 0 => Ok(None),
        None => Err(invalid(0, GenericChunk::ProtocolFamily.into(), size_of_val(&number), offset)),
    }
}

#[cold]
const fn invalid(vendor: u16, id: u16, length: usize, offset: usize) -> DecodeError {
    DecodeError::InvalidChunk { vendor, id, offset, length }
}

/// Stores a value that was read; `false` if there is none.
#[inline]
fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    if read {
        *field = value;
    }
    read
}

#[inline]
fn ipv4(value: &[u8]) -> Option<IpAddr> {
    let octets: Option<[u8; 4]> = value.try_into().ok();
    octets.map(IpAddr::from).or_else(|| quirks::mapped_ipv4(value))
}

#[inline]
fn ipv6(value: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = value.try_into().ok()?;
    Some(IpAddr::from(octets))
}

#[inline]
fn uint8(value: &[u8]) -> Option<u8> {
    value.try_into().ok().map(u8::from_be_bytes)
}

#[inline]
fn uint16(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

#[inline]
fn uint32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_chunk_is_kept_among_the_chunks() {
        for id in 0..=u16::from(u8::MAX) {
            for value in (1..=17).flat_map(|length| [vec![0; length], vec![0xff; length]]) {
                let mut packet = Packet::new(Version::V3);
                let chunk = Chunk { vendor: 0, id, value: &value };
                packet.take_chunk(chunk, || 0, &mut Facts::default());
                assert_eq!(is_other(id, &value), packet.chunks.contains(&chunk), "{id} {value:?}");
            }
        }
    }
}
