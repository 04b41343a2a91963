//! Written JSON is valid according to `guides/packet.schema.json`, and equals the golden files.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod common;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::{NOW, now};
use hep::registry::{GenericChunk, Kind, PayloadType};
use hep::{Chunk, Family, Options, Packet, Payload, Timestamp, Version};
use jsonschema::{Draft, Validator};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guides/packet.schema.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
});

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(&SCHEMA).unwrap()
});

fn written(packet: &Packet<'_>) -> Value {
    serde_json::from_slice(&hep::to_json(packet)).unwrap()
}

#[track_caller]
fn assert_valid(value: &Value) {
    let errors: Vec<_> =
        VALIDATOR.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}

/// The schema of the fields of a packet.
fn properties() -> &'static serde_json::Map<String, Value> {
    SCHEMA["$defs"]["packet"]["properties"].as_object().unwrap()
}

/// A packet with one chunk.
fn with_chunk(id: u16, value: &[u8]) -> Value {
    let mut packet = Packet::new(Version::V3);
    packet.chunks.push(Chunk { vendor: 0, id, value });
    written(&packet)
}

#[test]
fn the_schema_is_valid() {
    assert!(jsonschema::draft202012::meta::is_valid(&SCHEMA));
    assert_eq!(SCHEMA["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn every_fixture_is_valid() {
    let mut packets = Vec::new();
    for fixture in common::datagrams() {
        if let Ok(packet) = hep::decode(&fixture.bytes, &Options::default(), now) {
            let value = written(&packet);
            assert_valid(&value);
            packets.push(value);
        }
    }
    assert!(packets.len() > 400, "only {} held", packets.len());
    assert_valid(&Value::Array(packets));
    assert_valid(&json!([]));
}

/// The schema must describe exactly the chunks of the registry.
#[test]
fn every_chunk_of_the_registry_is_valid() {
    let fields: BTreeSet<_> =
        written(&Packet::new(Version::V3)).as_object().unwrap().keys().cloned().collect();
    let mut named = BTreeSet::new();
    for &chunk in GenericChunk::ALL {
        let id = chunk.into();
        let info = GenericChunk::info(id).unwrap();
        let values = match info.kind.width() {
            Some(width) => vec![vec![0; width], vec![0xff; width], vec![0xff; width + 1], vec![]],
            None => vec![vec![], b"text".to_vec(), vec![0xff, 0xfe], "\u{10ffff}\0\"\\".into()],
        };
        for bytes in values {
            let value = with_chunk(id, &bytes);
            assert_valid(&value);
            let Some((name, fact)) =
                value.as_object().unwrap().iter().find(|(name, _)| !fields.contains(*name))
            else {
                continue;
            };
            assert_eq!(name, info.name);
            // The schema must be exact: no more than the type's range.
            let kind = match info.kind {
                Kind::Uint8 => "uint8",
                Kind::Uint16 => "uint16",
                Kind::Uint32 => "uint32",
                Kind::Uint64 => "uint64",
                Kind::Octets => "octets",
                Kind::Inet4 | Kind::Inet6 => panic!("{name} is an address: {fact}"),
            };
            assert_eq!(properties()[name]["$ref"], format!("#/$defs/{kind}"), "{name}");
            named.insert(name.clone());
        }
    }
    let described: BTreeSet<_> = properties().keys().cloned().collect();
    let always: BTreeSet<_> = ["rawTimestamp", "chunkOrder"].map(str::to_owned).into();
    assert_eq!(&described - &(&fields | &always), named);
    assert!(named.len() >= 21, "{named:?}");
}

#[test]
fn every_payload_type_of_the_registry_is_valid() {
    for number in 0..=u8::MAX {
        let mut packet = Packet::new(Version::V3);
        packet.payload_type = number;
        assert_valid(&written(&packet));
    }
    let names: BTreeSet<_> =
        PayloadType::ALL.iter().map(|kind| kind.name().unwrap().to_uppercase()).collect();
    let described = properties()["payload"]["properties"]["type"]["anyOf"][0]["enum"].as_array().unwrap();
    let described: BTreeSet<_> = described.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(described, names);
}

/// Rejected documents: a schema that accepts everything must fail.
#[test]
fn json_that_is_never_written_is_invalid() {
    let mut packet = Packet::new(Version::V3);
    packet.timestamp = Some(Timestamp { seconds: 1, microseconds: 2_000_003 });
    packet.chunks.extend([
        Chunk { vendor: 7, id: 8, value: &[0xff] },
        Chunk { vendor: 0, id: 0x11, value: &[0xff] },
        Chunk { vendor: 0, id: 0x12, value: &[0, 1] },
    ]);
    packet.payload = Payload::Plain(&[0xff]);
    let right = written(&packet);
    assert_valid(&right);
    let wrong = [
        ("/type", vec![json!("SIP"), json!(null)]),
        ("/version", vec![json!(0), json!(4), json!("3"), json!(null)]),
        ("/protocolFamily", vec![json!(0), json!(3), json!("2")]),
        ("/protocol", vec![json!(-1), json!(65536), json!(1.5), json!("UDP")]),
        ("/srcIp", vec![json!("1.2.3"), json!("1.2.3.256"), json!("::g"), json!(""), json!(1)]),
        ("/srcPort", vec![json!(-1), json!(65536), json!("5060")]),
        ("/dstIp", vec![json!("1.2.3.4.5"), json!([127, 0, 0, 1])]),
        ("/dstPort", vec![json!(65536)]),
        (
            "/timestamp",
            vec![
                json!(null),
                json!(1),
                json!("1969-12-31T23:59:59.000Z"),
                json!("1970-01-01T00:00:03Z"),
                json!("1970-01-01T00:00:03.000003Z"),
                json!("1970-01-01T00:00:03.000+00:00"),
                json!("1970-13-01T00:00:03.000Z"),
            ],
        ),
        ("/timestampUSecs", vec![json!(null), json!(-1), json!(1000), json!("3")]),
        ("/rawTimestamp", vec![json!([1]), json!([1, 999_999]), json!([1, 1_000_000, 0]), json!(null)]),
        ("/captureId", vec![json!(-1), json!(4_294_967_296_u64), json!("id")]),
        (
            "/correlationId",
            vec![
                json!(null),
                json!(1),
                json!({"data": "/w=="}),
                json!({"encoding": "hex", "data": "ff"}),
                json!({"encoding": "base64", "data": "/w="}),
                json!({"encoding": "base64", "data": "/w==", "more": 1}),
            ],
        ),
        ("/vlanId", vec![json!(null), json!(65536), json!("1")]),
        ("/vendorChunks", vec![json!(null), json!({}), json!([[7, 8, "data"]]), json!([{"vendorId": 7}])]),
        ("/vendorChunks/0/vendorId", vec![json!(-1), json!(65536), json!(null)]),
        ("/vendorChunks/0/chunkId", vec![json!(-1), json!(65536), json!(null)]),
        ("/vendorChunks/0/encoding", vec![json!("hex"), json!(null)]),
        ("/vendorChunks/0/data", vec![json!("/"), json!("_w=="), json!(null)]),
        ("/chunkOrder", vec![json!([]), json!([0]), json!([0, 0]), json!([-1, 0]), json!(null)]),
        ("/payload", vec![json!(null), json!("text"), json!({"type": "SIP"}), json!({"data": ""})]),
        ("/payload/type", vec![json!("PIS"), json!("sip"), json!(256), json!(-1), json!(null)]),
        ("/payload/encoding", vec![json!("hex"), json!(null)]),
        ("/payload/data", vec![json!("*"), json!(null)]),
    ];
    for (place, values) in wrong {
        for value in values {
            let mut other = right.clone();
            *other.pointer_mut(place).unwrap() = value;
            assert!(!VALIDATOR.is_valid(&other), "{place}: {other:#}");
            assert!(!VALIDATOR.is_valid(&json!([right, other])), "{place}: {other:#}");
        }
    }
    for place in ["", "/vendorChunks/0", "/payload"] {
        let mut other = right.clone();
        other.pointer_mut(place).unwrap()["more"] = json!(1);
        assert!(!VALIDATOR.is_valid(&other), "{other:#}");
    }
    let optional = ["rawTimestamp", "correlationId", "vlanId", "chunkOrder"];
    for name in right.as_object().unwrap().keys() {
        let mut other = right.clone();
        other.as_object_mut().unwrap().remove(name);
        assert_eq!(VALIDATOR.is_valid(&other), optional.contains(&name.as_str()), "without {name}");
    }
    for other in [json!(null), json!(1), json!("HEP"), json!([1]), json!([[right]])] {
        assert!(!VALIDATOR.is_valid(&other), "{other:#}");
    }
}

/// The files of a folder and its subfolders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn written_json_equals_the_golden_files() {
    let folder = common::folder().join("json");
    let golden = files(&folder);
    assert!(golden.len() >= 12, "only {} files", golden.len());
    for file in golden {
        let packet = file.strip_prefix(&folder).unwrap().with_extension("bin");
        let bytes = std::fs::read(common::folder().join(&packet)).unwrap();
        let decoded = hep::decode(&bytes, &Options::default(), now).unwrap();
        let json = String::from_utf8(hep::to_json(&decoded)).unwrap();
        let expected = std::fs::read_to_string(&file).unwrap();
        assert_eq!(json + "\n", expected, "{}", packet.display());
        assert_valid(&serde_json::from_str(&expected).unwrap());
    }
    assert_eq!(NOW, Timestamp { seconds: 1_800_000_000, microseconds: 123_456 });
}

type OwnedChunk = (u16, u16, Vec<u8>);

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![any::<String>().prop_map(String::into_bytes), vec(any::<u8>(), 0..40)]
}

