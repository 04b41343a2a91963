//! Classification of payloads: HEP, SIP or neither.

use hep::{Options, Packet, Timestamp};
use hep_sip::{Message, SipError, summary};
use memchr::memchr;

/// Magic, total length, and the header of the first chunk.
const FIRST_CHUNK: usize = 12;
const MAGICS: [&[u8]; 2] = [hep::registry::MAGIC, hep::registry::EEP_MAGIC];
/// The maximum size of a SIP message on a stream, headers and body.
const MAX_SIP: usize = 256 * 1024;
/// The maximum length of the first line of a SIP message on a stream.
const MAX_LINE: usize = 4 * 1024;

/// The kind of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// A HEP packet.
    Hep,
    /// A SIP message without HEP.
    Sip,
}

/// The start of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// A complete message of this size.
    Whole(Inside, usize),
    /// Possibly a message, if the needed bytes follow.
    Partial(Needed),
    Neither,
}

/// The bytes that a message needs. It is not searched again before they arrive, since they may come in very small
/// parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// This many bytes in total.
    Bytes(usize),
    /// The empty line after the headers, or this many bytes.
    EmptyLine(usize),
}

/// The kind of a datagram.
pub(crate) fn datagram(bytes: &[u8], takes_hep: Option<bool>) -> Option<Inside> {
    if takes_hep.unwrap_or_else(|| is_hep(bytes)) {
        return Some(Inside::Hep);
    }
    is_sip(bytes).then_some(Inside::Sip)
}

/// Whether it is HEP: by the magic of version 3, by the complete fixed header of versions 1 and 2, or in gzip.
fn is_hep(bytes: &[u8]) -> bool {
    let options = Options::default();
    if hep::quirks::is_gzip(bytes) {
        return hep::unpack(bytes, &options).is_ok_and(|packet| is_plain_hep(&packet, &options));
    }
    is_plain_hep(bytes, &options)
}

fn is_plain_hep(bytes: &[u8], options: &Options) -> bool {
    let now = || Timestamp { seconds: 0, microseconds: 0 };
    has_magic(bytes) || Packet::read(bytes, options, now).is_ok()
}

pub(crate) fn has_magic(bytes: &[u8]) -> bool {
    MAGICS.iter().any(|magic| bytes.starts_with(magic))
}

/// Whether a datagram, which may be truncated, is a SIP message.
fn is_sip(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'\r' | b'\n'))
        && Message::read(bytes).is_ok()
}

/// The length of the HEP packet at the start, if another one follows it in the datagram.
pub(crate) fn followed(bytes: &[u8]) -> Option<usize> {
    let length = total_length(bytes).filter(|_| has_magic(bytes))?;
    (length >= FIRST_CHUNK && bytes.get(length..).is_some_and(has_magic)).then_some(length)
}

fn total_length(bytes: &[u8]) -> Option<usize> {
    let &length = bytes.get(4..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(length).into())
}

/// Classifies the start of a stream.
pub(crate) fn begin(bytes: &[u8], takes_hep: Option<bool>) -> Begin {
    match takes_hep {
        Some(false) => sip(bytes),
        _ if has_magic(bytes) => hep(bytes),
        _ => match hep(bytes) {
            Begin::Neither => sip(bytes),
            begin => begin,
        },
    }
}

fn hep(bytes: &[u8]) -> Begin {
    if !has_magic(bytes) {
        let may_be = MAGICS.iter().any(|magic| magic.starts_with(bytes));
        let needed = Needed::Bytes(bytes.len().saturating_add(1));
        return if may_be { Begin::Partial(needed) } else { Begin::Neither };
    }
    let (Some(length), Some(chunk)) = (total_length(bytes), bytes.get(10..FIRST_CHUNK)) else {
        return Begin::Partial(Needed::Bytes(FIRST_CHUNK));
    };
    let chunk = chunk.iter().fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
    if chunk < 6 || chunk.saturating_add(6) > length {
        return Begin::Neither;
    }
    if bytes.len() < length {
        Begin::Partial(Needed::Bytes(length))
    } else {
        Begin::Whole(Inside::Hep, length)
    }
}

/// A SIP message ends where its Content-Length says (RFC 3261, section 18.3).
fn sip(bytes: &[u8]) -> Begin {
    // Hostile bytes may look like a first line in many places, so the search for its end is limited.
    if bytes.get(..MAX_LINE).is_some_and(|line| memchr(b'\n', line).is_none()) {
        return Begin::Neither;
    }
    let message = match Message::read(bytes) {
        Ok(message) => message,
        Err(SipError::Truncated) => {
            return Begin::Partial(Needed::Bytes(bytes.len().saturating_add(1)));
        }
        Err(_) => return Begin::Neither,
    };
    let Some(body) = message.body() else {
        let needed = Needed::EmptyLine(MAX_SIP);
        return if bytes.len() < MAX_SIP { Begin::Partial(needed) } else { Begin::Neither };
    };
    let head = bytes.len().saturating_sub(body.len());
    let length = summary(bytes).ok().and_then(|summary| summary.content_length).unwrap_or(0);
    match usize::try_from(length).ok().and_then(|length| head.checked_add(length)) {
        Some(end) if end <= bytes.len() => Begin::Whole(Inside::Sip, end),
        Some(end) if end <= MAX_SIP => Begin::Partial(Needed::Bytes(end)),
        _ => Begin::Neither,
    }
}
