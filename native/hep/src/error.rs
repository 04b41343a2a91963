//! Why bytes are not a packet.

use thiserror::Error;

use crate::member::GzipError;

/// Why bytes are not a HEP packet, and where.
///
/// Offsets count from the first byte of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input begins with neither 1, 2, `HEP3` nor `EEP3`.
    #[error("not a HEP packet: it begins with neither 1, 2, HEP3 nor EEP3")]
    NotHep,
    /// The input ends at `offset`, inside a header or before the total length of a version 3 packet is reached.
    #[error("truncated: the packet ends at byte {offset}, before the end of its header or its total length")]
    Truncated {
        /// The number of bytes.
        offset: usize,
    },
    /// Version 1 or 2: the protocol family (byte 2) is neither IPv4 nor IPv6.
    #[error("unknown protocol family {family} at byte 2")]
    UnknownProtocolFamily {
        /// The number found.
        family: u8,
    },
    /// Version 1 or 2: no known sender writes this header length (byte 1).
    #[error("invalid header length {length} at byte 1")]
    InvalidHeaderLength {
        /// The length found.
        length: u8,
    },
    /// Version 3: the total length (byte 4) is below 6.
    #[error("invalid total length {length} at byte 4: the minimum is 6")]
    InvalidTotalLength {
        /// The length found.
        length: u16,
    },
    /// Version 3: fewer than 6 bytes are left at `offset`, too few for a chunk's header.
    #[error("truncated chunk at byte {offset}: fewer than 6 bytes left of the total length")]
    TruncatedChunk {
        /// Where the chunk begins.
        offset: usize,
    },
    /// Version 3: a chunk's length is below 6 or reaches beyond the total length.
    #[error(
        "invalid chunk length {length} of the chunk at byte {offset}: below 6 or beyond the total length"
    )]
    InvalidChunkLength {
        /// Where the chunk begins.
        offset: usize,
        /// The length found.
        length: u16,
    },
    /// Version 3: the value of a known field's chunk has the wrong width or is invalid (an unknown
    /// protocol family, or a compressed payload that is corrupt or inflates beyond the limit).
    #[error("invalid value of chunk {id:#06x} of vendor {vendor}: {length} bytes at byte {offset}")]
    InvalidChunk {
        /// The chunk's vendor id.
        vendor: u16,
        /// The chunk's id.
        id: u16,
        /// Where the value begins.
        offset: usize,
        /// The length of the value in bytes.
        length: usize,
    },
    /// The input is a packet in gzip that cannot be unpacked.
    #[error("invalid gzip packet: {0}")]
    InvalidGzip(GzipError),
}
