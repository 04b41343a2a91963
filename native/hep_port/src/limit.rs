//! The size limits of answers.

use crate::frames::{LENGTH, NUMBER};

/// The minimum reserved for an answer: the error for an answer that is too large, and its length.
pub(crate) const LEAST: u64 = 40;
/// Answers rarely exceed this multiple of the request's size, plus this many bytes.
const TIMES: u64 = 8;
const MORE: u64 = 512;

/// The space for the answers of a frame.
///
/// An answer may fill the frame except for the space reserved for the requests after it: eight times
/// their bytes plus 512 bytes for each, but at most their share of the frame by size. So packets that inflate
/// a thousandfold only take space from each other.
pub(crate) struct Limit {
    /// The limit for all answers together.
    most: u64,
    /// The bytes of all requests; a request shorter than an error counts as long as an error.
    all: u64,
    /// The bytes and the number of the remaining requests.
    rest: u64,
    number: u64,
}

impl Limit {
    /// For these requests and the longest frame; `None` if it cannot even hold an error for each.
    pub(crate) fn new(requests: &[&[u8]], longest: u32) -> Option<Self> {
        let most = u64::from(longest).saturating_sub(widen(NUMBER));
        let all = requests.iter().fold(0_u64, |sum, request| sum.saturating_add(weight(request)));
        (all <= most).then_some(Self { most, all, rest: all, number: widen(requests.len()) })
    }

    /// Moves to the next request.
    pub(crate) fn next(&mut self, request: &[u8]) {
        self.rest = self.rest.saturating_sub(weight(request));
        self.number = self.number.saturating_sub(1);
    }

    /// The limit for the answer to this request if the previous answers take `used` bytes.
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

    /// There is room for an error after answers of any size.
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
