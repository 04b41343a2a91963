//! Decoding with every option: offsets of errors are inside the input, and a packet survives every way of encoding.
#![no_main]

use hep::{
    DecodeError, EncodeError, EncodeOptions, Field, Lengths, Options, Packet, Payload, TimestampRepair,
    Version,
};
use hep_fuzz::{
    assert_same, encode_options, now, options, pick, reading_back, repaired, round_tripped, written,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let pick = pick(input);
    for options in [Options::default(), options(pick)] {
        match hep::unpack(input, &options) {
            Ok(input) => decode(&input, &options, pick / 96),
            Err(error) => check(error, input),
        }
    }
});

fn decode(input: &[u8], options: &Options, pick: usize) {
    match hep::decode(input, options, now) {
        Ok(packet) => {
            // Only packets with an error under strict lengths may be truncated.
            let strict = hep::decode(input, &Options { lengths: Lengths::Strict, ..*options }, now);
            assert_eq!(strict.err(), packet.cut);
            repair(&packet, input, options);
            packet.cut.into_iter().for_each(|error| check(error, input));
            encode(&packet, input, pick);
        }
        Err(error) => check(error, input),
    }
}

/// Only times of version 3 are repaired, according to the rules.
fn repair(packet: &Packet<'_>, input: &[u8], options: &Options) {
    let kept = hep::decode(input, &Options { timestamp: TimestampRepair::Keep, ..*options }, now);
    let kept = kept.expect("a time is no error").timestamp;
    let is_repaired = packet.version == Version::V3 && options.timestamp == TimestampRepair::Repair;
    assert_eq!(packet.timestamp, if is_repaired { kept.map(repaired) } else { kept });
}

fn check(error: DecodeError, input: &[u8]) {
    assert!(!error.to_string().is_empty());
    let end = match error {
        DecodeError::Truncated { offset } | DecodeError::TruncatedChunk { offset } => offset,
        DecodeError::InvalidChunkLength { offset, .. } => offset + 6,
        DecodeError::InvalidChunk { offset, length, .. } => offset + length,
        _ => 0,
    };
    assert!(end <= input.len(), "{error:?} of {} bytes", input.len());
}

fn encode(packet: &Packet<'_>, input: &[u8], pick: usize) {
    let options = encode_options(pick, packet.version, b"key");
    let time = packet.timestamp.map(|time| written(time, packet.version, options.v2_style));
    let reading = reading_back(options.v2_style);
    match hep::encode(packet, &options, now) {
        Ok(encoded) => {
            let bytes = encoded.to_bytes();
            let back = hep::decode(&bytes, &reading, now).expect("what was encoded decodes");
            if options.auth_key.is_none() {
                assert_same(&round_tripped(packet, options.v2_style), &back);
            }
            // The packet read back loses nothing in another round trip.
            let options = EncodeOptions { auth_key: None, ..options };
            let again = hep::encode(&back, &options, now).expect("what came back encodes").to_bytes();
            assert_same(&back, &hep::decode(&again, &reading, now).expect("again"));
        }
        Err(EncodeError::TooLarge { size }) => {
            assert!(size > 65535, "{size} bytes are not too large");
            // A payload that was inflated, or values with a longer encoding, may make the packet too large.
            let is_inflated = matches!(packet.payload, Payload::Inflated(_));
            assert!(is_inflated || input.len() > 65000, "{size} bytes of {}", input.len());
        }
        Err(EncodeError::Unsupported(Field::Timestamp)) => {
            assert_eq!(time, Some(None), "a time that can be written")
        }
        // Versions 1 and 2 cannot carry it.
        Err(EncodeError::Unsupported(Field::AuthKey)) => assert!(packet.version != Version::V3),
        Err(error) => panic!("what decodes does not encode: {error:?}, {packet:?}"),
    }
}
