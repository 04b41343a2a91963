//! Reading.

use core::net::IpAddr;

use jiff::Timestamp as Instant;

use super::source::{JsonError, Value};
use super::text;
use super::{MILLISECOND, SECOND, TYPE, key};
use crate::frame::Chunk;
use crate::packet::{Packet, Payload};
use crate::registry::{ChunkInfo, GenericChunk, Kind, PayloadType};
use crate::types::{Family, Timestamp, Version};

/// Reads a packet, or an array of packets.
///
/// # Errors
/// [`JsonError`] describes the error and its place.
pub fn from_json(json: &[u8]) -> Result<OneOrMany, JsonError> {
    let value = Value::whole(json)?;
    if !value.is_array() {
        return read_packet(value, "a packet or an array of packets")
            .map(|one| OneOrMany::One(Box::new(one)));
    }
    let mut packets = Vec::new();
    value.elements("an array of packets", |packet| {
        packets.push(read_packet(packet, "a packet")?);
        Ok(())
    })?;
    Ok(OneOrMany::Many(packets))
}

/// The contents of a JSON text.
#[derive(Debug)]
pub enum OneOrMany {
    /// An object.
    One(Box<OwnedPacket>),
    /// An array.
    Many(Vec<OwnedPacket>),
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
            cut: None,
        }
    }
}

