//! Properties of encoding: a packet is read back unchanged, its chunks are in order, and it has at most 65535 bytes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod common;

use core::net::IpAddr;

use common::{NOW, now};
use hep::quirks;
use hep::registry::GenericChunk;
use hep::{
    Chunk, Compress, EncodeError, EncodeOptions, Encoded, Family, Field, Options, Packet, Payload, Timestamp,
    TimestampRepair, V2Order, V2Style, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A second in microseconds.
const SECOND: u32 = 1_000_000;
/// A day in seconds.
const DAY: u32 = 86_400;
/// The largest packet.
const LIMIT: usize = 65535;

/// Vendor, id and value.
type OwnedChunk = (u16, u16, Vec<u8>);

/// The fields of a packet, with their own bytes.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    version: Version,
    family: Option<Family>,
    protocol: Option<u16>,
    src_ip: Option<IpAddr>,
    src_port: Option<u16>,
    dst_ip: Option<IpAddr>,
    dst_port: Option<u16>,
    timestamp: Option<Timestamp>,
    capture_id: Option<u32>,
    payload_type: u8,
    payload: Vec<u8>,
    chunks: Vec<OwnedChunk>,
}

impl Owned {
    /// A packet that all versions can carry.
    fn usual(version: Version, family: Family) -> Self {
        let (src_ip, dst_ip) = match family {
            Family::Ipv4 => ("192.0.2.1", "192.0.2.2"),
            Family::Ipv6 => ("2001:db8::1", "2001:db8::2"),
        };
        Self {
            version,
            family: Some(family),
            protocol: Some(17),
            src_ip: Some(src_ip.parse().unwrap()),
            src_port: Some(5060),
            dst_ip: Some(dst_ip.parse().unwrap()),
            dst_port: Some(5080),
            timestamp: Some(Timestamp { seconds: 1, microseconds: 2 }),
            capture_id: None,
            payload_type: 1,
            payload: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// The fields of a decoded packet.
    fn of(packet: &Packet<'_>) -> Self {
        Self {
            version: packet.version,
            family: packet.family,
            protocol: packet.protocol,
            src_ip: packet.src_ip,
            src_port: packet.src_port,
            dst_ip: packet.dst_ip,
            dst_port: packet.dst_port,
            timestamp: packet.timestamp,
            capture_id: packet.capture_id,
            payload_type: packet.payload_type,
            payload: packet.payload.as_bytes().to_vec(),
            chunks: packet
                .chunks
                .iter()
                .map(|chunk| (chunk.vendor, chunk.id, chunk.value.to_vec()))
                .collect(),
        }
    }

    fn packet(&self) -> Packet<'_> {
        Packet {
            version: self.version,
            family: self.family,
            protocol: self.protocol,
            src_ip: self.src_ip,
            src_port: self.src_port,
            dst_ip: self.dst_ip,
            dst_port: self.dst_port,
            timestamp: self.timestamp,
            capture_id: self.capture_id,
            payload_type: self.payload_type,
            payload: Payload::Plain(&self.payload),
            chunks: self
                .chunks
                .iter()
                .map(|(vendor, id, value)| Chunk { vendor: *vendor, id: *id, value })
                .collect(),
            cut: None,
        }
    }

    /// The packet as read back: chunks in the order of writing, missing fields filled in.
    fn written(&self, auth_key: Option<&[u8]>) -> Self {
        let mut written = self.clone();
        let auth = u16::from(GenericChunk::AuthKey);
        if let Some(key) = auth_key {
            written.chunks.retain(|&(vendor, id, _)| (vendor, id) != (0, auth));
            written.chunks.push((0, auth, key.to_vec()));
        }
        // Empty known chunks are absent.
        written.chunks.retain(|(vendor, id, value)| {
            *vendor != 0 || !value.is_empty() || GenericChunk::info(*id).is_none()
        });
        written.chunks.sort_by_key(|&(vendor, id, _)| (vendor != 0, if vendor == 0 { id } else { 0 }));
        written.family = self.src_ip.or(self.dst_ip).map(Family::of).or(self.family);
        if self.version == Version::V1 {
            written.timestamp = Some(NOW);
        }
        written.timestamp = written.timestamp.map(carried).or(Some(NOW));
        if self.version == Version::V2 {
            written.capture_id = self.capture_id.or(Some(0));
        }
        written
    }
}

/// Whether a time of version 2 is read in the order in which it was written: if the microseconds are ambiguous, the
/// seconds nearer to the clock decide.
fn is_order_found(Timestamp { seconds, microseconds }: Timestamp, style: V2Style) -> bool {
    let distances = [seconds, seconds.swap_bytes()].map(|seconds| seconds.abs_diff(NOW.seconds));
    microseconds >= SECOND
        || microseconds.swap_bytes() >= SECOND
        || distances[0] < distances[1]
        || (distances[0] == distances[1] && style != V2Style::Forks)
}

/// The same time. Microseconds that would be read swapped are carried over into the seconds.
fn carried(Timestamp { seconds, microseconds }: Timestamp) -> Timestamp {
    if microseconds < 1_000_000 || microseconds.swap_bytes() >= 1_000_000 {
        return Timestamp { seconds, microseconds };
    }
    Timestamp { seconds: seconds + microseconds / 1_000_000, microseconds: microseconds % 1_000_000 }
}

fn any_address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::Ipv4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::Ipv6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

/// Some have a second or more of microseconds, which the seconds can take.
fn any_timestamp() -> impl Strategy<Value = Timestamp> {
    let swapped = (0..1_000_000_u32).prop_map(u32::swap_bytes);
    let large = (0..u32::MAX - 4294, prop_oneof![any::<u32>(), swapped]);
    prop_oneof![(any::<u32>(), 0..1_000_000_u32), large]
        .prop_map(|(seconds, microseconds)| Timestamp { seconds, microseconds })
}

/// Usually small. The last byte is not NUL, since versions 1 and 2 remove trailing NUL bytes.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        12 => (vec(any::<u8>(), 0..400), 1..=255_u8).prop_map(|(mut bytes, last)| { bytes.push(last); bytes }),
        1 => (any::<u8>(), 0..60_000_usize, 1..=255_u8).prop_map(|(byte, count, last)| {
            let mut bytes = vec![byte; count];
            bytes.push(last);
            bytes
        }),
    ]
}

