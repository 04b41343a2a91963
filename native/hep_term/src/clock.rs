//! The system's clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hep::{Clock, Timestamp};

/// The system's clock. The time that was read last is cached: reading it for every packet would take a third of the
/// time of `decode v3`, and a cache per thread a tenth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

/// The seconds that were read last.
static REACHED: AtomicU32 = AtomicU32::new(0);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX);
        // Storing an equal value would slow down the other threads' reading.
        if REACHED.load(Ordering::Relaxed) != seconds {
            REACHED.store(seconds, Ordering::Relaxed);
        }
        Timestamp { seconds, microseconds: since_epoch.subsec_micros() }
    }

    /// The clock may be set back: about one packet in 256, by its microseconds, has it read again.
    #[inline]
    fn has_passed(&self, time: Timestamp) -> bool {
        !time.microseconds.is_multiple_of(256) && time.seconds <= REACHED.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_not_updated_for_every_time() {
        let seconds = SystemClock.now().seconds;
        let has_passed = |seconds, microseconds| SystemClock.has_passed(Timestamp { seconds, microseconds });
        assert!(has_passed(seconds, 255) && has_passed(0, 257));
        assert!(!has_passed(seconds, 256) && !has_passed(seconds, 0));
        assert!(!has_passed(seconds.saturating_add(1000), 1));
        // A clock that was set back.
        REACHED.store(u32::MAX, Ordering::Relaxed);
        assert!(has_passed(seconds.saturating_add(1000), 1));
        let _ = SystemClock.now();
        assert!(!has_passed(seconds.saturating_add(1000), 1));
    }
}
