//! Encoding at its limits: the largest packets, every error, and the fixtures written again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]

mod common;

use common::now;
use common::owned::Owned;
use hep::registry::GenericChunk;
use hep::{
    Compress, EncodeError, EncodeOptions, Encoded, Family, Field, Options, Packet, Payload, Timestamp,
    V2Style, Version,
};

/// The largest packet.
const LIMIT: usize = 65535;

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
