//! The JSON of any packet is valid, and can be read back to the same packet.
#![no_main]

use hep::OneOrMany;
use hep_fuzz::{assert_same, now, options, pick};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for options in [Default::default(), options(pick(input))] {
        let Ok(packet) = hep::decode(input, &options, now) else { continue };
        let json = hep::to_json(&packet);
        serde_json::from_slice::<serde_json::Value>(&json).expect("valid JSON");
        match hep::from_json(&json) {
            Ok(OneOrMany::One(back)) => assert_same(&packet, &back.packet()),
            Ok(OneOrMany::Many(_)) => panic!("an array"),
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&json)),
        }
    }
});
