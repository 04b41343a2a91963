//! The JSON representation: every fixture is read back unchanged, and errors have a position.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "tests may panic"
)]

mod common;

use common::now;
use hep::{OneOrMany, Options, Packet};
use serde_json::{Value, json};

fn read(json: &[u8]) -> Box<hep::OwnedPacket> {
    match hep::from_json(json) {
        Ok(OneOrMany::One(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn assert_same(packet: &Packet<'_>, file: &str) {
    let json = hep::to_json(packet);
    let owned = read(&json);
    let read = owned.packet();
    assert_eq!(read.payload.as_bytes(), packet.payload.as_bytes(), "{file}");
    // Compared as text, since their lifetimes differ; an inflated payload is read back uncompressed.
    let facts = |packet: &Packet<'_>| {
        let mut plain = packet.clone();
        plain.payload = hep::Payload::Plain(&[]);
        format!("{plain:?}")
    };
    assert_eq!(facts(&read), facts(packet), "{file}: {}", String::from_utf8_lossy(&json));
}

#[test]
fn every_fixture_is_read_back_unchanged() {
    let mut held = 0;
    for fixture in common::datagrams() {
        if let Ok(packet) = hep::decode(&fixture.bytes, &Options::default(), now) {
            assert_same(&packet, &fixture.file);
            held += 1;
        }
    }
    assert!(held > 400, "only {held} held");
}

#[test]
fn chunks_keep_any_order() {
    let mut packet = Packet::new(hep::Version::V3);
    let chunk = |vendor, id, value: &'static [u8]| hep::Chunk { vendor, id, value };
    packet.chunks.extend([
        chunk(5, 1, b"first"),
        chunk(0, 0x11, b"one"),
        chunk(0, 0x12, &[0, 7]),
        chunk(0, 0x11, b"two"),
        chunk(0, 0x2000, b"unknown"),
        chunk(0, 0x13, &[0xff, 0xfe]),
        chunk(9, 9, &[0xff]),
    ]);
    assert_same(&packet, "by hand");
    let value: Value = serde_json::from_slice(&hep::to_json(&packet)).unwrap();
    assert_eq!(value["correlationId"], "one");
    assert_eq!(value["vlanId"], 7);
    assert_eq!(value["captureAgentName"], json!({"encoding": "base64", "data": "//4="}));
    assert_eq!(value["chunkOrder"], json!([1, 2, 5, 0, 3, 4, 6]));
}

#[test]
fn the_representation_equals_the_original() {
    let bytes = b"\x02\x1c\x02\x11\x13\xc4\x13\xc4\xc0\xa8\x03\x0c\xc0\xa8\x03\x0b\x52\x6f\xd3\x81\x00\x08\xa7\x53\x00\xf1\x00\x00INVITE";
    let packet = hep::decode(bytes, &Options::default(), now).unwrap();
    let text = String::from_utf8(hep::to_json(&packet)).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"type":"HEP","version":2,"protocolFamily":2,"protocol":17,"srcIp":"192.168.3.12","srcPort":5060,"#,
            r#""dstIp":"192.168.3.11","dstPort":5060,"timestamp":"2013-10-29T15:25:53.567Z","timestampUSecs":123,"#,
            r#""captureId":241,"vendorChunks":[],"payload":{"type":"SIP","data":"INVITE"}}"#,
        )
    );
}

/// A packet with all fields.
fn full() -> String {
    let mut packet = Packet::new(hep::Version::V3);
    packet.timestamp = Some(hep::Timestamp { seconds: 1_700_000_000, microseconds: 5 });
    packet.chunks.extend([
        hep::Chunk { vendor: 0, id: 0x11, value: b"one" },
        hep::Chunk { vendor: 9, id: 1, value: b"vendor" },
    ]);
    String::from_utf8(hep::to_json(&packet)).unwrap()
}

/// The expected position is that of `«` in the text, which is removed before reading.
#[track_caller]
fn assert_wrong(marked: &str, message: &str) {
    let before = marked.split_once('«').unwrap().0;
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let error = hep::from_json(marked.replace('«', "").as_bytes()).unwrap_err();
    assert!(error.message.contains(message), "{marked}: {error}");
    assert_eq!((error.line, error.column), (line, column), "{marked}: {error}");
}

/// [`assert_wrong`] for a packet with one part replaced, which must be present.
#[track_caller]
fn assert_wrong_with(what: &str, other: &str, message: &str) {
    let text = full();
    assert!(text.contains(what), "{text}");
    let changed = text.replacen(what, other, 1);
    assert_wrong(&changed, message);
    assert_wrong(&format!("[{text},\n\r\n {changed}]"), message);
}

#[test]
fn invalid_json_has_a_position() {
    assert_wrong("«", "EOF");
    assert_wrong("\n«", "EOF");
    assert_wrong("{«", "EOF");
    assert_wrong("{\"type\":\n \"HEP«", "EOF");
    assert_wrong("{\"type\": \"HEP\",\n«", "EOF");
    assert_wrong("{\"type\": \"HEP\",«}", "key must be a string");
    assert_wrong("«\u{feff}{}", "expected value");
    assert_wrong("{}\n «{}", "trailing characters");
    assert_wrong("{\n\"type\":\"H\\«x\"}", "invalid escape");
    assert_wrong("{\"srcPort\":0«1}", "invalid number");
    let error = hep::from_json(b"{\n \"a\":\"\xff\"}").unwrap_err();
    assert_eq!((error.line, error.column), (2, 7), "{error}");
}

#[test]
fn wrong_values_have_a_position() {
    assert_wrong("«null", "expected a packet or an array of packets");
    assert_wrong(" [ «1]", "expected a packet");
    assert_wrong("[\n«[]]", "expected a packet");
    assert_wrong("«{}", "missing field `type`");
    assert_wrong("«{\"type\":\"HEP\"}", "missing field `version`");
    assert_wrong("\n «{\"type\":\"HEP\",\n\"version\":3 }", "missing field `payload`");
    assert_wrong("{\"type\":\n«\"SIP\"}", "expected HEP");
    assert_wrong_with("\"version\":3", "\"version\":«4", "expected 1, 2 or 3");
    assert_wrong_with("\"protocolFamily\":null", "\"protocolFamily\":«3", "expected 2 or 10");
    assert_wrong_with("\"srcPort\":null", "\"srcPort\": «70000", "70000");
    assert_wrong_with("\"srcPort\":null", "\"srcPort\":«1.5", "floating point");
    assert_wrong_with("\"srcPort\":null", "\"srcPort\":«[1]", "sequence");
    assert_wrong_with("\"srcPort\":null", "\"srcPort\":1e99999«9", "out of range");
    assert_wrong_with("\"srcIp\":null", "\"srcIp\":«\"1.2.3\"", "IP address");
    assert_wrong_with("\"captureId\":null", "«\"foo\":{}", "unknown field `foo`");
    assert_wrong_with("\"one\"", "«1", "expected a string, or an object");
    assert_wrong_with("\"one\"", "{\"data\":\"\",«\"x\":1}", "unknown field `x`");
    assert_wrong_with("\"one\"", "«{\"encoding\":\"base64\"}", "missing field `data`");
    assert_wrong_with("\"one\"", "\"\\ud800«\"", "hex escape");
    assert_wrong_with("\"vendorId\":9,", "\"vendorId\":«-9,", "-9");
    assert_wrong_with("{\"vendorId\":9,", "«{", "missing field `vendorId`");
    assert_wrong_with("\"chunkId\":1", "«\"id\":1", "unknown field `id`");
    assert_wrong_with("\"SIP\"", "«\"PIS\"", "unknown payload type `PIS`");
    assert_wrong_with("\"SIP\"", "«256", "from 0 to 255");
    assert_wrong_with("\"type\":\"SIP\",", "\"encoding\":«\"hex\",\"type\":1,", "unknown encoding `hex`");
    assert_wrong_with("\"data\":\"\"", "\"encoding\":\"base64\",\"data\":«\"*\"", "Invalid symbol");
    assert_wrong_with("\"payload\"", "\"chunkOrder\":«[0,2],\"payload\"", "chunkOrder");
}

#[test]
fn arrays_are_not_objects() {
    assert_wrong_with("{\"type\":\"SIP\",\"data\":\"\"}", "«[1,null,\"\"]", "expected a payload");
    let text = full();
    let chunk = &text[text.find("{\"vendorId\"").unwrap()..text.find("],\"payload\"").unwrap()];
    assert_wrong_with(chunk, "«[9,1,null,\"\"]", "expected a chunk");
    assert_wrong_with("\"one\"", "«[null,\"one\"]", "expected a string, or an object");
}

/// Every field of every object, in all valid spellings.
#[test]
fn fields_given_twice_are_errors() {
    let value: Value = serde_json::from_str(&full()).unwrap();
    for name in value.as_object().unwrap().keys() {
        let again = format!("{{\"{name}\":{},«\"{name}\"", value[name]);
        assert_wrong(&format!("{again}:{}}}", value[name]), &format!("duplicate field `{name}`"));
    }
    assert_wrong_with("\"version\":3", "\"version\":3,«\"versi\\u006fn\":3", "duplicate field `version`");
    assert_wrong_with("\"data\":\"\"", "\"data\":\"\",«\"data\":\"\"", "duplicate field `data`");
    assert_wrong_with("\"chunkId\":1", "\"chunkId\":1,«\"chunkId\":2", "duplicate field `chunkId`");
    let encoded = "{\"encoding\":\"base64\",«\"encoding\":\"base64\",\"data\":\"\"}";
    assert_wrong_with("\"one\"", encoded, "duplicate field `encoding`");
}

#[test]
fn contradictory_times_are_errors() {
    let date = "\"2023-11-14T22:13:20.000Z\"";
    assert_wrong_with(date, "«\"1969-12-31T23:59:59Z\"", "before 1970");
    assert_wrong_with(date, "«\"2106-02-07T06:28:16Z\"", "beyond the year 2106");
    assert_wrong_with(date, "«\"2013:10\"", "RFC 3339");
    assert_wrong_with(date, "«\"2023-11-14T22:13:20.000004Z\"", "digits beyond milliseconds");
    assert_wrong_with(date, "«\"2023-11-14T22:13:20.0000051Z\"", "digits beyond milliseconds");
    assert_wrong_with("\"timestampUSecs\":5", "\"timestampUSecs\":«1000", "0 to 999");
    assert_wrong_with(
        &format!("{date},\"timestampUSecs\":5"),
        "null,\"timestampUSecs\":«5",
        "timestampUSecs without a timestamp",
    );
    assert_wrong_with(
        &format!("\"timestamp\":{date},\"timestampUSecs\":"),
        "\"timestampUSecs\":«",
        "timestampUSecs without a timestamp",
    );
}

#[test]
fn a_raw_time_must_be_that_of_the_timestamp() {
    let mut packet = Packet::new(hep::Version::V3);
    packet.timestamp = Some(hep::Timestamp { seconds: u32::MAX, microseconds: u32::MAX });
    assert_same(&packet, "by hand");
    let right = String::from_utf8(hep::to_json(&packet)).unwrap();
    let raw = "\"rawTimestamp\":[4294967295,4294967295]";
    for other in ["[4294967295,4294967294]", "[4294967294,4294967295]", "[0,1000000]", "[1,2]"] {
        let changed = right.replace(raw, &format!("\"rawTimestamp\":«{other}"));
        assert_wrong(&changed, "contradict this time");
    }
    for other in ["[1]", "[1,2,3]", "null", "[-1,0]"] {
        let changed = right.replace(raw, &format!("\"rawTimestamp\":{other}"));
        assert!(hep::from_json(changed.as_bytes()).is_err(), "{changed}");
    }
    let without = right.replace("\"timestampUSecs\":295", "\"timestampUSecs\":null");
    assert!(hep::from_json(without.as_bytes()).is_err(), "{without}");
    let alone = "{\"type\":\"HEP\",\"rawTimestamp\":«[1,1000000],\"version\":3,\"payload\":{\"type\":1,\"data\":\"\"}}";
    assert_wrong(alone, "contradict this time");
    // No part of the time is lost, however it is split.
    let split = right
        .replace(raw, "\"rawTimestamp\":[1700000000,5]")
        .replace(
            &right[right.find("\"timestamp\"").unwrap()..right.find(",\"timestampUSecs\"").unwrap()],
            "\"timestamp\":\"2023-11-14T22:13:20.000Z\"",
        )
        .replace("\"timestampUSecs\":295", "\"timestampUSecs\":5");
    let time = hep::Timestamp { seconds: 1_700_000_000, microseconds: 5 };
    assert_eq!(read(split.as_bytes()).packet().timestamp, Some(time));
}
