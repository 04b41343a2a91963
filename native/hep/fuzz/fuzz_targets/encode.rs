//! Encoding any packet: a documented error, or bytes that decode to the packet.
#![no_main]

use std::net::IpAddr;

use arbitrary::Arbitrary;
use hep::registry::GenericChunk;
use hep::{Chunk, EncodeError, Family, Packet, Payload, Timestamp, Version, quirks};
use hep_fuzz::{assert_same, assert_written, encode_options, now, reading_back, round_tripped};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    version: u8,
    family: Option<bool>,
    protocol: Option<u16>,
    addresses: [Option<IpAddr>; 2],
    ports: [Option<u16>; 2],
    timestamp: Option<(u32, u32)>,
    capture_id: Option<u32>,
    payload_type: Option<u8>,
    payload: Vec<u8>,
    /// Vendor (or generic), id, and a value that is repeated.
    chunks: Vec<(Option<u16>, u16, Vec<u8>, u8)>,
    key: Vec<u8>,
    options: usize,
}

/// Generic ids, usually known ones.
fn chunk_key(vendor: Option<u16>, id: u16) -> (u16, u16) {
    match vendor {
        Some(vendor) => (vendor, id),
        None if id % 4 > 0 => (0, id / 4 % 0x70),
        None => (0, id),
    }
}

fuzz_target!(|input: Input| {
    let values: Vec<Vec<u8>> =
        input.chunks.iter().map(|(_, _, value, times)| value.repeat(1 + usize::from(*times))).collect();
    let mut packet =
        Packet::new([Version::V3, Version::V1, Version::V2, Version::V3][usize::from(input.version % 4)]);
    packet.family = input.family.map(|v6| if v6 { Family::Ipv6 } else { Family::Ipv4 });
    packet.protocol = input.protocol;
    [packet.src_ip, packet.dst_ip] = input.addresses;
    [packet.src_port, packet.dst_port] = input.ports;
    packet.timestamp = input.timestamp.map(|(seconds, microseconds)| Timestamp { seconds, microseconds });
    packet.capture_id = input.capture_id;
    packet.payload_type = input.payload_type.unwrap_or(1);
    packet.payload = Payload::Plain(&input.payload);
    for ((vendor, id, _, _), value) in input.chunks.iter().zip(&values) {
        let (vendor, id) = chunk_key(*vendor, *id);
        packet.chunks.push(Chunk { vendor, id, value });
    }
    let options = encode_options(input.options, packet.version, &input.key);
    let bytes = match hep::encode(&packet, &options, now) {
        Ok(encoded) => encoded.to_bytes(),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let EncodeError::TooLarge { size } = error {
                assert!(size > 65535, "{size} bytes are not too large");
            }
            return;
        }
    };
    assert!(bytes.len() <= 65535);
    if packet.version == Version::V3 {
        assert_eq!(usize::from(u16::from_be_bytes([bytes[4], bytes[5]])), bytes.len());
    }
    let back = hep::decode(&bytes, &reading_back(options.v2_style), now).expect("what was encoded decodes");
    let mut expected = round_tripped(&packet, options.v2_style);
    expected.family = packet.family.or_else(|| packet.src_ip.or(packet.dst_ip).map(Family::of));
    if let Some(key) = options.auth_key {
        replace_key(&mut expected, key);
    }
    // An empty chunk of a fixed width counts as absent.
    expected.chunks.retain(|chunk| {
        !(chunk.vendor == 0 && chunk.value.is_empty() && GenericChunk::info(chunk.id).is_some())
    });
    if let (true, Some(family)) = (packet.version != Version::V3, expected.family) {
        expected.payload = Payload::Plain(quirks::without_opensips_padding(&input.payload, family));
    }
    assert_same(&expected, &back);
    if let (Some(time), Some(back), true) = (packet.timestamp, back.timestamp, packet.version != Version::V1)
    {
        assert_written(time, back);
    }
});

fn replace_key<'a>(packet: &mut Packet<'a>, key: &'a [u8]) {
    const KEY: u16 = 0x0e;
    packet.chunks.retain(|chunk| (chunk.vendor, chunk.id) != (0, KEY));
    if !key.is_empty() {
        let place = packet.chunks.iter().take_while(|chunk| chunk.vendor == 0 && chunk.id < KEY).count();
        packet.chunks.insert(place, Chunk { vendor: 0, id: KEY, value: key });
    }
}
