//! The system's clock.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use hep::{Clock, Timestamp};

/// The system's clock. Each thread caches the time that it has [reached](Clock::reached), since a system call per
/// packet would cost a tenth of the time of decoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

/// The cache of a thread.
#[derive(Clone, Copy)]
struct Reached {
    seconds: u32,
    /// The remaining uses of the cache, which is limited since the clock may be set back.
    uses: u8,
}

thread_local! {
    static REACHED: Cell<Reached> = const { Cell::new(Reached { seconds: 0, uses: 0 }) };
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX);
        REACHED.set(Reached { seconds, uses: u8::MAX });
        Timestamp { seconds, microseconds: since_epoch.subsec_micros() }
    }

    #[inline]
    fn reached(&self) -> u32 {
        let Reached { seconds, uses } = REACHED.get();
        match uses.checked_sub(1) {
            Some(uses) => {
                REACHED.set(Reached { seconds, uses });
                seconds
            }
            None => self.now().seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_asked_for_again() {
        let now = SystemClock.now().seconds;
        // A clock that was set back.
        REACHED.set(Reached { seconds: u32::MAX, uses: 3 });
        let reached = [(); 4].map(|()| SystemClock.reached());
        assert_eq!(reached[..3], [u32::MAX; 3]);
        assert!((now..u32::MAX).contains(&reached[3]));
    }
}
