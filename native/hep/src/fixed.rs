//! The fixed header of versions 1 and 2.

use core::net::IpAddr;

use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};

use crate::clock::Clock;
use crate::error::DecodeError;
use crate::options::Options;
use crate::quirks::{self, ByteOrder};
use crate::types::{Family, Timestamp, Version};

/// The parts of a version 1 or 2 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FixedPacket<'a> {
    pub(crate) version: Version,
    pub(crate) family: Family,
    pub(crate) protocol: &'a [u8],
    pub(crate) src_port: &'a [u8],
    pub(crate) dst_port: &'a [u8],
    pub(crate) src_ip: &'a [u8],
    pub(crate) dst_ip: &'a [u8],
    /// Version 2 only.
    pub(crate) time: Option<TimeHeader>,
    /// Everything after the header.
    pub(crate) payload: &'a [u8],
}

/// The time header of version 2, in the detected byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeHeader {
    pub(crate) timestamp: Timestamp,
    pub(crate) capture_id: u16,
}

/// The byte parsers' errors carry no information: their callers know the meaning.
type Bytes<'a, Output> = Result<(&'a [u8], Output), nom::Err<()>>;

impl<'a> FixedPacket<'a> {
    /// Splits a packet of `version` into its parts; `input` begins with the version byte.
    #[inline]
    pub(crate) fn read(
        version: Version,
        input: &'a [u8],
        options: &Options,
        clock: &impl Clock,
    ) -> Result<Self, DecodeError> {
        let truncated = |_| DecodeError::Truncated { offset: input.len() };
        let (rest, (_version, header_length, family_number)) =
            (be_u8::<_, ()>, be_u8, be_u8).parse(input).map_err(truncated)?;
        let family = read_family(family_number, header_length)
            .ok_or(DecodeError::UnknownProtocolFamily { family: family_number })?;
        let form = quirks::header_form(
            version,
            family,
            family_number,
            header_length,
            input.len(),
            options.header_length,
        )
        .ok_or(DecodeError::InvalidHeaderLength { length: header_length })?;
        let (rest, (protocol, src_port, dst_port, src_ip, dst_ip)) =
            addresses(rest, family).map_err(truncated)?;
        let (payload, time) = match version {
            Version::V2 => {
                let (payload, (seconds, microseconds, id)) = time_header(rest).map_err(truncated)?;
                let order = quirks::time_order(seconds, microseconds, form, options.v2_order, clock);
                (payload, Some(TimeHeader::new(seconds, microseconds, id, order)))
            }
            Version::V1 | Version::V3 => (rest, None),
        };
        Ok(Self { version, family, protocol, src_port, dst_port, src_ip, dst_ip, time, payload })
    }
}

impl TimeHeader {
    fn new(seconds: [u8; 4], microseconds: [u8; 4], id: [u8; 2], order: ByteOrder) -> Self {
        match order {
            ByteOrder::Big => Self {
                timestamp: Timestamp {
                    seconds: u32::from_be_bytes(seconds),
                    microseconds: u32::from_be_bytes(microseconds),
                },
                capture_id: u16::from_be_bytes(id),
            },
            ByteOrder::Little => Self {
                timestamp: Timestamp {
                    seconds: u32::from_le_bytes(seconds),
                    microseconds: u32::from_le_bytes(microseconds),
                },
                capture_id: u16::from_le_bytes(id),
            },
        }
    }
}

/// Reads an address of 4 or 16 bytes.
pub(crate) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

fn read_family(number: u8, header_length: u8) -> Option<Family> {
    match Family::from_number(number) {
        None if quirks::is_foreign_inet6(number) && matches!(header_length, 40 | 52) => Some(Family::Ipv6),
        family => family,
    }
}

type Addresses<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8], &'a [u8]);

fn addresses(input: &[u8], family: Family) -> Bytes<'_, Addresses<'_>> {
    let width = family.width();
    (take(1_usize), take(2_usize), take(2_usize), take(width), take(width)).parse(input)
}

type RawTime = ([u8; 4], [u8; 4], [u8; 2]);

fn time_header(input: &[u8]) -> Bytes<'_, RawTime> {
    let (rest, (seconds, microseconds, id, _unused)) = (four, four, two, be_u16).parse(input)?;
    Ok((rest, (seconds, microseconds, id)))
}

fn four(input: &[u8]) -> Bytes<'_, [u8; 4]> {
    fixed(input)
}

fn two(input: &[u8]) -> Bytes<'_, [u8; 2]> {
    fixed(input)
}

fn fixed<const N: usize>(input: &[u8]) -> Bytes<'_, [u8; N]> {
    match input.split_first_chunk::<N>() {
        Some((octets, rest)) => Ok((rest, *octets)),
        None => Err(nom::Err::Error(())),
    }
}
