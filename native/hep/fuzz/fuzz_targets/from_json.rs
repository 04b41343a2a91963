//! Reading any JSON: an error with a position in the input, or packets that can be written and read again.
#![no_main]

use hep::{JsonError, OneOrMany, OwnedPacket};
use hep_fuzz::{assert_same, now};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| match hep::from_json(input) {
    Ok(OneOrMany::One(packet)) => check(&packet),
    Ok(OneOrMany::Many(packets)) => packets.iter().for_each(check),
    Err(error) => check_place(&error, input),
});

fn check(owned: &OwnedPacket) {
    let packet = owned.packet();
    let json = hep::to_json(&packet);
    match hep::from_json(&json) {
        Ok(OneOrMany::One(back)) => assert_same(&packet, &back.packet()),
        Ok(OneOrMany::Many(_)) => panic!("an array"),
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&json)),
    }
    // It may be too large for encoding, which is an error.
    let _ = hep::encode(&packet, &Default::default(), now).map(|encoded| encoded.to_bytes());
}

fn check_place(error: &JsonError, input: &[u8]) {
    assert!(!error.message.is_empty());
    let lines: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let line = error.line.checked_sub(1).and_then(|line| lines.get(line)).expect("a line of the input");
    assert!((1..=line.len() + 1).contains(&error.column), "column {} of {}", error.column, line.len());
}
