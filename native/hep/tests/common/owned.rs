//! A packet with its own bytes.

use core::net::IpAddr;

use hep::registry::GenericChunk;
use hep::{Chunk, Family, Packet, Payload, Timestamp, Version};

use super::NOW;

/// Vendor, id and value.
pub(crate) type OwnedChunk = (u16, u16, Vec<u8>);

/// The fields of a packet, with their own bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Owned {
    pub(crate) version: Version,
    pub(crate) family: Option<Family>,
    pub(crate) protocol: Option<u16>,
    pub(crate) src_ip: Option<IpAddr>,
    pub(crate) src_port: Option<u16>,
    pub(crate) dst_ip: Option<IpAddr>,
    pub(crate) dst_port: Option<u16>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) capture_id: Option<u32>,
    pub(crate) payload_type: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) chunks: Vec<OwnedChunk>,
}

impl Owned {
    /// A packet that all versions can carry.
    pub(crate) fn usual(version: Version, family: Family) -> Self {
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
    pub(crate) fn of(packet: &Packet<'_>) -> Self {
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

    pub(crate) fn packet(&self) -> Packet<'_> {
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
    pub(crate) fn written(&self, auth_key: Option<&[u8]>) -> Self {
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

/// The same time. Microseconds that would be read swapped are carried over into the seconds.
fn carried(Timestamp { seconds, microseconds }: Timestamp) -> Timestamp {
    if microseconds < 1_000_000 || microseconds.swap_bytes() >= 1_000_000 {
        return Timestamp { seconds, microseconds };
    }
    Timestamp { seconds: seconds + microseconds / 1_000_000, microseconds: microseconds % 1_000_000 }
}