/// Chunks of the registry, of a right or wrong width, and others.
fn any_chunk() -> impl Strategy<Value = OwnedChunk> {
    let known = (0..GenericChunk::ALL.len(), vec(any::<u8>(), 16), any_bytes(), any::<bool>());
    let known = known.prop_map(|(index, mut bytes, octets, is_right)| {
        let id = GenericChunk::ALL[index].into();
        match GenericChunk::info(id).unwrap().kind.width() {
            Some(width) if is_right => {
                bytes.truncate(width);
                (0, id, bytes)
            }
            _ => (0, id, octets),
        }
    });
    prop_oneof![4 => known, 1 => (any::<u16>(), any::<u16>(), any_bytes())]
}

fn any_address() -> impl Strategy<Value = Option<IpAddr>> {
    option::of(prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        (0..=u128::from(u32::MAX)).prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped())),
    ])
}

fn any_timestamp() -> impl Strategy<Value = Option<Timestamp>> {
    let seconds = prop_oneof![any::<u32>(), Just(0), Just(u32::MAX)];
    let microseconds =
        prop_oneof![0..1_000_000_u32, any::<u32>(), Just(999_999), Just(1_000_000), Just(u32::MAX)];
    option::of(
        (seconds, microseconds).prop_map(|(seconds, microseconds)| Timestamp { seconds, microseconds }),
    )
}

