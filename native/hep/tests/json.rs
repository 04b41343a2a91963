//! The JSON representation: every fixture comes back as it was, wrong text is told where.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

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
    // By their text, since the two do not live equally long; an inflated payload comes back plain.
    let facts = |packet: &Packet<'_>| {
        let mut plain = packet.clone();
        plain.payload = hep::Payload::Plain(&[]);
        format!("{plain:?}")
    };
    assert_eq!(facts(&read), facts(packet), "{file}: {}", String::from_utf8_lossy(&json));
}

#[test]
fn every_fixture_comes_back_as_it_was() {
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
fn chunks_in_any_order_come_back_in_that_order() {
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
fn the_representation_is_that_of_the_original() {
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

#[test]
fn wrong_text_is_told_where() {
    let packet = Packet::new(hep::Version::V3);
    let right = String::from_utf8(hep::to_json(&packet)).unwrap();
    let wrong = [
        ("", "EOF", 1, 0),
        ("{}", "missing field `type`", 1, 2),
        ("[1]", "expected a packet", 1, 2),
        ("{\"type\":\n\"SIP\"}", "expected HEP", 2, 5),
        (&right.replace("\"version\":3", "\"version\":4"), "expected 1, 2 or 3", 1, 25),
        (&right.replace("\"srcPort\":null", "\"srcPort\":70000"), "70000", 1, 93),
        (&right.replace("\"srcIp\":null", "\"srcIp\":\"1.2.3\""), "IP address", 1, 77),
        (&right.replace("\"captureId\":null", "\"foo\":null"), "unknown field `foo`", 1, 0),
        (&right.replace("\"SIP\"", "\"PIS\""), "unknown payload type `PIS`", 1, 0),
        (&right.replace("\"timestamp\":null", "\"timestamp\":\"1969-12-31T23:59:59Z\""), "before 1970", 1, 0),
        (&right.replace("\"timestamp\":null", "\"timestamp\":\"2013:10\""), "RFC 3339", 1, 0),
        (&right.replace("\"timestampUSecs\":null", "\"timestampUSecs\":1000"), "0 to 999", 1, 0),
        (
            &right.replace("\"data\":\"\"", "\"encoding\":\"hex\",\"data\":\"\""),
            "unknown encoding `hex`",
            1,
            0,
        ),
        (&right.replace("\"data\":\"\"", "\"encoding\":\"base64\",\"data\":\"*\""), "", 1, 0),
        (&right.replace("\"vendorChunks\":[]", "\"vendorChunks\":[],\"chunkOrder\":[0]"), "chunkOrder", 1, 0),
    ];
    for (text, message, line, column) in wrong {
        let error = hep::from_json(text.as_bytes()).unwrap_err();
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(column == 0 || error.column.abs_diff(column) <= 2, "{text}: {error}");
    }
}
