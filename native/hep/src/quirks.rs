//! Deviations of real senders from the specification: one function per quirk.
//!
//! Each has a fixture in `test/fixtures` (see `rules` in the manifest).

use core::cmp::Ordering;
use core::net::{IpAddr, Ipv6Addr};

use crate::clock::Clock;
use crate::options::{HeaderLength, V2Order};
use crate::types::{Family, Timestamp, Version};

/// One second in microseconds: the limit of a microseconds field.
const SECOND: u32 = 1_000_000;
/// One day in seconds: how far ahead of the clock a sender's time may be.
const DAY: u32 = 24 * 60 * 60;

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

/// **Q1** Checks the header length of versions 1 and 2; `None` if no known sender writes it.
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
/// It is documented as big-endian, but senders in C write their host's order. The header length does not identify the
/// order: FreeSWITCH writes the documented length in host order, the forks of the Erlang library the other one in
/// big-endian. The order with microseconds below a second is chosen. If both have, the order with seconds
/// nearer to the clock; if they are equally near, or neither has, the header length decides.
#[must_use]
pub fn time_order(
    seconds: [u8; 4],
    microseconds: [u8; 4],
    form: HeaderForm,
    option: V2Order,
    clock: &impl Clock,
) -> ByteOrder {
    let big = u32::from_be_bytes(microseconds) < SECOND;
    let little = u32::from_le_bytes(microseconds) < SECOND;
    let is_big = match option {
        V2Order::Big => true,
        V2Order::Little => false,
        V2Order::Auto if big != little => big,
        V2Order::Auto => {
            let distances = if big { distances(seconds, clock) } else { (0, 0) };
            match distances.0.cmp(&distances.1) {
                Ordering::Less => true,
                Ordering::Greater => false,
                Ordering::Equal => form == HeaderForm::Documented,
            }
        }
    };
    if is_big { ByteOrder::Big } else { ByteOrder::Little }
}

/// The distance of the seconds from the clock, read as big-endian and as little-endian.
#[cold]
fn distances(seconds: [u8; 4], clock: &impl Clock) -> (u32, u32) {
    let now = clock.now().seconds;
    (u32::from_be_bytes(seconds).abs_diff(now), u32::from_le_bytes(seconds).abs_diff(now))
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

/// **Q7** Repairs the time of version 3.
///
/// rtpengine 13.4 writes seconds and microseconds byte-swapped: both are swapped back if only that puts the
/// microseconds below a second. A time more than a day ahead of the clock is read by the first of these that puts it no
/// further ahead than a day: both halves swapped, if the microseconds are then below a second (the same rtpengine);
/// seconds counted from 1900 (FreeSWITCH on Windows). Otherwise it is unchanged.
#[must_use]
#[inline]
pub fn repaired_timestamp(timestamp: Timestamp, clock: &impl Clock) -> Timestamp {
    let timestamp = swapped_timestamp(timestamp);
    let day_before = Timestamp { seconds: timestamp.seconds.saturating_sub(DAY), ..timestamp };
    if clock.has_passed(day_before) { timestamp } else { not_ahead(timestamp, clock.now().seconds) }
}

/// Whether a time is more than a day ahead of the clock, in whole seconds.
const fn is_ahead(timestamp: Timestamp, now: u32) -> bool {
    timestamp.seconds > now.saturating_add(DAY)
}

#[cold]
fn not_ahead(timestamp: Timestamp, now: u32) -> Timestamp {
    let swapped = swapped_halves(timestamp);
    let swapped = (swapped.microseconds < SECOND).then_some(swapped);
    [Some(timestamp), swapped, since_1900(timestamp)]
        .into_iter()
        .flatten()
        .find(|&reading| !is_ahead(reading, now))
        .unwrap_or(timestamp)
}

/// Swaps the bytes of both halves if only that puts the microseconds below a second.
const fn swapped_timestamp(timestamp: Timestamp) -> Timestamp {
    let swapped = swapped_halves(timestamp);
    if timestamp.microseconds >= SECOND && swapped.microseconds < SECOND { swapped } else { timestamp }
}

const fn swapped_halves(Timestamp { seconds, microseconds }: Timestamp) -> Timestamp {
    Timestamp { seconds: seconds.swap_bytes(), microseconds: microseconds.swap_bytes() }
}

/// A time whose seconds count from 1900, as those of NTP and of Windows' runtime for FreeSWITCH.
fn since_1900(timestamp: Timestamp) -> Option<Timestamp> {
    /// Seconds from 1900 to 1970.
    const EPOCH: u32 = 2_208_988_800;
    Some(Timestamp { seconds: timestamp.seconds.checked_sub(EPOCH)?, ..timestamp })
}

/// The same time, written so that a decoder does not swap it: if it would, the microseconds are carried over into
/// the seconds. `None` if the seconds overflow.
#[must_use]
pub fn unswappable_timestamp(timestamp: Timestamp) -> Option<Timestamp> {
    if swapped_timestamp(timestamp) == timestamp { Some(timestamp) } else { carried_over(timestamp) }
}

/// The same time with microseconds below a second. `None` if the seconds overflow.
#[must_use]
pub fn carried_over(timestamp: Timestamp) -> Option<Timestamp> {
    let seconds = timestamp.seconds.checked_add(timestamp.microseconds / SECOND)?;
    Some(Timestamp { seconds, microseconds: timestamp.microseconds % SECOND })
}

/// The compression format of a payload (0x10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// zlib (RFC 1950).
    Zlib,
    /// deflate without a header (RFC 1951).
    Raw,
}

