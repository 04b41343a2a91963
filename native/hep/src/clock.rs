//! The clock that the codec asks.

use crate::types::Timestamp;

/// A clock. Any function that gives the time is one.
///
/// Decoding asks for the time of a version 1 packet, which carries none, and where a sender's time can be read in two
/// ways: at most once per packet. Encoding asks where the packet has no time.
pub trait Clock {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Seconds that the clock has already reached, where they are cheaper to get than [`now`](Self::now): what lies
    /// before them is not ahead, and the time is not asked for. 0 is always right.
    fn reached(&self) -> u32 {
        0
    }
}

impl<F: Fn() -> Timestamp> Clock for F {
    #[inline]
    fn now(&self) -> Timestamp {
        self()
    }
}
