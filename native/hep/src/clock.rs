//! The clock of the codec.

use crate::types::Timestamp;

/// A clock. Any function that returns the time can be used.
///
/// Decoding reads it, at most once per packet, for packets of version 1, which carry no time, and if a sender's time is
/// ambiguous. Encoding reads it if the packet has no time.
pub trait Clock {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Whether the clock is known to have passed a time, if that is cheaper to tell than [`now`](Self::now), which is not
    /// called then. `false` is always correct.
    fn has_passed(&self, _time: Timestamp) -> bool {
        false
    }
}

impl<F: Fn() -> Timestamp> Clock for F {
    #[inline]
    fn now(&self) -> Timestamp {
        self()
    }
}
