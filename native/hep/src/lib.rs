//! Codec for the Homer Encapsulation Protocol (HEP, also EEP), versions 1, 2 and 3.
//!
//! It follows the *HEP3 Network Protocol Specification* rev. 37 and reads what real senders make of
//! it: Kamailio, OpenSIPS, FreeSWITCH, Asterisk, rtpengine, sngrep, captagent, heplify, hep-js and
//! others; what they do that the specification does not say is in [`quirks`].
//!
//! The codec knows bytes and packets. It does no input or output, asks no clock, copies no payload,
//! allocates nothing by a length from the wire and does not panic, whatever the bytes.
//!
//! Two views: [`decode`] gives a [`Packet`] with one field per fact, which [`encode`] writes; [`parse`]
//! gives the chunks of the packet, each as it stood.
//!
//! ```
//! let bytes = b"HEP3\x00\x31\
//!     \0\0\0\x01\0\x07\x02\
//!     \0\0\0\x03\0\x0a\xc0\0\x02\x01\
//!     \0\0\0\x0b\0\x07\x05\
//!     \0\0\0\x0f\0\x08{}\
//!     \0\x05\0\x07\0\x0bhello";
//! let now = || hep::Timestamp { seconds: 0, microseconds: 0 };
//!
//! let packet = hep::decode(bytes, &hep::Options::default(), now)?;
//! assert_eq!(packet.src_ip, Some([192, 0, 2, 1].into()));
//! assert_eq!(packet.payload.as_bytes(), b"{}");
//! assert_eq!(packet.chunks[..], [hep::Chunk { vendor: 5, id: 7, value: b"hello" }]);
//!
//! let parsed = hep::parse(bytes, &hep::Options::default(), now)?;
//! assert_eq!(parsed.chunks().count(), 5);
//! # Ok::<(), hep::DecodeError>(())
//! ```
//!
//! Limits: versions 1 and 2 have no length and so cannot be told apart on a stream; the protobuf form
//! that heplify can be told to send is not HEP.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )
)]

mod encode;
mod error;
mod fixed;
mod frame;
mod glance;
mod header;
mod inflate;
mod json;
mod member;
mod options;
mod packet;
mod parsed;
pub mod quirks;
pub mod registry;

pub use encode::{Compress, EncodeError, EncodeOptions, Encoded, Field, V2Style};
pub use error::DecodeError;
pub use frame::Chunk;
pub use glance::{Glance, Kind, glance};
pub use header::Header;
pub use json::{JsonError, OneOrMany, OwnedPacket, from_json, to_json};
pub use member::{InvalidMember, MAX_PACKET, Member, Unpacked};
pub use options::{CaptureId, HeaderLength, Options, V2Order};
pub use packet::{Family, Kept, Packet, Payload};
pub use parsed::{Chunks, Parsed};

/// Reads a packet, one field per fact, and inflates its payload where it is compressed.
///
/// `now` is asked for the time of decoding of version 1, which carries none.
///
/// # Errors
/// [`DecodeError`] says what is wrong and where.
pub fn decode<'a>(
    input: &'a [u8],
    options: &Options,
    now: impl FnOnce() -> Timestamp,
) -> Result<Packet<'a>, DecodeError> {
    Packet::read(input, options, now)?.inflate(options.max_inflated)
}

/// Reads a packet as a list of chunks.
///
/// `now` is asked for the time of decoding of version 1, which carries none.
///
/// # Errors
/// [`DecodeError`] says what is wrong and where; what is wrong with a chunk comes from
/// [`Parsed::chunks`].
pub fn parse<'a>(
    input: &'a [u8],
    options: &Options,
    now: impl FnOnce() -> Timestamp,
) -> Result<Parsed<'a>, DecodeError> {
    Parsed::read(input, options, now)
}

/// Writes a packet: its header, its own payload, and what stands behind it.
///
/// `now` is asked for the time where the packet has none.
///
/// # Errors
/// [`EncodeError`] names the field that cannot be written.
pub fn encode<'a>(
    packet: &'a Packet<'_>,
    options: &EncodeOptions<'_>,
    now: impl FnOnce() -> Timestamp,
) -> Result<Encoded<'a>, EncodeError> {
    encode::encode(packet, options, now)
}

/// As [`encode()`], into an [`Encoded`] of the caller's, so that nothing is moved once it is written.
///
/// # Errors
/// [`EncodeError`] names the field that cannot be written; what has been written until then means nothing.
#[inline]
pub fn encode_into<'a>(
    encoded: &mut Encoded<'a>,
    packet: &'a Packet<'_>,
    options: &EncodeOptions<'_>,
    now: impl FnOnce() -> Timestamp,
) -> Result<(), EncodeError> {
    encode::encode_into(encoded, packet, options, now)
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HEPv1.
    V1,
    /// HEPv2.
    V2,
    /// HEPv3.
    V3,
}

impl Version {
    /// The version as a number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version of a packet that begins with a fixed header.
    const fn of_fixed_header(input: &[u8]) -> Option<Self> {
        match input {
            [1, ..] => Some(Self::V1),
            [2, ..] => Some(Self::V2),
            _ => None,
        }
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since the epoch.
    pub seconds: u32,
    /// Microseconds; a sender's value may be a second or more.
    pub microseconds: u32,
}
