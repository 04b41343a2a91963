//! Properties of any bytes and of any valid frame.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod common;

use common::{NOW, now};
use hep::{CaptureId, Chunk, HeaderLength, Lengths, Options, TimestampRepair, V2Order};
use proptest::collection::vec;
use proptest::prelude::*;

type OwnedChunk = (u16, u16, Vec<u8>);

fn any_options() -> impl Strategy<Value = Options> {
    (any::<bool>(), 0..3_u8, any::<[bool; 3]>(), 0..100_000_usize).prop_map(
        |(ignore, order, [repair, keep, lenient], max_inflated)| Options {
            header_length: if ignore { HeaderLength::Ignore } else { HeaderLength::Strict },
            v2_order: [V2Order::Auto, V2Order::Big, V2Order::Little][usize::from(order)],
            capture_id: if repair { CaptureId::Repair } else { CaptureId::Keep },
            timestamp: if keep { TimestampRepair::Keep } else { TimestampRepair::Repair },
            lengths: if lenient { Lengths::Lenient } else { Lengths::Strict },
            max_inflated,
        },
    )
}

/// Bytes that pass the first check.
fn nearly_hep() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>(), 0..200);
    prop_oneof![
        bytes.clone(),
        (
            prop_oneof![Just(1_u8), Just(2)],
            prop_oneof![Just(16_u8), Just(28), Just(40), Just(52), Just(0)],
            any_family(),
            bytes.clone()
        )
            .prop_map(|(version, length, family, rest)| [&[version, length, family][..], &rest].concat()),
        (any::<bool>(), 0..300_u16, bytes).prop_map(|(hep, length, rest)| {
            let magic: &[u8] = if hep { b"HEP3" } else { b"EEP3" };
            [magic, &length.to_be_bytes(), &rest].concat()
        }),
        vec(nearly_right_chunk(), 0..12).prop_map(|chunks| frame(&chunks)),
    ]
}

fn any_family() -> impl Strategy<Value = u8> {
    prop_oneof![Just(2_u8), Just(10), Just(23), Just(24), Just(26), Just(28), Just(30), any::<u8>()]
}

/// Usually known chunks, usually of the right width.
fn nearly_right_chunk() -> impl Strategy<Value = OwnedChunk> {
    let width = prop_oneof![Just(1_usize), Just(2), Just(4), Just(8), Just(16), 0..40_usize];
    (
        prop_oneof![4 => Just(0_u16), 1 => any::<u16>()],
        0..0x70_u16,
        width.prop_flat_map(|width| vec(any::<u8>(), width)),
    )
}

fn any_chunk() -> impl Strategy<Value = OwnedChunk> {
    (any::<u16>(), any::<u16>(), vec(any::<u8>(), 0..300))
}

fn frame(chunks: &[OwnedChunk]) -> Vec<u8> {
    let mut body = Vec::new();
    for (vendor, id, value) in chunks {
        body.extend(vendor.to_be_bytes());
        body.extend(id.to_be_bytes());
        body.extend(u16::try_from(value.len() + 6).unwrap().to_be_bytes());
        body.extend(value);
    }
    let total = u16::try_from(body.len() + 6).unwrap().to_be_bytes();
    [b"HEP3", &total[..], &body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_an_answer(bytes in nearly_hep(), options in any_options()) {
        let decoded = hep::decode(&bytes, &options, now);
        let parsed = hep::parse(&bytes, &options, now)
            .and_then(|parsed| parsed.chunks().map(|chunk| chunk.map(|_| ())).collect::<Result<Vec<_>, _>>());
        // Decoded packets can be parsed: decoding is stricter. A truncated packet has the same error in both.
        if let Ok(packet) = &decoded {
            prop_assert_eq!(packet.cut, parsed.err());
        }
        if let Err(error) = decoded {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn parse_never_loses_a_byte_of_a_valid_frame(chunks in vec(any_chunk(), 0..40), behind in vec(any::<u8>(), 0..20)) {
        let bytes = [frame(&chunks), behind].concat();
        let parsed = hep::parse(&bytes, &Options::default(), now).unwrap();
        let read: Vec<OwnedChunk> = parsed
            .chunks()
            .map(|chunk| chunk.map(|Chunk { vendor, id, value }| (vendor, id, value.to_vec())).unwrap())
            .collect();
        prop_assert_eq!(read, chunks);
    }

    #[test]
    fn facts_do_not_depend_on_the_order_of_chunks(order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let chunks: [OwnedChunk; 12] = [
            (0, 0x01, vec![10]),
            (0, 0x02, vec![17]),
            (0, 0x05, vec![0x20; 16]),
            (0, 0x06, vec![0x21; 16]),
            (0, 0x07, vec![0x13, 0xc4]),
            (0, 0x08, vec![0x13, 0xc6]),
            (0, 0x09, vec![1, 2, 3, 4]),
            (0, 0x0a, vec![0, 1, 2, 3]),
            (0, 0x0b, vec![99]),
            (0, 0x0c, vec![0, 0, 7, 0xd1]),
            (0, 0x0f, b"INVITE".to_vec()),
            (9, 0x01, vec![2]),
        ];
        let shuffled: Vec<_> = order.iter().map(|&index| chunks[index].clone()).collect();
        let (ordered, shuffled) = (frame(&chunks), frame(&shuffled));
        let expected = hep::decode(&ordered, &Options::default(), now).unwrap();
        prop_assert_eq!(hep::decode(&shuffled, &Options::default(), now).unwrap(), expected);
    }

    #[test]
    fn fixed_headers_are_read_as_they_are_written(
        ipv6 in any::<bool>(), ports in any::<[u16; 2]>(), addresses in any::<[[u8; 16]; 2]>(), protocol in any::<u8>(),
        seconds in any::<u32>(), microseconds in 0..1_000_000_u32, id in any::<u16>(), payload in vec(1..=255_u8, 0..2000),
    ) {
        let (family, width) = if ipv6 { (10, 16) } else { (2, 4) };
        let common = [
            &[family, protocol][..], &ports[0].to_be_bytes(), &ports[1].to_be_bytes(),
            &addresses[0][..width], &addresses[1][..width],
        ].concat();
        let v1 = [&[1, if ipv6 { 40 } else { 16 }][..], &common, &payload].concat();
        let v2 = [
            &[2, if ipv6 { 52 } else { 28 }][..], &common, &seconds.to_be_bytes(), &microseconds.to_be_bytes(),
            &id.to_be_bytes(), &[0, 0], &payload,
        ].concat();
        let big = Options { v2_order: V2Order::Big, ..Options::default() };
        let first = hep::decode(&v1, &big, now).unwrap();
        let second = hep::decode(&v2, &big, now).unwrap();
        prop_assert_eq!(first.timestamp, Some(NOW));
        prop_assert_eq!(second.timestamp, Some(hep::Timestamp { seconds, microseconds }));
        prop_assert_eq!((first.capture_id, second.capture_id), (None, Some(id.into())));
        for packet in [first, second] {
            prop_assert_eq!(packet.family.map(hep::Family::number), Some(family));
            prop_assert_eq!((packet.src_port, packet.dst_port), (Some(ports[0]), Some(ports[1])));
            prop_assert_eq!(packet.protocol, Some(protocol.into()));
            prop_assert_eq!(packet.payload.as_bytes(), &payload[..]);
            prop_assert_eq!(packet.src_ip.map(|ip| ip.is_ipv6()), Some(ipv6));
        }
    }
}
