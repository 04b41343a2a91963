//! How to decode fields that senders write differently.

/// What to do with a header length of version 1 or 2 that no known sender writes (rule Q1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderLength {
    /// It is an error.
    #[default]
    Strict,
    /// It is not checked.
    Ignore,
}

/// The byte order of the time header of version 2 (rule Q2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V2Order {
    /// Detected from the values, see [`time_order`](crate::quirks::time_order).
    #[default]
    Auto,
    /// Big-endian, as documented.
    Big,
    /// Little-endian, as C senders write it.
    Little,
}

/// What to do with a capture id of version 3 that was shifted left by 16 bits (rule Q9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureId {
    /// It is kept unchanged.
    #[default]
    Keep,
    /// It is shifted back.
    Repair,
}

/// What to do with a time of version 3 that a sender wrote wrongly (rule Q7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampRepair {
    /// It is repaired, see [`repaired_timestamp`](crate::quirks::repaired_timestamp).
    #[default]
    Repair,
    /// It is kept unchanged.
    Keep,
}

/// What to do with a wrong total length or chunk length in version 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// It is an error.
    #[default]
    Strict,
    /// Complete chunks are kept, and the received part of the payload; [`Packet::cut`](crate::Packet::cut) has the
    /// error.
    Lenient,
}

/// Options of [`decode`](crate::decode()) and [`parse`](crate::parse()).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Header length of versions 1 and 2.
    pub header_length: HeaderLength,
    /// Byte order of version 2.
    pub v2_order: V2Order,
    /// Shifted capture ids.
    pub capture_id: CaptureId,
    /// Times of version 3.
    pub timestamp: TimestampRepair,
    /// Lengths of version 3. [`parse`](crate::parse()) is always strict.
    pub lengths: Lengths,
    /// The largest inflated payload, in bytes; a value below 65,535 also limits an unpacked packet.
    pub max_inflated: usize,
}

impl Options {
    /// The largest inflated payload by default: 256 KiB. What needs no compression to be sent is below 64 KiB.
    pub const MAX_INFLATED: usize = 256 * 1024;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_length: HeaderLength::default(),
            v2_order: V2Order::default(),
            capture_id: CaptureId::default(),
            timestamp: TimestampRepair::default(),
            lengths: Lengths::default(),
            max_inflated: Self::MAX_INFLATED,
        }
    }
}
