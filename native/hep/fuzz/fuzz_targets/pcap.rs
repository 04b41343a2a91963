//! Capture files: the packets do not depend on how the bytes are split, and are not larger than the file.
#![no_main]

#[path = "../../../hep_pcap/tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use support::read;

fuzz_target!(|input: &[u8]| {
    let whole = read(input, input.len().max(1));
    let parts = read(input, 61);
    if input.starts_with(&[0x1f, 0x8b]) {
        // How much is unpacked from corrupt gzip before the error depends on the parts.
        let both = whole.0.len().min(parts.0.len());
        assert_eq!(whole.0[..both], parts.0[..both]);
        return;
    }
    assert_eq!(whole, parts);
    let found: usize = whole.0.iter().map(|found| found.bytes.len()).sum();
    assert!(found <= input.len(), "more was found than the file has");
});
