//! Reading back.

use core::fmt;
use core::net::IpAddr;

use jiff::Timestamp as Instant;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use thiserror::Error as ThisError;

use super::text::{self, AnyOctets};
use super::write::is_fact;
use super::{MILLISECOND, TYPE, key};
use crate::packet::{Packet, Payload};
use crate::registry::{ChunkInfo, GenericChunk, Kind, PayloadType};
use crate::{Chunk, Family, Timestamp, Version};

/// How many letters a message has at the most.
const LONGEST_MESSAGE: usize = 200;

/// Why text is not the JSON of packets.
#[derive(Debug, ThisError)]
#[error("{message} at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        // A message may quote the text that is wrong, which may be long.
        let message = message.chars().take(LONGEST_MESSAGE).collect();
        Self { message, line, column }
    }
}

/// Reads a packet, or an array of packets.
///
/// # Errors
/// [`JsonError`] says what is wrong and where.
pub fn from_json(json: &[u8]) -> Result<OneOrMany, JsonError> {
    Ok(serde_json::from_slice(json)?)
}

/// What JSON text may hold.
#[derive(Debug)]
pub enum OneOrMany {
    /// An object.
    One(Box<OwnedPacket>),
    /// An array.
    Many(Vec<OwnedPacket>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a packet or an array of packets")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                read_packet(map).map(|packet| OneOrMany::One(Box::new(packet)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<OneOrMany, A::Error> {
                let mut packets = Vec::new();
                while let Some(packet) = array.next_element()? {
                    packets.push(packet);
                }
                Ok(OneOrMany::Many(packets))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A packet that owns its bytes.
#[derive(Debug)]
pub struct OwnedPacket {
    facts: Packet<'static>,
    chunks: Vec<(u16, u16, Vec<u8>)>,
    payload: Vec<u8>,
}

impl OwnedPacket {
    /// The packet, borrowed.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        let facts = &self.facts;
        let chunks = self.chunks.iter().map(|(vendor, id, value)| Chunk { vendor: *vendor, id: *id, value });
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
            payload: Payload::Plain(&self.payload),
            chunks: chunks.collect(),
        }
    }
}

impl<'de> Deserialize<'de> for OwnedPacket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = OwnedPacket;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a packet")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OwnedPacket, A::Error> {
                read_packet(map)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// What is read before it is put together.
#[derive(Default)]
struct Parts {
    is_hep: bool,
    version: Option<Version>,
    payload: Option<PayloadObject>,
    timestamp: Option<Instant>,
    microseconds: Option<u32>,
    raw_timestamp: Option<[u32; 2]>,
    facts: Vec<(u16, u16, Vec<u8>)>,
    others: Vec<VendorChunk>,
    order: Option<Vec<usize>>,
}

fn read_packet<'de, A: MapAccess<'de>>(mut map: A) -> Result<OwnedPacket, A::Error> {
    let mut packet = Packet::new(Version::V3);
    let mut parts = Parts::default();
    while let Some(name) = map.next_key::<String>()? {
        match name.as_str() {
            key::TYPE => {
                let kind = map.next_value::<String>()?;
                parts.is_hep = kind == TYPE;
                if !parts.is_hep {
                    return Err(A::Error::invalid_value(Unexpected::Str(&kind), &TYPE));
                }
            }
            key::VERSION => parts.version = Some(version(map.next_value()?)?),
            key::FAMILY => packet.family = map.next_value::<Option<u8>>()?.map(family).transpose()?,
            key::PROTOCOL => packet.protocol = map.next_value()?,
            key::SRC_IP => packet.src_ip = map.next_value::<Option<IpAddr>>()?,
            key::SRC_PORT => packet.src_port = map.next_value()?,
            key::DST_IP => packet.dst_ip = map.next_value::<Option<IpAddr>>()?,
            key::DST_PORT => packet.dst_port = map.next_value()?,
            key::TIMESTAMP => {
                let text = map.next_value::<Option<String>>()?;
                parts.timestamp = text.map(|text| instant(&text)).transpose()?;
            }
            key::MICROSECONDS => {
                parts.microseconds = map.next_value::<Option<u32>>()?;
                if let Some(beyond) = parts.microseconds.filter(|&microseconds| microseconds >= MILLISECOND) {
                    return Err(A::Error::invalid_value(Unexpected::Unsigned(beyond.into()), &"0 to 999"));
                }
            }
            key::RAW_TIMESTAMP => parts.raw_timestamp = Some(map.next_value()?),
            key::CAPTURE_ID => packet.capture_id = map.next_value()?,
            key::VENDOR_CHUNKS => parts.others = map.next_value()?,
            key::CHUNK_ORDER => parts.order = Some(map.next_value()?),
            key::PAYLOAD => parts.payload = Some(map.next_value()?),
            name => {
                let Some(info) = fact(name) else {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom(format_args!("unknown field `{name}`")));
                };
                parts.facts.push((0, info.chunk.into(), fact_value(info, &mut map)?));
            }
        }
    }
    put_together(packet, parts)
}

