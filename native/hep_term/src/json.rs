//! Between packets, terms and JSON.

use hep::{Chunk, JsonError, OneOrMany, Options, Packet, Version};

use crate::clock::SystemClock;
use crate::encode::Fields;
use crate::record::record;
use crate::{
    Answer, Atom, CHUNKS, JSON, Stop, TEXT, TermBuilder, TermReader, error, is_short, ok, read, refused,
    stay_short, with_unpacked,
};

/// `{ok, Json} | {ok, Json, Reason} | {error, Reason}` of a packet, without terms in between.
pub fn packet_to_json<B: TermBuilder>(builder: &B, input: &[u8], options: &Options) -> Answer<B::Term> {
    with_unpacked(builder, input, options, |input| {
        let refused = |reason| error(builder, input, reason);
        let packet = Packet::read(input, options, SystemClock).map_err(refused)?;
        stay_short(builder, is_short(&packet))?;
        let packet = packet.inflate(options.max_inflated).map_err(refused)?;
        Ok(read(builder, json(builder, &packet)?, packet.cut))
    })
}

/// `{ok, Json} | {error, Reason}` of a `#hep{}`.
pub fn record_to_json<B: TermReader>(builder: &B, term: B::Input) -> Answer<B::Term> {
    let fields = Fields::required(builder, term)?;
    Ok(ok(builder, json(builder, &fields.packet(builder)?)?))
}

/// `{ok, Json}` of a parsed packet's version and chunks.
pub fn chunks_to_json<B: TermReader>(builder: &B, version: B::Input, chunks: B::Input) -> Answer<B::Term> {
    let version = match builder.unsigned(version) {
        Some(1) => Version::V1,
        Some(2) => Version::V2,
        Some(3) => Version::V3,
        _ => return Err(Stop::BadArgument),
    };
    let mut list = Vec::new();
    let is_list = builder.each(chunks, |term| {
        list.push(parsed_chunk(builder, term).ok_or(Stop::BadArgument)?);
        stay_short(builder, list.len() <= CHUNKS)
    })?;
    let packet = if is_list { Packet::from_chunks(version, list, SystemClock) } else { None };
    let packet = packet.ok_or(Stop::BadArgument)?;
    stay_short(builder, is_short(&packet))?;
    let packet = packet.inflate(Options::default().max_inflated).map_err(|_| Stop::BadArgument)?;
    Ok(ok(builder, json(builder, &packet)?))
}

/// `{<<VendorId:16, ChunkId:16>>, Value}`
fn parsed_chunk<B: TermReader>(builder: &B, term: B::Input) -> Option<Chunk<'_>> {
    let [key, value] = builder.elements(term)?;
    let (vendor, id) = builder.read_key(key)?;
    Some(Chunk { vendor, id, value: builder.bytes(value)? })
}

/// The text.
fn json<B: TermBuilder>(builder: &B, packet: &Packet<'_>) -> Answer<B::Term> {
    stay_short(builder, packet.payload.as_bytes().len() <= TEXT)?;
    Ok(builder.json(packet))
}

/// `{ok, Hep} | {ok, [Hep]} | {error, {invalid_json, Line, Column, Message}}`
pub fn from_json<B: TermBuilder>(builder: &B, json: &[u8]) -> Answer<B::Term> {
    stay_short(builder, json.len() <= JSON)?;
    let value = match hep::from_json(json).map_err(|wrong| invalid_json(builder, &wrong))? {
        OneOrMany::One(packet) => record(builder, &packet.packet()),
        OneOrMany::Many(packets) => {
            let records = packets.iter().map(|packet| record(builder, &packet.packet()));
            builder.list(&mut records.collect())
        }
    };
    Ok(ok(builder, value))
}

/// `{error, {invalid_json, Line, Column, Message}}`
fn invalid_json<B: TermBuilder>(builder: &B, wrong: &JsonError) -> Stop<B::Term> {
    let integer = |value: usize| builder.integer(u64::try_from(value).unwrap_or(u64::MAX));
    let reason = builder.tuple([
        builder.atom(Atom::InvalidJson),
        integer(wrong.line),
        integer(wrong.column),
        builder.binary(wrong.message.as_bytes()),
    ]);
    refused(builder, reason)
}