/// **Q8** captagent compresses payloads with zlib, OpenSIPS with gzip; neither states the format.
#[must_use]
pub const fn sniff_compression(value: &[u8]) -> Compression {
    match value {
        gzip if is_gzip(gzip) => Compression::Gzip,
        [cmf, flags, ..] if *cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flags]).is_multiple_of(31) => {
            Compression::Zlib
        }
        _ => Compression::Raw,
    }
}

/// **Q9** sngrep, sipgrep, hep-c, old captagents, sofia-sip before 2019-04 (FreeSWITCH), reSIProcate and OpenSIPS 2.2
/// write the capture id shifted left by 16 bits.
#[must_use]
pub const fn shifted_capture_id(id: u32) -> u32 {
    if id.trailing_zeros() >= 16 { id >> 16 } else { id }
}

/// **Q10** OpenSIPS allocates the addresses of a version 1 or 2 header twice, and sends the unused part: 8 (IPv4) or 32
/// (IPv6) NUL bytes after the payload.
///
/// They are removed if the payload consists of them (xlog traces), or if it is SIP whose Content-Length ends
/// before them. If its Content-Length includes them (SIP-I carries NUL bytes), they stay. Without a Content-Length they
/// are removed from a payload that has no other NUL byte. A payload longer than any datagram is not searched.
#[must_use]
pub fn without_opensips_padding(payload: &[u8], family: Family) -> &[u8] {
    let padding: &[u8] = match family {
        Family::Ipv4 => &[0; 8],
        Family::Ipv6 => &[0; 32],
    };
    match payload.strip_suffix(padding) {
        Some(before) if u16::try_from(before.len()).is_ok() && is_padded(payload, before) => before,
        _ => payload,
    }
}

/// Whether the NUL bytes after `message` are padding.
fn is_padded(payload: &[u8], message: &[u8]) -> bool {
    match sip_length(message) {
        Some(length) if length == message.len() => true,
        Some(length) if length == payload.len() => false,
        _ => !message.contains(&0),
    }
}

/// The length of a SIP message according to its Content-Length; `None` for anything else.
fn sip_length(message: &[u8]) -> Option<usize> {
    let header = before(message, b"\r\n\r\n")?;
    let mut lines = header.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let first = lines.next()?;
    if !first.starts_with(b"SIP/2.0 ") && !first.ends_with(b" SIP/2.0") {
        return None;
    }
    let length = lines.find_map(content_length)?;
    header.len().checked_add(4)?.checked_add(length)
}

/// The value of a Content-Length line; its compact form is `l`.
fn content_length(line: &[u8]) -> Option<usize> {
    let name = before(line, b":")?;
    let value = line.get(name.len().checked_add(1)?..)?.trim_ascii();
    let name = name.trim_ascii_end();
    let is_length = name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l");
    if is_length { core::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

/// The bytes before the first `mark`.
fn before<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let place = bytes.windows(mark.len()).position(|window| window == mark)?;
    bytes.get(..place)
}

/// **Q11** heplify (since 2026-03, with `payload_zip`) sends the whole packet in gzip: see [`unpack`](crate::unpack()).
#[must_use]
#[inline]
pub const fn is_gzip(input: &[u8]) -> bool {
    matches!(input, [0x1f, 0x8b, ..])
}
