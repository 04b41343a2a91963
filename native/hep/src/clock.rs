//! The clock of the codec.

use crate::types::Timestamp;

/// A clock. Any function that returns the time can be used.
///
/// Decoding reads it, at most once per packet, for packets of version 1, which carry no time, and if a sender's time is
/// ambiguous. Encoding reads it if the packet has no time.
pub trait Clock {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Seconds that the clock has already reached, if they are cheaper to get than [`now`](Self::now): an earlier time
    /// is not ahead of the clock, so `now` is not called. 0 is always correct.
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