/// Values that are combined after reading.
#[derive(Default)]
struct Parts<'a> {
    is_hep: bool,
    version: Option<Version>,
    payload: Option<Vec<u8>>,
    timestamp: Option<(Value<'a>, Instant)>,
    microseconds: Option<(Value<'a>, u32)>,
    raw_timestamp: Option<(Value<'a>, [u32; 2])>,
    facts: Vec<OwnedChunk>,
    others: Vec<OwnedChunk>,
    order: Option<(Value<'a>, Vec<usize>)>,
}

/// The vendor, the id and the value.
type OwnedChunk = (u16, u16, Vec<u8>);

fn read_packet(object: Value<'_>, expected: &str) -> Result<OwnedPacket, JsonError> {
    let mut packet = Packet::new(Version::V3);
    let mut parts = Parts::default();
    object.fields(expected, |name, value| {
        match name {
            key::TYPE => {
                parts.is_hep = value.read::<String>()? == TYPE;
                if !parts.is_hep {
                    return Err(value.wrong(format_args!("expected {TYPE}")));
                }
            }
            key::VERSION => parts.version = Some(version(value)?),
            key::FAMILY => packet.family = family(value)?,
            key::PROTOCOL => packet.protocol = value.read()?,
            key::SRC_IP => packet.src_ip = value.read::<Option<IpAddr>>()?,
            key::SRC_PORT => packet.src_port = value.read()?,
            key::DST_IP => packet.dst_ip = value.read::<Option<IpAddr>>()?,
            key::DST_PORT => packet.dst_port = value.read()?,
            key::TIMESTAMP => parts.timestamp = instant(value)?.map(|instant| (value, instant)),
            key::MICROSECONDS => parts.microseconds = microseconds(value)?.map(|within| (value, within)),
            key::RAW_TIMESTAMP => parts.raw_timestamp = Some((value, value.read()?)),
            key::CAPTURE_ID => packet.capture_id = value.read()?,
            key::VENDOR_CHUNKS => value.elements("an array of chunks", |chunk| {
                parts.others.push(vendor_chunk(chunk)?);
                Ok(())
            })?,
            key::CHUNK_ORDER => parts.order = Some((value, value.read()?)),
            key::PAYLOAD => {
                let (kind, payload) = typed_payload(value)?;
                packet.payload_type = kind;
                parts.payload = Some(payload);
            }
            name => {
                let Some(info) = fact(name) else { return Ok(false) };
                parts.facts.push((0, info.chunk.into(), fact_value(info, value)?));
            }
        }
        Ok(true)
    })?;
    put_together(object, packet, parts)
}

fn put_together(
    object: Value<'_>,
    mut packet: Packet<'static>,
    mut parts: Parts<'_>,
) -> Result<OwnedPacket, JsonError> {
    if !parts.is_hep {
        return Err(object.missing(key::TYPE));
    }
    packet.version = parts.version.ok_or_else(|| object.missing(key::VERSION))?;
    let payload = parts.payload.take().ok_or_else(|| object.missing(key::PAYLOAD))?;
    packet.timestamp = parts.timestamp()?;
    let mut chunks = parts.facts;
    chunks.extend(parts.others);
    if let Some((value, places)) = parts.order {
        let wrong = || value.wrong("chunkOrder must hold the place of each chunk once");
        chunks = reordered(chunks, &places).ok_or_else(wrong)?;
    }
    Ok(OwnedPacket { facts: packet, chunks, payload })
}

fn version(value: Value<'_>) -> Result<Version, JsonError> {
    match value.read::<u64>()? {
        1 => Ok(Version::V1),
        2 => Ok(Version::V2),
        3 => Ok(Version::V3),
        _ => Err(value.wrong("expected 1, 2 or 3")),
    }
}

fn family(value: Value<'_>) -> Result<Option<Family>, JsonError> {
    let Some(number) = value.read()? else { return Ok(None) };
    let family = Family::from_number(number);
    family.map(Some).ok_or_else(|| value.wrong("expected 2 or 10"))
}

fn instant(value: Value<'_>) -> Result<Option<Instant>, JsonError> {
    let Some(text) = value.read::<Option<String>>()? else { return Ok(None) };
    let instant = text.parse().map_err(|_| value.wrong("expected a date and time of RFC 3339"));
    instant.map(Some)
}

fn microseconds(value: Value<'_>) -> Result<Option<u32>, JsonError> {
    match value.read()? {
        Some(within) if within >= MILLISECOND => Err(value.wrong("expected 0 to 999")),
        within => Ok(within),
    }
}

impl Parts<'_> {
    /// The time, combined from its fields.
    fn timestamp(&self) -> Result<Option<Timestamp>, JsonError> {
        let since_epoch = match (self.timestamp, self.microseconds) {
            (Some((value, instant)), within) => Some(since_epoch(value, instant, within)?),
            (None, Some((value, _))) => {
                return Err(value.wrong("timestampUSecs without a timestamp"));
            }
            (None, None) => None,
        };
        if let Some((value, [seconds, microseconds])) = self.raw_timestamp {
            let raw = i64::from(seconds).saturating_mul(SECOND.into()).saturating_add(microseconds.into());
            if since_epoch != Some(raw) {
                return Err(value.wrong("timestamp and timestampUSecs contradict this time"));
            }
            return Ok(Some(Timestamp { seconds, microseconds }));
        }
        let (Some(since_epoch), Some((value, _))) = (since_epoch, self.timestamp) else { return Ok(None) };
        let seconds = u32::try_from(since_epoch.div_euclid(SECOND.into()));
        let microseconds = u32::try_from(since_epoch.rem_euclid(SECOND.into()));
        match (seconds, microseconds) {
            (Ok(seconds), Ok(microseconds)) => Ok(Some(Timestamp { seconds, microseconds })),
            _ => Err(value.wrong("the timestamp is before 1970 or beyond the year 2106")),
        }
    }
}

/// Microseconds since the epoch. Those within the millisecond are a separate field; the text may only have more digits
/// if they agree with it.
fn since_epoch(
    value: Value<'_>,
    instant: Instant,
    within: Option<(Value<'_>, u32)>,
) -> Result<i64, JsonError> {
    const NANOSECONDS: i128 = 1_000_000;
    let within = within.map_or(0, |(_, within)| i64::from(within));
    let (milliseconds, finer) =
        (instant.as_nanosecond().div_euclid(NANOSECONDS), instant.as_nanosecond().rem_euclid(NANOSECONDS));
    if finer != 0 && finer != i128::from(within).saturating_mul(1000) {
        return Err(value.wrong("the timestamp has digits beyond milliseconds"));
    }
    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX);
    Ok(milliseconds.saturating_mul(MILLISECOND.into()).saturating_add(within))
}

fn fact(name: &str) -> Option<&'static ChunkInfo> {
    let chunk = GenericChunk::ALL.iter().find(|chunk| chunk.name() == Some(name))?;
    GenericChunk::info((*chunk).into()).filter(|info| !info.has_field)
}

fn fact_value(info: &ChunkInfo, value: Value<'_>) -> Result<Vec<u8>, JsonError> {
    match info.kind {
        Kind::Uint8 => Ok(value.read::<u8>()?.to_be_bytes().to_vec()),
        Kind::Uint16 => Ok(value.read::<u16>()?.to_be_bytes().to_vec()),
        Kind::Uint32 => Ok(value.read::<u32>()?.to_be_bytes().to_vec()),
        Kind::Uint64 => Ok(value.read::<u64>()?.to_be_bytes().to_vec()),
        Kind::Octets | Kind::Inet4 | Kind::Inet6 => text::octets(value),
    }
}

/// Moves each chunk to its position; the positions must be a permutation that begins with 0.
fn reordered<T>(chunks: Vec<T>, places: &[usize]) -> Option<Vec<T>> {
    let mut ordered: Vec<Option<T>> = chunks.iter().map(|_| None).collect();
    if places.len() != chunks.len() {
        return None;
    }
    for (chunk, &place) in chunks.into_iter().zip(places) {
        match ordered.get_mut(place) {
            Some(empty @ None) => *empty = Some(chunk),
            _ => return None,
        }
    }
    ordered.into_iter().collect()
}

fn vendor_chunk(object: Value<'_>) -> Result<OwnedChunk, JsonError> {
    let (mut vendor, mut id) = (None, None);
    let value = text::with_data(object, "a chunk", |name, value| {
        match name {
            key::VENDOR_ID => vendor = Some(value.read()?),
            key::CHUNK_ID => id = Some(value.read()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let vendor = vendor.ok_or_else(|| object.missing(key::VENDOR_ID))?;
    Ok((vendor, id.ok_or_else(|| object.missing(key::CHUNK_ID))?, value))
}

/// The payload's type and the payload.
fn typed_payload(object: Value<'_>) -> Result<(u8, Vec<u8>), JsonError> {
    let mut kind = None;
    let payload = text::with_data(object, "a payload", |name, value| {
        if name == key::TYPE {
            kind = Some(payload_type(value)?);
        }
        Ok(name == key::TYPE)
    })?;
    Ok((kind.ok_or_else(|| object.missing(key::TYPE))?, payload))
}

fn payload_type(value: Value<'_>) -> Result<u8, JsonError> {
    if !value.is_string() {
        let expected = |_| value.wrong("expected a payload type's name, or its number from 0 to 255");
        return value.read().map_err(expected);
    }
    let name: String = value.read()?;
    let known = |kind: &&PayloadType| kind.name().is_some_and(|known| known.eq_ignore_ascii_case(&name));
    let kind = PayloadType::ALL.iter().find(known).map(|&kind| kind.into());
    kind.ok_or_else(|| value.wrong(format_args!("unknown payload type `{name}`")))
}