prop_compose! {
    /// Every field with any value; the test adds chunks and payload, which it owns.
    fn any_facts()(
        (version, family) in (0..3_usize, 0..3_usize),
        (protocol, src_port, dst_port) in (any::<Option<u16>>(), any::<Option<u16>>(), any::<Option<u16>>()),
        (src_ip, dst_ip) in (any_address(), any_address()),
        timestamp in any_timestamp(),
        capture_id in any::<Option<u32>>(),
        payload_type in any::<u8>(),
    ) -> Packet<'static> {
        Packet {
            family: [None, Some(Family::Ipv4), Some(Family::Ipv6)][family],
            protocol, src_ip, src_port, dst_ip, dst_port, timestamp, capture_id, payload_type,
            ..Packet::new([Version::V1, Version::V2, Version::V3][version])
        }
    }
}

fn filled<'a>(facts: &Packet<'_>, chunks: &'a [OwnedChunk], payload: &'a [u8]) -> Packet<'a> {
    Packet {
        version: facts.version,
        family: facts.family,
        protocol: facts.protocol,
        src_ip: facts.src_ip,
        src_port: facts.src_port,
        dst_ip: facts.dst_ip,
        dst_port: facts.dst_port,
        timestamp: facts.timestamp,
        capture_id: facts.capture_id,
        payload_type: facts.payload_type,
        payload: Payload::Plain(payload),
        chunks: chunks.iter().map(|(vendor, id, value)| Chunk { vendor: *vendor, id: *id, value }).collect(),
        cut: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_packets_hold_and_come_back(
        facts in any_facts(),
        chunks in vec(any_chunk(), 0..8),
        payload in any_bytes(),
    ) {
        let packet = filled(&facts, &chunks, &payload);
        let json = hep::to_json(&packet);
        assert_valid(&serde_json::from_slice(&json).unwrap());
        let Ok(hep::OneOrMany::One(owned)) = hep::from_json(&json) else {
            panic!("{}", String::from_utf8_lossy(&json));
        };
        prop_assert_eq!(format!("{:?}", owned.packet()), format!("{packet:?}"));
    }
}
