//! Writing.

use std::io;

use jiff::Timestamp as Instant;
use jiff::fmt::temporal::DateTimePrinter;
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use super::text::{Octets, add_data};
use super::{MILLISECOND, SECOND, TYPE, key};
use crate::frame::Chunk;
use crate::packet::Packet;
use crate::registry::{ChunkInfo, GenericChunk, Kind, PayloadType};
use crate::types::{Family, Timestamp};

/// Timestamps show milliseconds.
static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// Writes a packet as JSON.
#[must_use]
pub fn to_json(packet: &Packet<'_>) -> Vec<u8> {
    let mut json = Vec::with_capacity(128);
    // Cannot fail: writing to memory never fails.
    write_json(packet, &mut json).map_or_else(|_| Vec::new(), |()| json)
}

/// Writes a packet as JSON to `output`, in pieces.
///
/// # Errors
/// Those of `output`, after which nothing more is written.
pub fn write_json(packet: &Packet<'_>, output: impl io::Write) -> io::Result<()> {
    // All keys are strings: only the output can fail.
    serde_json::to_writer(output, &Json(packet)).map_err(Into::into)
}

struct Json<'p, 'a>(&'p Packet<'a>);

impl Serialize for Json<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let packet = self.0;
        let sorted = Sorted::of(&packet.chunks);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(key::TYPE, TYPE)?;
        map.serialize_entry(key::VERSION, &packet.version.number())?;
        map.serialize_entry(key::FAMILY, &packet.family.map(Family::number))?;
        map.serialize_entry(key::PROTOCOL, &packet.protocol)?;
        map.serialize_entry(key::SRC_IP, &packet.src_ip)?;
        map.serialize_entry(key::SRC_PORT, &packet.src_port)?;
        map.serialize_entry(key::DST_IP, &packet.dst_ip)?;
        map.serialize_entry(key::DST_PORT, &packet.dst_port)?;
        add_timestamp(&mut map, packet.timestamp)?;
        map.serialize_entry(key::CAPTURE_ID, &packet.capture_id)?;
        for &(_, info, value) in &sorted.facts {
            add_fact(&mut map, info, value)?;
        }
        let others: SmallVec<[_; 4]> = sorted.others.iter().map(|&(_, chunk)| VendorChunk(chunk)).collect();
        map.serialize_entry(key::VENDOR_CHUNKS, &others[..])?;
        if let Some(order) = sorted.order() {
            map.serialize_entry(key::CHUNK_ORDER, &order[..])?;
        }
        map.serialize_entry(key::PAYLOAD, &PayloadObject(packet))?;
        map.end()
    }
}

fn add_timestamp<M: SerializeMap>(map: &mut M, timestamp: Option<Timestamp>) -> Result<(), M::Error> {
    let Some(Timestamp { seconds, microseconds }) = timestamp else {
        map.serialize_entry(key::TIMESTAMP, &())?;
        return map.serialize_entry(key::MICROSECONDS, &());
    };
    let since_epoch = i64::from(seconds).saturating_mul(SECOND.into()).saturating_add(microseconds.into());
    let instant = Instant::from_microsecond(since_epoch).map_err(M::Error::custom)?;
    map.serialize_entry(key::TIMESTAMP, &PRINTER.timestamp_to_string(&instant))?;
    map.serialize_entry(key::MICROSECONDS, &(microseconds % MILLISECOND))?;
    if microseconds >= SECOND {
        map.serialize_entry(key::RAW_TIMESTAMP, &[seconds, microseconds])?;
    }
    Ok(())
}

fn add_fact<M: SerializeMap>(map: &mut M, info: &ChunkInfo, value: &[u8]) -> Result<(), M::Error> {
    if info.kind == Kind::Octets {
        return map.serialize_entry(info.name, &Octets(value));
    }
    map.serialize_entry(info.name, &info.integer(value))
}

/// The chunks in two parts, each with its position in the packet: named facts, and the others.
struct Sorted<'a> {
    facts: SmallVec<[(usize, &'static ChunkInfo, &'a [u8]); 8]>,
    others: SmallVec<[(usize, Chunk<'a>); 4]>,
}

impl<'a> Sorted<'a> {
    fn of(chunks: &[Chunk<'a>]) -> Self {
        let mut sorted = Self { facts: SmallVec::new(), others: SmallVec::new() };
        for (place, &chunk) in chunks.iter().enumerate() {
            // A value of a different width would be read back with the type's width.
            let info = GenericChunk::info(chunk.id)
                .filter(|info| chunk.vendor == 0 && !info.has_field && info.kind.fits(chunk.value));
            match info {
                Some(info) if !sorted.facts.iter().any(|(_, known, _)| known.chunk == info.chunk) => {
                    sorted.facts.push((place, info, chunk.value));
                }
                _ => sorted.others.push((place, chunk)),
            }
        }
        sorted
    }

    /// The positions of the facts followed by the others, unless they ascend.
    fn order(&self) -> Option<SmallVec<[usize; 8]>> {
        let places = self.facts.iter().map(|&(place, ..)| place);
        let places: SmallVec<[usize; 8]> =
            places.chain(self.others.iter().map(|&(place, _)| place)).collect();
        (!places.is_sorted()).then_some(places)
    }
}

struct VendorChunk<'a>(Chunk<'a>);

impl Serialize for VendorChunk<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(key::VENDOR_ID, &self.0.vendor)?;
        map.serialize_entry(key::CHUNK_ID, &self.0.id)?;
        add_data(&mut map, self.0.value)?;
        map.end()
    }
}

struct PayloadObject<'p, 'a>(&'p Packet<'a>);

impl Serialize for PayloadObject<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.0.payload_type;
        let kind = PayloadType::from(number);
        let mut map = serializer.serialize_map(None)?;
        match kind.name() {
            // The second number of a name would be lost.
            Some(name) if u8::from(kind) == number => {
                map.serialize_entry(key::TYPE, &name.to_ascii_uppercase())?;
            }
            _ => map.serialize_entry(key::TYPE, &number)?,
        }
        add_data(&mut map, self.0.payload.as_bytes())?;
        map.end()
    }
}
