//! Parsing and decoding agree on validity, on each error, and on the packet built from the chunks.
#![no_main]

use hep::{Options, Packet, Version};
use hep_fuzz::{assert_same, now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let options = Options::default();
    let decoded = hep::decode(input, &options, now);
    let parsed = match hep::parse(input, &options, now) {
        Ok(parsed) => parsed,
        Err(error) => return assert_eq!(decoded.err(), Some(error)),
    };
    let Ok(chunks) = parsed.chunks().collect::<Result<Vec<_>, _>>() else {
        assert!(decoded.is_err(), "a chunk is invalid, and the packet decodes");
        return;
    };
    if parsed.version == Version::V3 {
        let total = 6 + chunks.iter().map(|chunk| 6 + chunk.value.len()).sum::<usize>();
        assert_eq!(total, usize::from(u16::from_be_bytes([input[4], input[5]])), "bytes without a chunk");
    }
    let made = Packet::from_chunks(parsed.version, chunks.iter().copied(), now)
        .and_then(|packet| packet.inflate(options.max_inflated).ok());
    match (&decoded, &made) {
        (Ok(decoded), Some(made)) if parsed.version == Version::V3 => assert_same(decoded, made),
        (Ok(_), None) => panic!("the packet decodes, its chunks make none"),
        (Err(error), Some(_)) => panic!("the chunks make a packet, decoding answers {error:?}"),
        _ => {}
    }
});
