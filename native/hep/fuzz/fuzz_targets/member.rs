//! A gzip member of a stream: however its bytes are split, it unpacks to the same data, ends at the same byte, or is
//! invalid.
#![no_main]

use hep::{Member, Unpacked};
use hep_fuzz::pick;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 5000;

fuzz_target!(|input: &[u8]| {
    let whole = feed(input, input.len().max(1));
    for size in [1, 2 + pick(input) % 20] {
        assert_eq!(whole, feed(input, size), "in parts of {size}");
    }
    if let Ok(Some((data, used))) = whole {
        assert!(data.len() <= LIMIT && used <= input.len());
    }
});

/// The data and the size of the member; `None` if it is not complete. The first error found depends
/// on the parts.
fn feed(input: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut member = Member::new(LIMIT);
    let mut before = 0;
    for part in input.chunks(size) {
        if let Unpacked::Complete { data, used } = member.feed(part).map_err(|_| ())? {
            return Ok(Some((data, before + used)));
        }
        before += part.len();
    }
    Ok(None)
}
