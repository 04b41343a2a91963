//! The facts that a receiver needs before decoding: the packet's key, and whether decoding inflates its payload.

use crate::error::DecodeError;
use crate::frame::{Chunk, CutChunks, Frame};
use crate::options::Lengths;
use crate::registry::{GenericChunk, PayloadType};
use crate::types::Version;

/// The payload of heplify's keep-alive, which has type 0.
const KEEP_ALIVE: &[u8] = b"HEP3\x03\x0a";

/// The facts of a packet that are found without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// HEP version.
    pub version: Version,
    /// Payload type as a number; SIP if the packet does not state it.
    pub payload_type: u8,
    /// The authenticate key; versions 1 and 2 have none.
    pub auth_key: Option<&'a [u8]>,
    /// The kind of the payload.
    pub payload: Kind,
    /// The number of chunks; versions 1 and 2 have none.
    pub chunks: usize,
}

/// The kind of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Neither compressed nor a keep-alive.
    #[default]
    Plain,
    /// Compressed: decoding inflates it.
    Compressed,
    /// heplify's keep-alive.
    KeepAlive,
}

/// Scans a packet, and reads only the values that it reports.
///
/// Chunks count as in decoding: empty ones not at all, and of equal ones the last. Of versions 1 and 2 nothing but the
/// version is read. Under [`Lengths::Lenient`] the chunks of a cut packet count as far as decoding takes them.
///
/// # Errors
/// [`DecodeError`] describes the error in the header of version 3 or in a chunk's length.
pub fn glance(input: &[u8], lengths: Lengths) -> Result<Glance<'_>, DecodeError> {
    let mut glance = Glance {
        version: Version::of_fixed_header(input).unwrap_or(Version::V3),
        payload_type: PayloadType::Sip.into(),
        auth_key: None,
        payload: Kind::Plain,
        chunks: 0,
    };
    if glance.version != Version::V3 {
        return Ok(glance);
    }
    let nothing = glance;
    match glance.take_frame(input) {
        Err(reason) if lengths == Lengths::Lenient => {
            glance = nothing;
            CutChunks::read(input).ok_or(reason)?.for_each(|(_, chunk)| glance.take(chunk));
        }
        result => result?,
    }
    if glance.payload == Kind::KeepAlive && PayloadType::from(glance.payload_type) != PayloadType::Reserved {
        glance.payload = Kind::Plain;
    }
    Ok(glance)
}

impl<'a> Glance<'a> {
    fn take_frame(&mut self, input: &'a [u8]) -> Result<(), DecodeError> {
        for chunk in Frame::read(input)?.chunks() {
            self.take(chunk?);
        }
        Ok(())
    }

