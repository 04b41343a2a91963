//! Properties of any bytes, and of files with changed parts.

mod support;

use hep_pcap::Inside;
use proptest::prelude::*;
use support::read;

const SIP: &[u8] = b"OPTIONS sip:bob@example.org SIP/2.0\r\nCall-ID: a84b\r\nContent-Length: 4\r\n\r\nbody";

/// An IPv4 packet from 192.0.2.1 to 192.0.2.2.
fn ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len().saturating_add(20)).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&head[..], payload].concat()
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len().saturating_add(8)).unwrap_or(u16::MAX).to_be_bytes();
    ip(17, &[&[0x13, 0xc4, 0x13, 0xc4, length[0], length[1], 0, 0][..], payload].concat())
}

fn tcp(number: u32, payload: &[u8]) -> Vec<u8> {
    let ports = [0x13, 0xc4, 0x13, 0xc4];
    let rest = [0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
    ip(6, &[&ports[..], &number.to_be_bytes(), &rest, payload].concat())
}

/// A file of SIP over UDP and over TCP, in parts of 20 bytes.
fn file() -> Vec<u8> {
    let mut file = vec![0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 101];
    let segments = SIP.chunks(20).scan(1_u32, |number, part| {
        let segment = tcp(*number, part);
        *number = number.saturating_add(20);
        Some(segment)
    });
    for frame in std::iter::once(udp(SIP)).chain(segments) {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
        file.extend([0; 8].iter().chain(&length).chain(&length).chain(&frame));
    }
    file
}

#[test]
fn the_file_holds_two_messages() {
    let (found, error) = read(&file(), 7);
    let expected = [(Inside::Sip, 17, SIP), (Inside::Sip, 6, SIP)];
    assert_eq!(
        found.iter().map(|found| (found.inside, found.protocol, &found.bytes[..])).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(error, None);
}

proptest! {
    #[test]
    fn any_bytes(input in proptest::collection::vec(any::<u8>(), 0..300), magic in 0..3_usize) {
        let magics: [&[u8]; 3] = [b"", &[0xa1, 0xb2, 0xc3, 0xd4], &[0x0a, 0x0d, 0x0d, 0x0a]];
        let input = magics.get(magic).map(|magic| [magic, &input[..]].concat()).unwrap_or_default();
        prop_assert_eq!(read(&input, 1), read(&input, 1000));
    }

    #[test]
    fn any_gzip(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        let input = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], &input[..]].concat();
        prop_assert_eq!(read(&input, 1).0, read(&input, 1000).0);
    }

    #[test]
    fn changed_files(changes in proptest::collection::vec((24..600_usize, any::<u8>()), 0..6), end in 0..900_usize, part in 1..900_usize) {
        let mut input = file();
        for (offset, byte) in changes {
            if let Some(place) = input.get_mut(offset) {
                *place = byte;
            }
        }
        input.truncate(end);
        prop_assert_eq!(read(&input, part), read(&input, 1000));
    }
}
