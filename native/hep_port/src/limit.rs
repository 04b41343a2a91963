//! How large the answers of a frame may be.

use crate::frames::{LENGTH, NUMBER};

/// The least that is kept back for an answer: an error that says that the answer is too large, and its length.
pub(crate) const LEAST: u64 = 40;
/// What the answer to a request rarely exceeds: so many times its bytes, and so many bytes more.
const TIMES: u64 = 8;
const MORE: u64 = 512;

/// The room for the answers of a frame.
///
/// An answer may fill the frame except for the room that is kept back for the requests behind it: eight times
/// their bytes and 512 bytes for each, but no more than their share of the frame by size. So packets that inflate
/// a thousandfold only take room from each other.
pub(crate) struct Limit {
    /// The bytes that all answers may have together.
    most: u64,
    /// The bytes of all requests; one that is shorter than an error counts as one.
    all: u64,
    /// Those of the requests that are still to come, and their number.
    rest: u64,
    number: u64,
}

impl Limit {
    /// For these requests and the longest frame; `None` when not even an error for each has room.
    pub(crate) fn new(requests: &[&[u8]], longest: u32) -> Option<Self> {
        let most = u64::from(longest).saturating_sub(widen(NUMBER));
        let all = requests.iter().fold(0_u64, |sum, request| sum.saturating_add(weight(request)));
        (all <= most).then_some(Self { most, all, rest: all, number: widen(requests.len()) })
    }

    /// Goes on to the next request.
    pub(crate) fn next(&mut self, request: &[u8]) {
        self.rest = self.rest.saturating_sub(weight(request));
        self.number = self.number.saturating_sub(1);
    }

    /// How many bytes the answer to this request may have when the ones before it take `used` bytes.
    pub(crate) fn left(&self, used: usize) -> usize {
        let usual = self.rest.saturating_mul(TIMES).saturating_add(self.number.saturating_mul(MORE));
        let share = self.most.saturating_mul(self.rest).checked_div(self.all).unwrap_or(0);
        let kept_back = usual.min(share);
        let left =
            self.most.saturating_sub(kept_back).saturating_sub(widen(used)).saturating_sub(widen(LENGTH));
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

fn weight(request: &[u8]) -> u64 {
    widen(request.len().saturating_add(LENGTH)).max(LEAST)
}

fn widen(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the answers before it take, there is room for an error.
    #[test]
    fn an_error_always_fits() {
        for sizes in
            [vec![0; 24], vec![1; 24], vec![700, 0, 0, 0, 0, 0, 0], vec![0, 0, 0, 0, 0, 0, 700], vec![950]]
        {
            let bytes: Vec<Vec<u8>> = sizes.iter().map(|&size| vec![0; size]).collect();
            let requests: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
            let mut limit = Limit::new(&requests, 1000);
            let mut used = 0_usize;
            for request in &requests {
                let left = limit.as_mut().map_or(0, |limit| {
                    limit.next(request);
                    limit.left(used)
                });
                assert!(left.saturating_add(LENGTH) >= 37, "{left} {sizes:?}");
                used = used.saturating_add(left).saturating_add(LENGTH);
            }
            assert!(used <= 992, "{used}");
        }
    }

    #[test]
    fn a_single_answer_may_fill_the_frame() {
        let mut limit = Limit::new(&[b"x"], 1000);
        assert_eq!(
            limit.as_mut().map(|limit| {
                limit.next(b"x");
                limit.left(0)
            }),
            Some(1000 - 8 - 4)
        );
    }
}