/// A generic chunk without a field.
fn any_generic_chunk() -> impl Strategy<Value = OwnedChunk> {
    let others: Vec<GenericChunk> = GenericChunk::ALL
        .iter()
        .copied()
        .filter(|&chunk| {
            let id = u16::from(chunk);
            id > GenericChunk::CaptureId.into() && !(0x0f..=0x10).contains(&id)
        })
        .collect();
    let known = (proptest::sample::select(others), any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(
        |(chunk, is_right, mut value)| {
            let id = u16::from(chunk);
            let width = GenericChunk::info(id).and_then(|info| info.kind.width()).filter(|_| is_right);
            value.resize(width.unwrap_or(value.len()), 0);
            (0, id, value)
        },
    );
    let unknown = prop_oneof![Just(0_u16), 0x1a..0x20_u16, 0x2a..0x65_u16, 0x66..=u16::MAX];
    let ports = (5..=6_u16, any::<[u8; 2]>()).prop_map(|(id, port)| (0, id, port.to_vec()));
    prop_oneof![
        8 => known,
        4 => (Just(0), unknown, vec(any::<u8>(), 0..40)),
        1 => ports,
    ]
}

fn any_chunks() -> impl Strategy<Value = Vec<OwnedChunk>> {
    let vendors = prop_oneof![1..10_u16, 1..=u16::MAX];
    vec(prop_oneof![any_generic_chunk(), (vendors, any::<u16>(), vec(any::<u8>(), 0..40))], 0..12)
}

/// A packet of version 3 with any fields.
fn any_frame() -> impl Strategy<Value = Owned> {
    let addresses = any_family().prop_flat_map(|family| {
        let address = any_address(family);
        (
            proptest::option::of(Just(family)),
            proptest::option::of(address.clone()),
            proptest::option::of(address),
        )
    });
    (
        addresses,
        any::<[Option<u16>; 2]>(),
        prop_oneof![Just(None), any::<u8>().prop_map(|id| Some(id.into())), any::<u16>().prop_map(Some)],
        proptest::option::of(any_timestamp()),
        any::<Option<u32>>(),
        any::<u8>(),
        any_payload(),
        any_chunks(),
    )
        .prop_map(
            |(addresses, ports, protocol, timestamp, capture_id, payload_type, payload, chunks)| {
                let (family, src_ip, dst_ip) = addresses;
                let [src_port, dst_port] = ports;
                Owned {
                    version: Version::V3,
                    family,
                    protocol,
                    src_ip,
                    src_port,
                    dst_ip,
                    dst_port,
                    timestamp,
                    capture_id,
                    payload_type,
                    payload,
                    chunks,
                }
            },
        )
}

/// A packet of version 1 or 2.
fn any_fixed() -> impl Strategy<Value = Owned> {
    let addresses =
        any_family().prop_flat_map(|family| (Just(family), any_address(family), any_address(family)));
    (
        any::<bool>(),
        addresses,
        any::<[u16; 2]>(),
        any::<u8>(),
        proptest::option::of(any_timestamp()),
        any::<Option<u16>>(),
        any_payload(),
    )
        .prop_map(|(is_v2, (family, src_ip, dst_ip), ports, protocol, timestamp, id, payload)| Owned {
            version: if is_v2 { Version::V2 } else { Version::V1 },
            protocol: Some(protocol.into()),
            src_ip: Some(src_ip),
            src_port: Some(ports[0]),
            dst_ip: Some(dst_ip),
            dst_port: Some(ports[1]),
            timestamp,
            capture_id: id.map(u32::from).filter(|_| is_v2),
            payload,
            ..Owned::usual(Version::V1, family)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_comes_back(
        owned in any_frame(),
        compress in prop_oneof![2 => Just(Compress::None), 1 => Just(Compress::Zlib), 1 => Just(Compress::Gzip)],
        auth_key in proptest::option::of(vec(any::<u8>(), 0..20)),
    ) {
        let options = EncodeOptions { compress, auth_key: auth_key.as_deref(), ..EncodeOptions::default() };
        let packet = owned.packet();
        let encoded = hep::encode(&packet, &options, now).unwrap();
        let bytes = encoded.to_bytes();
        let written = owned.written(auth_key.as_deref());
        let keep = Options { timestamp: TimestampRepair::Keep, ..Options::default() };
        let again = hep::decode(&bytes, &keep, now).unwrap();
        prop_assert_eq!(Owned::of(&again), written.clone());
        // A time ahead of the clock may be repaired.
        if written.timestamp.unwrap().seconds <= NOW.seconds + DAY {
            let repaired = hep::decode(&bytes, &Options::default(), now).unwrap();
            prop_assert_eq!(Owned::of(&repaired), written);
        }
        let is_plain = matches!(again.payload, Payload::Plain(_));
        prop_assert_eq!(is_plain, compress == Compress::None);
        if is_plain {
            // The identical bytes of the packet.
            prop_assert_eq!(encoded.payload.as_ptr(), packet.payload.as_bytes().as_ptr());
        }
    }

    #[test]
    fn a_fixed_header_comes_back(
        owned in any_fixed(),
        (v2_style, v2_order) in prop_oneof![
            Just((V2Style::Documented, V2Order::Big)),
            Just((V2Style::C, V2Order::Little)),
            Just((V2Style::Forks, V2Order::Big)),
        ],
    ) {
        let packet = owned.packet();
        let options = EncodeOptions { v2_style, ..EncodeOptions::default() };
        let mut written = owned.written(None);
        if owned.version == Version::V2 && v2_style == V2Style::Forks {
            written.timestamp = written.timestamp.and_then(quirks::carried_over);
        }
        let encoded = match hep::encode(&packet, &options, now) {
            Err(EncodeError::Unsupported(Field::Timestamp)) if written.timestamp.is_none() => return Ok(()),
            encoded => encoded.unwrap(),
        };
        prop_assert_eq!(encoded.trailer.len(), 0);
        let bytes = encoded.to_bytes();
        let again = hep::decode(&bytes, &Options { v2_order, ..Options::default() }, now).unwrap();
        prop_assert_eq!(Owned::of(&again), written.clone());
        if owned.version == Version::V1 || is_order_found(written.timestamp.unwrap(), v2_style) {
            let again = hep::decode(&bytes, &Options::default(), now).unwrap();
            prop_assert_eq!(Owned::of(&again), written);
        }
    }

    /// Generic chunks in the order of their ids, then the payload, then the chunks of vendors, unchanged.
    #[test]
    fn chunks_stand_in_order(owned in any_frame()) {
        let bytes = hep::encode(&owned.packet(), &EncodeOptions::default(), now).unwrap().to_bytes();
        let parsed = hep::parse(&bytes, &Options::default(), now).unwrap();
        let keys: Vec<_> = parsed.chunks().map(|chunk| chunk.map(|chunk| (chunk.vendor, chunk.id)).unwrap()).collect();
        let payload = keys.iter().position(|&key| key == (0, GenericChunk::Payload.into())).unwrap();
        let (generic, behind) = keys.split_at(payload);
        prop_assert!(generic.iter().all(|&(vendor, _)| vendor == 0));
        prop_assert!(generic.is_sorted());
        let vendors: Vec<_> =
            owned.chunks.iter().filter(|chunk| chunk.0 != 0).map(|chunk| (chunk.0, chunk.1)).collect();
        prop_assert_eq!(&behind[1..], vendors);
    }

    /// A packet, or an error with its size, whichever part is too large.
    #[test]
    fn nothing_is_larger_than_a_packet(
        owned in any_frame(), size in prop_oneof![65_000..66_000_usize, 0..200_000_usize], part in 0..4_u8,
    ) {
        let mut larger = owned;
        larger.payload.clear();
        larger.chunks.retain(|chunk| (chunk.0, chunk.1) != (0, GenericChunk::AuthKey.into()));
        let mut sized = vec![b'x'; size];
        let mut auth_key = None;
        let chunks = match part {
            0 => { larger.payload.append(&mut sized); 0 }
            1 => { larger.chunks.push((0, GenericChunk::CorrelationId.into(), sized)); 1 }
            2 => { larger.chunks.push((9, 1, sized)); 1 }
            _ => { auth_key = Some(sized); 0 }
        };
        let headers = 6 * chunks.max(usize::from(auth_key.is_some()));
        let options = EncodeOptions { auth_key: auth_key.as_deref(), ..EncodeOptions::default() };
        let mut without = larger.clone();
        without.payload.clear();
        without.chunks.truncate(without.chunks.len() - chunks);
        let rest = hep::encode(&without.packet(), &EncodeOptions::default(), now).unwrap().to_bytes().len();
        let whole = rest + size + headers;
        match hep::encode(&larger.packet(), &options, now) {
            Ok(encoded) => prop_assert_eq!((encoded.to_bytes().len(), whole <= LIMIT), (whole, true)),
            Err(EncodeError::TooLarge { size }) => prop_assert!(size > LIMIT && size <= whole),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[test]
fn up_to_65535_bytes() {
    let headers = [
        (Version::V1, Family::Ipv4, None, 16),
        (Version::V1, Family::Ipv6, None, 40),
        (Version::V2, Family::Ipv4, None, 28),
        (Version::V2, Family::Ipv6, Some(2001), 52),
        (Version::V3, Family::Ipv4, None, 89),
        (Version::V3, Family::Ipv4, Some(2001), 99),
        (Version::V3, Family::Ipv6, None, 113),
        (Version::V3, Family::Ipv6, Some(2001), 123),
    ];
    for (version, family, capture_id, header) in headers {
        let mut owned = Owned { capture_id, ..Owned::usual(version, family) };
        for v2_style in [V2Style::Documented, V2Style::C] {
            let options = EncodeOptions { v2_style, ..EncodeOptions::default() };
            for size in [LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 2, 2 * LIMIT + 2] {
                owned.payload = vec![b'x'; size - header];
                let packet = owned.packet();
                match hep::encode(&packet, &options, now) {
                    Ok(encoded) => {
                        assert_eq!(
                            (encoded.to_bytes().len(), size <= LIMIT),
                            (size, true),
                            "{version:?} {family:?}"
                        );
                        let bytes = encoded.to_bytes();
                        let again = hep::decode(&bytes, &Options::default(), now).unwrap();
                        assert_eq!(again.payload.as_bytes(), owned.payload);
                    }
                    Err(error) => {
                        assert!(size > LIMIT, "{version:?} {family:?} {size}");
                        assert_eq!(error, EncodeError::TooLarge { size });
                    }
                }
            }
        }
    }
}

/// As many chunks as fit, and one more; before and after the payload.
#[test]
fn many_chunks() {
    for (vendor, capture_id, header) in [(0, None, 89), (0, Some(2001), 99), (9, Some(2001), 99)] {
        let most = (LIMIT - header) / 6;
        for count in [most, most + 1, 100_000] {
            let mut owned = Owned { capture_id, ..Owned::usual(Version::V3, Family::Ipv4) };
            owned.chunks = vec![(vendor, 99, Vec::new()); count];
            match hep::encode(&owned.packet(), &EncodeOptions::default(), now) {
                Ok(encoded) => assert_eq!((encoded.to_bytes().len(), count), (header + 6 * most, most)),
                Err(EncodeError::TooLarge { size }) => {
                    assert!(count > most && size > LIMIT && size <= header + 6 * count);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn every_error_has_an_invalid_packet() {
    let usual = |version| Owned::usual(version, Family::Ipv4);
    let ipv6 = Owned::usual(Version::V3, Family::Ipv6);
    let chunk = |id: GenericChunk, width| (0, u16::from(id), vec![0; width]);
    let options = EncodeOptions::default();
    let with_key = EncodeOptions { auth_key: Some(b"key"), ..options };
    let zlib = EncodeOptions { compress: Compress::Zlib, ..options };
    let mut cases = vec![
        (
            Owned { dst_ip: ipv6.dst_ip, ..usual(Version::V2) },
            options,
            EncodeError::WrongFamily(Field::DstIp),
        ),
        (
            Owned { src_ip: None, dst_ip: ipv6.dst_ip, ..usual(Version::V3) },
            options,
            EncodeError::WrongFamily(Field::DstIp),
        ),
        (
            Owned { family: None, dst_ip: ipv6.dst_ip, ..usual(Version::V3) },
            options,
            EncodeError::WrongFamily(Field::DstIp),
        ),
        (
            Owned { family: Some(Family::Ipv6), ..usual(Version::V3) },
            options,
            EncodeError::WrongFamily(Field::SrcIp),
        ),
        (
            Owned { capture_id: Some(0), ..usual(Version::V1) },
            options,
            EncodeError::Unsupported(Field::CaptureId),
        ),
        (
            Owned { capture_id: Some(65536), ..usual(Version::V2) },
            options,
            EncodeError::Unsupported(Field::CaptureId),
        ),
        (
            Owned { chunks: vec![(9, 9, Vec::new()), chunk(GenericChunk::Payload, 3)], ..usual(Version::V3) },
            options,
            EncodeError::InvalidChunk { vendor: 0, id: 0x0f },
        ),
    ];
    for version in [Version::V2, Version::V3] {
        let timestamp = Some(Timestamp { seconds: u32::MAX - 15, microseconds: 1 << 24 });
        let unsupported = EncodeError::Unsupported(Field::Timestamp);
        cases.push((Owned { timestamp, ..usual(version) }, options, unsupported));
    }
    for version in [Version::V1, Version::V2] {
        cases.extend([
            (Owned { protocol: None, ..usual(version) }, options, EncodeError::Missing(Field::Protocol)),
            (Owned { src_ip: None, ..usual(version) }, options, EncodeError::Missing(Field::SrcIp)),
            (Owned { src_port: None, ..usual(version) }, options, EncodeError::Missing(Field::SrcPort)),
            (Owned { dst_ip: None, ..usual(version) }, options, EncodeError::Missing(Field::DstIp)),
            (Owned { dst_port: None, ..usual(version) }, options, EncodeError::Missing(Field::DstPort)),
            (
                Owned { protocol: Some(256), ..usual(version) },
                options,
                EncodeError::Unsupported(Field::Protocol),
            ),
            (Owned { payload_type: 5, ..usual(version) }, options, EncodeError::UnsupportedPayloadType(5)),
            (
                Owned { chunks: vec![(9, 9, Vec::new())], ..usual(version) },
                options,
                EncodeError::Unsupported(Field::Chunks),
            ),
            (usual(version), with_key, EncodeError::Unsupported(Field::AuthKey)),
            (usual(version), zlib, EncodeError::Unsupported(Field::Compress)),
        ]);
    }
    for (owned, options, expected) in cases {
        let error =
            hep::encode(&owned.packet(), &options, now).map(|encoded| encoded.to_bytes()).unwrap_err();
        assert_eq!(error, expected, "{owned:?}");
        assert!(!error.to_string().is_empty());
    }
}

/// A reused buffer contains nothing of the last packet, whatever the size of its header and the chunks after the
/// payload.
#[test]
fn one_buffer_for_many_packets() {
    let key = |size| (0, u16::from(GenericChunk::CorrelationId), vec![b'k'; size]);
    let vendor = (9, 1, b"v".to_vec());
    let owned = [
        (Version::V3, vec![key(300), vendor.clone()]),
        (Version::V3, vec![key(400), vendor]),
        (Version::V2, vec![]),
        (Version::V3, vec![key(70_000)]),
        (Version::V3, vec![]),
        (Version::V3, vec![key(300)]),
        (Version::V1, vec![]),
    ]
    .map(|(version, chunks)| Owned { chunks, ..Owned::usual(version, Family::Ipv4) });
    let packets: Vec<_> = owned.iter().map(Owned::packet).collect();
    let options = EncodeOptions::default();
    let mut place = Encoded::default();
    for packet in &packets {
        let into = hep::encode_into(&mut place, packet, &options, now).map(|()| place.to_bytes());
        assert_eq!(into, hep::encode(packet, &options, now).map(|encoded| encoded.to_bytes()));
    }
}

/// The error of an invalid chunk precedes that of an impossible time, which precedes that of the size.
#[test]
fn the_first_of_several_errors() {
    let timestamp = Some(Timestamp { seconds: u32::MAX - 15, microseconds: 1 << 24 });
    let large = vec![b'x'; LIMIT];
    let chunk = |vendor, id, value: &[u8]| (vendor, id, value.to_vec());
    let wrong = chunk(0, GenericChunk::Payload.into(), b"x");
    let options = EncodeOptions::default();
    let with_key = EncodeOptions { auth_key: Some(&large), ..options };
    let usual = Owned { capture_id: Some(2001), ..Owned::usual(Version::V3, Family::Ipv4) };
    for (chunks, payload, options, size) in [
        (vec![chunk(0, 0, &large)], vec![], options, LIMIT + 6),
        (vec![chunk(0, GenericChunk::CorrelationId.into(), &large)], vec![], options, LIMIT + 6),
        (vec![chunk(9, 1, &large)], vec![], options, LIMIT + 6),
        (vec![], vec![], with_key, LIMIT + 6),
        (vec![], large.clone(), options, LIMIT + 99),
    ] {
        let too_large = EncodeError::TooLarge { size };
        let usual = Owned { payload, chunks, ..usual.clone() };
        let untimely = Owned { timestamp, ..usual.clone() };
        let mut invalid = untimely.clone();
        invalid.chunks.push(wrong.clone());
        for (owned, expected) in [
            (usual, too_large),
            (untimely, EncodeError::Unsupported(Field::Timestamp)),
            (invalid, EncodeError::InvalidChunk { vendor: 0, id: GenericChunk::Payload.into() }),
        ] {
            assert_eq!(hep::encode(&owned.packet(), &options, now).unwrap_err(), expected);
        }
    }
}

/// Decoded fixtures are written again and read back unchanged; the manifest's rules were already applied.
#[test]
fn every_fixture_is_read_back() {
    let mut written = 0;
    for fixture in common::datagrams() {
        let Ok(packet) = hep::decode(&fixture.bytes, &Options::default(), now) else { continue };
        match hep::encode(&packet, &EncodeOptions::default(), now) {
            Ok(encoded) => {
                let bytes = encoded.to_bytes();
                let again = hep::decode(&bytes, &Options::default(), now).unwrap();
                assert_eq!(Owned::of(&again), Owned::of(&packet).written(None), "{}", fixture.file);
                written += 1;
            }
            // An inflated payload may be larger than a packet.
            Err(EncodeError::TooLarge { .. }) => {
                assert!(packet.payload.as_bytes().len() > 65000, "{}", fixture.file);
            }
            Err(error) => panic!("{}: {error}", fixture.file),
        }
    }
    assert!(written > 450, "only {written} written");
}

/// A payload that is still compressed is never written as a plain payload.
#[test]
fn a_payload_that_is_still_compressed() {
    let mut owned = Owned::usual(Version::V3, Family::Ipv4);
    owned.payload = b"OPTIONS sip:a".to_vec();
    for compress in [Compress::Zlib, Compress::Gzip] {
        let options = EncodeOptions { compress, ..EncodeOptions::default() };
        let bytes = hep::encode(&owned.packet(), &options, now).as_ref().map(Encoded::to_bytes).unwrap();
        let packet = Packet::read(&bytes, &Options::default(), now).unwrap();
        assert!(matches!(packet.payload, Payload::Compressed { .. }));
        if let Ok(encoded) = hep::encode(&packet, &EncodeOptions::default(), now) {
            let bytes = encoded.to_bytes();
            let again = hep::decode(&bytes, &Options::default(), now).unwrap();
            assert_eq!(again.payload.as_bytes(), owned.payload);
        }
    }
}
