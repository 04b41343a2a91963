//! What real senders do that the specification does not say: one function a quirk.
//!
//! Each has a fixture in `test/fixtures` (the manifest's `rules` names it).

use core::net::{IpAddr, Ipv6Addr};

use crate::{Family, HeaderLength, Timestamp, V2Order, Version};

/// One second in microseconds: what a microseconds field must stay below.
const SECOND: u32 = 1_000_000;

/// How a header of version 1 or 2 states its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// The whole header, as documented: the original Erlang library, FreeSWITCH.
    Documented,
    /// Something else.
    Other,
}

/// The documented length of a fixed header, the time header of version 2 included.
#[must_use]
pub const fn documented_length(version: Version, family: Family) -> u8 {
    match (family, version) {
        (Family::Ipv4, Version::V2) => 28,
        (Family::Ipv6, Version::V2) => 52,
        (Family::Ipv4, _) => 16,
        (Family::Ipv6, _) => 40,
    }
}

/// **Q1** Checks the header length of versions 1 and 2; `None` means that no sender writes it.
///
/// The documented value counts the whole header. In version 2 Kamailio, OpenSIPS and captagent write
/// the length of version 1, and sngrep (1.4 to 1.9) writes the high byte of the datagram's length.
#[must_use]
pub fn header_form(
    version: Version,
    family: Family,
    family_number: u8,
    header_length: u8,
    datagram_length: usize,
    option: HeaderLength,
) -> Option<HeaderForm> {
    let (addresses, documented) =
        (documented_length(Version::V1, family), documented_length(version, family));
    let sngrep = version == Version::V2
        && family_number == family.number()
        && datagram_length >> 8 == usize::from(header_length);
    if header_length == documented {
        Some(HeaderForm::Documented)
    } else if header_length == addresses || sngrep || option == HeaderLength::Ignore {
        Some(HeaderForm::Other)
    } else {
        None
    }
}

/// A byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

/// **Q2** Finds the byte order of the time header of version 2.
///
/// It is documented as big-endian; every sender in C writes its host's order. The order in which the
/// microseconds are below a second holds; where that tells nothing, the header's form does.
#[must_use]
pub fn time_order(microseconds: [u8; 4], form: HeaderForm, option: V2Order) -> ByteOrder {
    let big = u32::from_be_bytes(microseconds) < SECOND;
    let little = u32::from_le_bytes(microseconds) < SECOND;
    let is_big = match option {
        V2Order::Big => true,
        V2Order::Little => false,
        V2Order::Auto if big != little => big,
        V2Order::Auto => form == HeaderForm::Documented,
    };
    if is_big { ByteOrder::Big } else { ByteOrder::Little }
}

/// **Q3** Other systems' `AF_INET6`: 23 Windows, 24 NetBSD and OpenBSD, 26 Solaris, 28 FreeBSD,
/// 30 macOS. Senders in C write the number of the system they run on.
#[must_use]
pub const fn is_foreign_inet6(family: u8) -> bool {
    matches!(family, 23 | 24 | 26 | 28 | 30)
}

/// **Q4** eep-client writes the IP protocol id (0x02) in two bytes.
#[must_use]
pub fn wide_protocol(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

/// **Q5** Senders in Go write an IPv4 address (0x03, 0x04) as an IPv4-mapped IPv6 address.
#[must_use]
pub fn mapped_ipv4(value: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 16] = value.try_into().ok()?;
    Ipv6Addr::from(octets).to_ipv4_mapped().map(IpAddr::V4)
}

/// **Q6** An old sender in Java writes its ports as 0x05 and 0x06: two bytes, no IPv6 address.
#[must_use]
pub const fn is_port_as_ipv6(value: &[u8]) -> bool {
    value.len() == 2
}

/// **Q7** rtpengine 13.4 writes seconds and microseconds byte-swapped.
#[must_use]
pub const fn swapped_timestamp(timestamp: Timestamp) -> Timestamp {
    if timestamp.microseconds >= SECOND && timestamp.microseconds.swap_bytes() < SECOND {
        Timestamp {
            seconds: timestamp.seconds.swap_bytes(),
            microseconds: timestamp.microseconds.swap_bytes(),
        }
    } else {
        timestamp
    }
}

/// The same time, but one that [`swapped_timestamp`] leaves alone, and whose byte order [`time_order`] finds: where
/// it would not, the microseconds are carried over into the seconds. `None` where the seconds have no room for them.
#[must_use]
pub fn unswappable_timestamp(timestamp: Timestamp) -> Option<Timestamp> {
    if swapped_timestamp(timestamp) == timestamp {
        return Some(timestamp);
    }
    let seconds = timestamp.seconds.checked_add(timestamp.microseconds / SECOND)?;
    Some(Timestamp { seconds, microseconds: timestamp.microseconds % SECOND })
}

/// How a compressed payload (0x10) is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// zlib (RFC 1950).
    Zlib,
    /// deflate without a header (RFC 1951).
    Raw,
}

/// **Q8** captagent packs payloads with zlib, OpenSIPS with gzip; neither says so.
#[must_use]
pub const fn sniff_compression(value: &[u8]) -> Compression {
    match value {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [cmf, flags, ..] if *cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flags]).is_multiple_of(31) => {
            Compression::Zlib
        }
        _ => Compression::Raw,
    }
}

/// **Q9** sngrep, sipgrep, hep-c and old captagents write the capture id shifted left by 16 bits.
#[must_use]
pub const fn shifted_capture_id(id: u32) -> u32 {
    if id.trailing_zeros() >= 16 { id >> 16 } else { id }
}

/// **Q10** OpenSIPS reserves the addresses of a version 1 or 2 header twice, and sends what it
/// reserved: 8 (IPv4) or 32 (IPv6) NUL bytes behind the payload. They are taken off a text; what is longer
/// than any datagram is not searched for NUL bytes.
#[must_use]
pub fn without_opensips_padding(payload: &[u8], family: Family) -> &[u8] {
    let padding: &[u8] = match family {
        Family::Ipv4 => &[0; 8],
        Family::Ipv6 => &[0; 32],
    };
    match payload.strip_suffix(padding) {
        Some(text) if !text.is_empty() && u16::try_from(text.len()).is_ok() && !text.contains(&0) => text,
        _ => payload,
    }
}
