//! The JSON representation of a packet.
//!
//! It follows the original Erlang library's README, extended by the fields of newer versions of the protocol;
//! `guides/packet.schema.json` is its JSON Schema. Writing and reading back loses nothing.

mod read;
mod source;
mod text;
mod write;

pub use read::{OneOrMany, OwnedPacket, from_json};
pub use source::JsonError;
pub use write::{to_json, write_json};

/// The value of `type`.
const TYPE: &str = "HEP";

/// The names of the fields of a packet, and of the objects in it.
mod key {
    /// A packet's and a payload's.
    pub(super) const TYPE: &str = "type";
    pub(super) const VERSION: &str = "version";
    pub(super) const FAMILY: &str = "protocolFamily";
    pub(super) const PROTOCOL: &str = "protocol";
    pub(super) const SRC_IP: &str = "srcIp";
    pub(super) const SRC_PORT: &str = "srcPort";
    pub(super) const DST_IP: &str = "dstIp";
    pub(super) const DST_PORT: &str = "dstPort";
    pub(super) const TIMESTAMP: &str = "timestamp";
    pub(super) const MICROSECONDS: &str = "timestampUSecs";
    /// Unchanged seconds and microseconds, if the microseconds exceed 999,999.
    pub(super) const RAW_TIMESTAMP: &str = "rawTimestamp";
    pub(super) const CAPTURE_ID: &str = "captureId";
    pub(super) const VENDOR_CHUNKS: &str = "vendorChunks";
    /// The packet's order of chunks, if it differs from that of the facts followed by `vendorChunks`.
    pub(super) const CHUNK_ORDER: &str = "chunkOrder";
    pub(super) const PAYLOAD: &str = "payload";
    pub(super) const VENDOR_ID: &str = "vendorId";
    pub(super) const CHUNK_ID: &str = "chunkId";
    pub(super) const DATA: &str = "data";
    pub(super) const ENCODING: &str = "encoding";
}

/// The microseconds of a second, and of a millisecond.
const SECOND: u32 = 1_000_000;
const MILLISECOND: u32 = 1000;
