//! Every fixture is decoded as the manifest says.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod common;

use common::{Fixture, NOW, now, number};
use hep::{
    CaptureId, DecodeError, GzipError, HeaderLength, Lengths, Options, Packet, TimestampRepair, V2Order,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[test]
fn decode_matches_the_manifest() {
    let mut held = 0;
    for fixture in common::datagrams() {
        hold_decode(&fixture, &fixture.entry, &Options::default());
        held += 1;
        for variant in fixture.entry["options"].as_array().into_iter().flatten() {
            hold_decode(&fixture, variant, &options(&variant["options"]));
            held += 1;
        }
    }
    assert!(held > 1000, "only {held} held");
}

fn hold_decode(fixture: &Fixture, expected: &Value, options: &Options) {
    let file = &fixture.file;
    let unpacked = hep::unpack(&fixture.bytes, options);
    match unpacked.as_ref().map_err(|error| *error).and_then(|bytes| hep::decode(bytes, options, now)) {
        Ok(packet) => {
            assert_eq!(packet.cut.map_or(Value::Null, reason), expected["cut"], "{file}");
            let decode = &expected["decode"];
            assert!(decode.is_object(), "{file}: decoded, but {} expected", expected["decode_error"]);
            assert_eq!(facts(&packet), stated_facts(decode), "{file}");
            hold_payload(fixture, &packet, &decode["payload"]);
            let chunks: Vec<_> =
                packet.chunks.iter().map(|chunk| (chunk.vendor, chunk.id, chunk.value.to_vec())).collect();
            assert_eq!(chunks, stated_chunks(fixture, &decode["chunks"]), "{file}");
        }
        Err(error) => assert_eq!(reason(error), expected["decode_error"], "{file}"),
    }
}

fn facts(packet: &Packet<'_>) -> Value {
    json!({
        "version": packet.version.number(),
        "family": packet.family.map(hep::Family::number),
        "protocol": packet.protocol,
        "src_ip": packet.src_ip,
        "src_port": packet.src_port,
        "dst_ip": packet.dst_ip,
        "dst_port": packet.dst_port,
        "timestamp": packet.timestamp.map(|time| if time == NOW {
            json!("now")
        } else {
            json!([time.seconds, time.microseconds])
        }),
        "capture_id": packet.capture_id,
        "payload_type": packet.payload_type,
    })
}

fn stated_facts(decode: &Value) -> Value {
    let mut facts = decode.clone();
    for address in ["src_ip", "dst_ip"] {
        if let Some(text) = decode[address].as_str() {
            facts[address] = json!(text.parse::<core::net::IpAddr>().unwrap());
        }
    }
    let fields = facts.as_object_mut().unwrap();
    fields.remove("payload").unwrap();
    fields.remove("chunks").unwrap();
    facts
}

fn hold_payload(fixture: &Fixture, packet: &Packet<'_>, stated: &Value) {
    let payload = packet.payload.as_bytes();
    if let Some(hash) = stated["sha256"].as_str() {
        assert_eq!(payload.len(), number(&stated["length"]), "{}", fixture.file);
        assert_eq!(Sha256::digest(payload).to_vec(), common::unhex(hash), "{}", fixture.file);
    } else {
        assert_eq!(payload, fixture.value(stated), "{}", fixture.file);
    }
}

fn stated_chunks(fixture: &Fixture, chunks: &Value) -> Vec<(u16, u16, Vec<u8>)> {
    let number = |value: &Value| u16::try_from(number(value)).unwrap();
    chunks
        .as_array()
        .unwrap()
        .iter()
        .map(|chunk| (number(&chunk[0]), number(&chunk[1]), fixture.value(&chunk[2])))
        .collect()
}

fn reason(error: DecodeError) -> Value {
    match error {
        DecodeError::NotHep => json!(["not_hep"]),
        DecodeError::Truncated { .. } => json!(["truncated"]),
        DecodeError::UnknownProtocolFamily { family } => json!(["unknown_protocol_family", family]),
        DecodeError::InvalidHeaderLength { length } => json!(["invalid_header_length", length]),
        DecodeError::InvalidTotalLength { length } => json!(["invalid_total_length", length]),
        DecodeError::TruncatedChunk { offset } => json!(["truncated_chunk", offset]),
        DecodeError::InvalidChunkLength { offset, length } => json!(["invalid_chunk_length", offset, length]),
        DecodeError::InvalidGzip(GzipError::Truncated) => json!(["invalid_gzip", "truncated"]),
        DecodeError::InvalidGzip(GzipError::Corrupt) => json!(["invalid_gzip", "corrupt"]),
        DecodeError::InvalidGzip(GzipError::TooLarge) => json!(["invalid_gzip", "too_large"]),
        DecodeError::InvalidChunk { vendor, id, length, .. } => json!(["invalid_chunk", vendor, id, length]),
    }
}

fn options(stated: &Value) -> Options {
    let mut options = Options::default();
    for (name, value) in stated.as_object().unwrap() {
        match (name.as_str(), value.as_str()) {
            ("header_length", Some("ignore")) => options.header_length = HeaderLength::Ignore,
            ("v2_order", Some("big")) => options.v2_order = V2Order::Big,
            ("v2_order", Some("little")) => options.v2_order = V2Order::Little,
            ("capture_id", Some("repair")) => options.capture_id = CaptureId::Repair,
            ("timestamp", Some("keep")) => options.timestamp = TimestampRepair::Keep,
            ("lengths", Some("lenient")) => options.lengths = Lengths::Lenient,
            ("max_inflated", None) => options.max_inflated = number(value),
            other => panic!("unknown option {other:?}"),
        }
    }
    options
}

#[test]
fn parse_matches_the_manifest() {
    for fixture in common::datagrams() {
        let file = &fixture.file;
        let chunks = hep::unpack(&fixture.bytes, &Options::default()).and_then(|bytes| {
            let chunk = |chunk: hep::Chunk<'_>| (chunk.vendor, chunk.id, chunk.value.to_vec());
            let parsed = hep::parse(&bytes, &Options::default(), now)?;
            parsed.chunks().map(|item| item.map(chunk)).collect::<Result<Vec<_>, _>>()
        });
        match chunks {
            Ok(chunks) => {
                let mut stated = fixture.entry["parse"].clone();
                assert!(stated.is_array(), "{file}: parsed, but an error expected");
                for chunk in stated.as_array_mut().unwrap() {
                    let now = if chunk[1] == 9 { NOW.seconds } else { NOW.microseconds };
                    if chunk[2].is_null() {
                        chunk[2] = json!(format!("{now:08x}"));
                    }
                }
                assert_eq!(chunks, stated_chunks(&fixture, &stated), "{file}");
            }
            Err(error) => assert_eq!(fixture.entry["parse_error"], json!(true), "{file}: {error}"),
        }
    }
}

#[test]
fn every_rule_has_a_fixture() {
    let fixtures = common::datagrams();
    for rule in 1..=11 {
        let rule = json!(format!("Q{rule}"));
        let shown =
            fixtures.iter().filter(|fixture| fixture.entry["rules"].as_array().unwrap().contains(&rule));
        assert!(shown.count() > 0, "{rule} has none");
    }
}

#[test]
fn every_truncation_of_every_fixture_has_a_result() {
    for fixture in common::datagrams() {
        for end in 0..fixture.bytes.len() {
            let cut = &fixture.bytes[..end];
            let decoded = hep::decode(cut, &Options::default(), now);
            // Version 3 states its length. The others end with the datagram.
            if let Ok(packet) = decoded
                && packet.version == hep::Version::V3
            {
                let total = u16::from_be_bytes([cut[4], cut[5]]);
                assert!(usize::from(total) <= end, "{} cut at {end}", fixture.file);
            }
        }
    }
}

#[test]
fn every_changed_byte_of_a_header_has_a_result() {
    for fixture in common::datagrams() {
        let mut bytes = fixture.bytes.clone();
        for index in 0..bytes.len().min(160) {
            let kept = bytes[index];
            for changed in [0, 0xff, kept ^ 1, kept ^ 0x80] {
                bytes[index] = changed;
                let options = Options { max_inflated: 4096, ..Options::default() };
                let decoded = hep::decode(&bytes, &options, now).is_ok();
                let parsed = hep::parse(&bytes, &options, now);
                let whole = parsed.is_ok_and(|parsed| parsed.chunks().all(|chunk| chunk.is_ok()));
                assert!(!decoded || whole, "{} decodes, but does not parse", fixture.file);
            }
            bytes[index] = kept;
        }
    }
}
