//! Codec for the Homer Encapsulation Protocol (HEP, also EEP), versions 1, 2 and 3.
//!
//! It follows the *HEP3 Network Protocol Specification* rev. 37 and handles the deviations of real
//! senders: Kamailio, OpenSIPS, FreeSWITCH, Asterisk, rtpengine, sngrep, captagent, heplify, hep-js and
//! others. Each deviation is a function in [`quirks`].
//!
//! The codec converts between bytes and packets. It does no input or output, copies no payload, allocates nothing by a
//! length from the wire and never panics, whatever the bytes. The caller supplies the [`Clock`].
//!
//! Two views: [`decode`] returns a [`Packet`] with one field per fact, which [`encode()`] writes; [`parse`]
//! returns the packet's chunks, unchanged.
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
//! Limits: packets of versions 1 and 2 state no length, so a stream of them cannot be split; heplify's optional
//! protobuf format is not HEP.

#![forbid(unsafe_code)]
#![expect(clippy::needless_pass_by_value, reason = "a clock is mostly a function, or has no size")]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )
)]

mod clock;
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
mod types;

pub use clock::Clock;
pub use encode::{Compress, EncodeError, EncodeOptions, Encoded, Field, V2Style, encode, encode_into};
pub use error::DecodeError;
pub use frame::Chunk;
pub use glance::{Glance, Kind, glance};
pub use header::Header;
pub use json::{JsonError, OneOrMany, OwnedPacket, from_json, to_json, write_json};
pub use member::{GzipError, MAX_PACKET, Member, Unpacked, unpack};
pub use options::{CaptureId, HeaderLength, Lengths, Options, TimestampRepair, V2Order};
pub use packet::{OtherChunks, Packet, Payload, decode};
pub use parsed::{Chunks, Parsed, parse};
pub use types::{Family, Timestamp, Version};
