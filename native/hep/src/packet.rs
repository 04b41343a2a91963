//! The record view: a packet with one field per fact.

use core::net::IpAddr;

use crate::fixed::{self, FixedPacket};
use crate::frame::{Chunk, Frame, HEADER};
use crate::registry::{GenericChunk, PayloadType};
use crate::{CaptureId, DecodeError, Options, Timestamp, Version, inflate, quirks};

/// The protocol family of the captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, number 2.
    Ipv4,
    /// IPv6, number 10.
    Ipv6,
}

impl Family {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    /// The family of a number on the wire.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Ipv4),
            10 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The width of an address in bytes.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }
}

/// A decoded packet: one field per fact, borrowed from the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// HEP version.
    pub version: Version,
    /// Protocol family; follows the addresses where there are any.
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
    /// When the payload was captured. Version 1 has no such field: the time of decoding.
    pub timestamp: Option<Timestamp>,
    /// Capture agent id. Version 1 has none.
    pub capture_id: Option<u32>,
    /// Payload type as a number, see [`PayloadType`]; SIP where the packet does not say.
    pub payload_type: u8,
    /// What was captured.
    pub payload: Payload<'a>,
    /// Every chunk without a field of its own, in order: vendors', unknown, and generic ones.
    pub chunks: Vec<Chunk<'a>>,
}

/// The payload of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// As it stands in the packet.
    Plain(&'a [u8]),
    /// Not yet inflated, see [`Packet::inflate`].
    Compressed {
        /// The compressed bytes.
        data: &'a [u8],
        /// Where they begin in the packet.
        offset: usize,
    },
    /// Inflated.
    Inflated(Vec<u8>),
}

impl Payload<'_> {
    /// The payload's bytes; the compressed ones where it is not inflated.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) | Self::Compressed { data: bytes, .. } => bytes,
            Self::Inflated(bytes) => bytes,
        }
    }
}

impl<'a> Packet<'a> {
    /// Reads a packet, but leaves a compressed payload compressed.
    ///
    /// `now` is asked for the time of decoding of version 1, which carries none.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong and where.
    #[inline]
    pub fn read(
        input: &'a [u8],
        options: &Options,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Self, DecodeError> {
        match Version::of_fixed_header(input) {
            Some(version) => Ok(Self::from_fixed(FixedPacket::read(version, input, options)?, now)),
            None => Self::from_frame(Frame::read(input)?, options),
        }
    }

    /// Inflates a compressed payload, to `limit` bytes at the most; any other stays as it is.
    ///
    /// # Errors
    /// [`DecodeError::InvalidChunk`] when the compressed bytes are broken or inflate beyond the limit.
    pub fn inflate(mut self, limit: usize) -> Result<Self, DecodeError> {
        if let Payload::Compressed { data, offset } = self.payload {
            let inflated = inflate::inflate(data, limit).ok_or(DecodeError::InvalidChunk {
                vendor: 0,
                id: GenericChunk::CompressedPayload.into(),
                offset,
                length: data.len(),
            })?;
            self.payload = Payload::Inflated(inflated);
        }
        Ok(self)
    }

    fn new(version: Version) -> Self {
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
            chunks: Vec::new(),
        }
    }

    fn from_fixed(fixed: FixedPacket<'a>, now: impl FnOnce() -> Timestamp) -> Self {
        Self {
            family: Some(fixed.family),
            protocol: uint8(fixed.protocol).map(u16::from),
            src_ip: fixed::address(fixed.src_ip),
            src_port: uint16(fixed.src_port),
            dst_ip: fixed::address(fixed.dst_ip),
            dst_port: uint16(fixed.dst_port),
            timestamp: Some(fixed.time.map_or_else(now, |time| time.timestamp)),
            capture_id: fixed.time.map(|time| time.capture_id.into()),
            payload: Payload::Plain(quirks::without_opensips_padding(fixed.payload, fixed.family)),
            ..Self::new(fixed.version)
        }
    }

    #[inline]
    fn from_frame(frame: Frame<'a>, options: &Options) -> Result<Self, DecodeError> {
        let mut packet = Self::new(Version::V3);
        let mut facts = Facts::default();
        for item in frame.chunks() {
            let (offset, chunk) = item?;
            if chunk.vendor == 0 {
                packet.take_generic(chunk, offset, &mut facts)?;
            } else {
                packet.chunks.push(chunk);
            }
        }
        packet.settle(&facts, options)?;
        Ok(packet)
    }

