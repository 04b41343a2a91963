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

use common::owned::{Owned, OwnedChunk};
use common::{NOW, now};
use hep::quirks;
use hep::registry::GenericChunk;
use hep::{
    Compress, EncodeError, EncodeOptions, Family, Field, Options, Payload, Timestamp, TimestampRepair,
    V2Order, V2Style, Version,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A second in microseconds.
const SECOND: u32 = 1_000_000;
/// A day in seconds.
const DAY: u32 = 86_400;
/// The largest packet.
const LIMIT: usize = 65535;

/// Whether a time of version 2 is read in the order in which it was written: if the microseconds are ambiguous, the
/// seconds nearer to the clock decide.
fn is_order_found(Timestamp { seconds, microseconds }: Timestamp, style: V2Style) -> bool {
    let distances = [seconds, seconds.swap_bytes()].map(|seconds| seconds.abs_diff(NOW.seconds));
    microseconds >= SECOND
        || microseconds.swap_bytes() >= SECOND
        || distances[0] < distances[1]
        || (distances[0] == distances[1] && style != V2Style::Forks)
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