    fn take(&mut self, Chunk { vendor, id, value }: Chunk<'a>) {
        self.chunks = self.chunks.saturating_add(1);
        if vendor != 0 || value.is_empty() {
            return;
        }
        match (GenericChunk::from(id), value) {
            (GenericChunk::PayloadType, &[number]) => self.payload_type = number,
            // With a wrong width decoding fails; here it counts as absent.
            (GenericChunk::PayloadType, _) => self.payload_type = PayloadType::Sip.into(),
            (GenericChunk::AuthKey, key) => self.auth_key = Some(key),
            (GenericChunk::CompressedPayload, _) => self.payload = Kind::Compressed,
            (GenericChunk::Payload, payload) if payload == KEEP_ALIVE => self.payload = Kind::KeepAlive,
            (GenericChunk::Payload, _) => self.payload = Kind::Plain,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Payload, Timestamp};

    fn packet(chunks: &[(u16, u16, &[u8])]) -> Vec<u8> {
        let mut bytes = b"HEP3\0\0".to_vec();
        for (vendor, id, value) in chunks {
            let length = u16::try_from(value.len() + 6).unwrap();
            for number in [*vendor, *id, length] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            bytes.extend_from_slice(value);
        }
        let total = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[4..6].copy_from_slice(&total);
        bytes
    }

    fn expect(chunks: &[(u16, u16, &[u8])], payload_type: u8, auth_key: Option<&[u8]>, payload: Kind) {
        let bytes = packet(chunks);
        assert_eq!(
            glance(&bytes, Lengths::Strict),
            Ok(Glance { version: Version::V3, payload_type, auth_key, payload, chunks: chunks.len() })
        );
        // Decoding the packet must find the same.
        let now = || Timestamp { seconds: 0, microseconds: 0 };
        let read = crate::Packet::read(&bytes, &Options::default(), now).unwrap();
        let key = read.chunks.iter().rev().find(|chunk| (chunk.vendor, chunk.id) == (0, 0x0e));
        assert_eq!(read.payload_type, payload_type);
        assert_eq!(key.map(|chunk| chunk.value), auth_key);
        assert_eq!(matches!(read.payload, Payload::Compressed { .. }), payload == Kind::Compressed);
    }

    #[test]
    fn it_finds_what_decoding_finds() {
        expect(&[], 1, None, Kind::Plain);
        expect(&[(0, 0x0b, &[5]), (0, 0x0e, b"key"), (0, 0x0f, b"payload")], 5, Some(b"key"), Kind::Plain);
        expect(&[(0, 0x0e, b"a"), (0, 0x0e, b"b"), (0, 0x0e, b"")], 1, Some(b"b"), Kind::Plain);
        expect(&[(5, 0x0e, b"a"), (5, 0x10, b"b"), (5, 0x0b, b"c")], 1, None, Kind::Plain);
        expect(&[(0, 0x10, b"zip"), (0, 0x0e, b"key")], 1, Some(b"key"), Kind::Compressed);
        expect(&[(0, 0x10, b"zip"), (0, 0x0f, b"plain")], 1, None, Kind::Plain);
        expect(&[(0, 0x0f, b"plain"), (0, 0x10, b"zip")], 1, None, Kind::Compressed);
        expect(&[(0, 0x0f, b"plain"), (0, 0x10, b"")], 1, None, Kind::Plain);
    }

    #[test]
    fn a_truncated_packet_is_read_up_to_its_end() {
        let bytes = packet(&[(0, 0x0e, b"key"), (0, 0x0b, &[5]), (0, 0x10, b"zip"), (0, 0x13, b"name")]);
        for at in 0..bytes.len() {
            let found = glance(&bytes[..at], Lengths::Lenient);
            assert_eq!(found.is_ok(), at >= 6, "{at}");
            let Ok(found) = found else { continue };
            assert_eq!(found.auth_key, (at >= 15).then_some(&b"key"[..]), "{at}");
            assert_eq!(found.payload_type, if at >= 22 { 5 } else { 1 }, "{at}");
            assert_eq!(found.payload == Kind::Compressed, at >= 31, "{at}");
        }
    }

    #[test]
    fn a_total_length_below_6_is_not_a_truncation() {
        let mut bytes = packet(&[(0, 0x0e, b"key")]);
        let options = Options { lengths: Lengths::Lenient, ..Options::default() };
        let now = || Timestamp { seconds: 0, microseconds: 0 };
        for length in 0..=6 {
            bytes[5] = length;
            let read = crate::Packet::read(&bytes, &options, now);
            assert_eq!(glance(&bytes, Lengths::Lenient).err(), read.err(), "{length}");
            assert_eq!(glance(&bytes, Lengths::Lenient).is_ok(), length == 6);
        }
    }

    #[test]
    fn a_keep_alive_is_known_by_type_and_payload() {
        expect(&[(0, 0x0f, KEEP_ALIVE), (0, 0x0b, &[0])], 0, None, Kind::KeepAlive);
        expect(&[(0, 0x0f, KEEP_ALIVE), (0, 0x0b, &[1])], 1, None, Kind::Plain);
        expect(&[(0, 0x0f, KEEP_ALIVE)], 1, None, Kind::Plain);
        expect(&[(0, 0x0f, b"HEP3\x03\x0b"), (0, 0x0b, &[0])], 0, None, Kind::Plain);
    }

    #[test]
    fn lengths_are_checked_as_in_decoding() {
        let bytes = packet(&[(0, 0x0e, b"key"), (0, 0x0f, b"payload")]);
        let now = || Timestamp { seconds: 0, microseconds: 0 };
        for at in 0..bytes.len() {
            let read = crate::Packet::read(&bytes[..at], &Options::default(), now);
            assert_eq!(glance(&bytes[..at], Lengths::Strict).err(), read.err(), "{at}");
        }
        for length in [0, 5, 200] {
            let mut broken = bytes.clone();
            broken[11] = length;
            let read = crate::Packet::read(&broken, &Options::default(), now);
            assert_eq!(glance(&broken, Lengths::Strict).err(), read.err(), "{length}");
        }
        assert_eq!(glance(&[2, 0], Lengths::Strict).map(|glance| glance.version), Ok(Version::V2));
    }
}