fn put_together<E: Error>(mut packet: Packet<'static>, parts: Parts) -> Result<OwnedPacket, E> {
    if !parts.is_hep {
        return Err(E::missing_field(key::TYPE));
    }
    packet.version = parts.version.ok_or_else(|| E::missing_field(key::VERSION))?;
    let payload = parts.payload.ok_or_else(|| E::missing_field(key::PAYLOAD))?;
    packet.payload_type = payload.kind.number()?;
    packet.timestamp = match parts.raw_timestamp {
        Some([seconds, microseconds]) => Some(Timestamp { seconds, microseconds }),
        None => {
            parts.timestamp.map(|instant| timestamp(instant, parts.microseconds.unwrap_or(0))).transpose()?
        }
    };
    let mut chunks = parts.facts;
    for chunk in parts.others {
        let value = text::decode(chunk.data, chunk.encoding.as_deref())?;
        chunks.push((chunk.vendor_id, chunk.chunk_id, value));
    }
    if let Some(order) = parts.order {
        chunks = reordered(chunks, &order)?;
    }
    Ok(OwnedPacket {
        facts: packet,
        chunks,
        payload: text::decode(payload.data, payload.encoding.as_deref())?,
    })
}

fn version<E: Error>(number: u64) -> Result<Version, E> {
    match number {
        1 => Ok(Version::V1),
        2 => Ok(Version::V2),
        3 => Ok(Version::V3),
        _ => Err(E::invalid_value(Unexpected::Unsigned(number), &"1, 2 or 3")),
    }
}

fn family<E: Error>(number: u8) -> Result<Family, E> {
    let unexpected = Unexpected::Unsigned(number.into());
    Family::from_number(number).ok_or_else(|| E::invalid_value(unexpected, &"2 or 10"))
}

fn instant<E: Error>(text: &str) -> Result<Instant, E> {
    text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &"a date and time of RFC 3339"))
}

/// The microseconds within the millisecond stand apart; those of the text may only be finer if they agree.
fn timestamp<E: Error>(instant: Instant, within: u32) -> Result<Timestamp, E> {
    let subsecond = u32::try_from(instant.subsec_microsecond()).ok();
    let (Ok(seconds), Some(microseconds)) = (u32::try_from(instant.as_second()), subsecond) else {
        return Err(E::custom("the timestamp is before 1970 or beyond the year 2106"));
    };
    let rest = microseconds % MILLISECOND;
    if rest != 0 && rest != within {
        return Err(E::custom("the timestamp is finer than milliseconds"));
    }
    Ok(Timestamp { seconds, microseconds: microseconds.saturating_sub(rest).saturating_add(within) })
}

fn fact(name: &str) -> Option<&'static ChunkInfo> {
    let chunk = GenericChunk::ALL.iter().find(|chunk| chunk.name() == Some(name))?;
    GenericChunk::info((*chunk).into()).filter(|info| is_fact(info))
}

fn fact_value<'de, A: MapAccess<'de>>(info: &ChunkInfo, map: &mut A) -> Result<Vec<u8>, A::Error> {
    match info.kind {
        Kind::Uint8 => Ok(map.next_value::<u8>()?.to_be_bytes().to_vec()),
        Kind::Uint16 => Ok(map.next_value::<u16>()?.to_be_bytes().to_vec()),
        Kind::Uint32 => Ok(map.next_value::<u32>()?.to_be_bytes().to_vec()),
        Kind::Uint64 => Ok(map.next_value::<u64>()?.to_be_bytes().to_vec()),
        Kind::Octets | Kind::Inet4 | Kind::Inet6 => map.next_value::<AnyOctets>()?.bytes(),
    }
}

/// Puts each chunk at its place; the places must be those from 0 on, each once.
fn reordered<T, E: Error>(chunks: Vec<T>, places: &[usize]) -> Result<Vec<T>, E> {
    let mut ordered: Vec<Option<T>> = chunks.iter().map(|_| None).collect();
    let wrong = || E::custom("chunkOrder must hold the place of each chunk once");
    if places.len() != chunks.len() {
        return Err(wrong());
    }
    for (chunk, &place) in chunks.into_iter().zip(places) {
        match ordered.get_mut(place) {
            Some(empty @ None) => *empty = Some(chunk),
            _ => return Err(wrong()),
        }
    }
    Ok(ordered.into_iter().flatten().collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct VendorChunk {
    vendor_id: u16,
    chunk_id: u16,
    encoding: Option<String>,
    data: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadObject {
    #[serde(rename = "type")]
    kind: PayloadKind,
    encoding: Option<String>,
    data: String,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a payload type's name or number")]
enum PayloadKind {
    Number(u8),
    Name(String),
}

impl PayloadKind {
    fn number<E: Error>(&self) -> Result<u8, E> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Name(name) => {
                let known =
                    |kind: &&PayloadType| kind.name().is_some_and(|known| known.eq_ignore_ascii_case(name));
                let kind = PayloadType::ALL.iter().find(known);
                kind.map(|&kind| kind.into())
                    .ok_or_else(|| E::custom(format_args!("unknown payload type `{name}`")))
            }
        }
    }
}