    /// Puts a generic chunk where it belongs.
    #[inline]
    fn take_generic(
        &mut self,
        chunk: Chunk<'a>,
        offset: usize,
        facts: &mut Facts,
    ) -> Result<(), DecodeError> {
        let generic = GenericChunk::from(chunk.id);
        let Some(kind) = generic.kind() else {
            self.chunks.push(chunk);
            return Ok(());
        };
        let value = chunk.value;
        if value.is_empty() {
            return Ok(());
        }
        let taken = match generic {
            GenericChunk::ProtocolFamily => {
                set(&mut facts.family, uint8(value).map(|number| (number, offset)))
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
            GenericChunk::PayloadType => set(&mut facts.payload_type, uint8(value)),
            GenericChunk::CaptureId => set(&mut self.capture_id, uint32(value)),
            GenericChunk::Payload => {
                self.payload = Payload::Plain(value);
                true
            }
            GenericChunk::CompressedPayload => {
                let offset = offset.saturating_add(HEADER.into());
                self.payload = Payload::Compressed { data: value, offset };
                true
            }
            _ => {
                let fits = kind.width().is_none_or(|width| width == value.len());
                if fits {
                    self.chunks.push(chunk);
                }
                fits
            }
        };
        if taken { Ok(()) } else { Err(invalid(chunk, offset)) }
    }

    /// Settles what several chunks say together.
    #[inline]
    fn settle(&mut self, facts: &Facts, options: &Options) -> Result<(), DecodeError> {
        if facts.seconds.is_some() || facts.microseconds.is_some() {
            self.timestamp = Some(quirks::swapped_timestamp(Timestamp {
                seconds: facts.seconds.unwrap_or(0),
                microseconds: facts.microseconds.unwrap_or(0),
            }));
        }
        if let Some(payload_type) = facts.payload_type {
            self.payload_type = payload_type;
        }
        if options.capture_id == CaptureId::Repair {
            self.capture_id = self.capture_id.map(quirks::shifted_capture_id);
        }
        self.family = match (self.src_ip.or(self.dst_ip), facts.family) {
            (Some(address), _) => Some(Family::of(address)),
            (None, Some((number, offset))) => Some(stated_family(number, offset)?),
            (None, None) => None,
        };
        Ok(())
    }
}

/// Facts that several chunks tell together, or that others overrule.
#[derive(Default)]
struct Facts {
    /// The number, and where its chunk begins.
    family: Option<(u8, usize)>,
    seconds: Option<u32>,
    microseconds: Option<u32>,
    payload_type: Option<u8>,
}

/// The family that the chunk states, for a packet without addresses.
fn stated_family(number: u8, offset: usize) -> Result<Family, DecodeError> {
    match Family::from_number(number) {
        Some(family) => Ok(family),
        None if quirks::is_foreign_inet6(number) => Ok(Family::Ipv6),
        None => {
            let id = GenericChunk::ProtocolFamily.into();
            Err(invalid(Chunk { vendor: 0, id, value: &[number] }, offset))
        }
    }
}

fn invalid(chunk: Chunk<'_>, offset: usize) -> DecodeError {
    DecodeError::InvalidChunk {
        vendor: chunk.vendor,
        id: chunk.id,
        offset: offset.saturating_add(HEADER.into()),
        length: chunk.value.len(),
    }
}

/// Stores what was read; `false` when nothing could be read.
#[inline]
fn set<T>(field: &mut Option<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    if read {
        *field = value;
    }
    read
}

fn ipv4(value: &[u8]) -> Option<IpAddr> {
    let octets: Option<[u8; 4]> = value.try_into().ok();
    octets.map(IpAddr::from).or_else(|| quirks::mapped_ipv4(value))
}

fn ipv6(value: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = value.try_into().ok()?;
    Some(IpAddr::from(octets))
}

fn uint8(value: &[u8]) -> Option<u8> {
    value.try_into().ok().map(u8::from_be_bytes)
}

fn uint16(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

fn uint32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}
