//! Between packets, terms and JSON.

use hep::{Chunk, Clock, OneOrMany, Options, Packet, Version};

use crate::encode::Fields;
use crate::record::record;
use crate::{Atom, Scheduler, TermBuilder, TermReader, error, ok, read, refused, with_unpacked};

/// `{ok, Json} | {ok, Json, Reason} | {error, Reason}` of a packet, without terms in between; `dirty` where a normal
/// scheduler is not enough.
pub fn packet_to_json<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    clock: impl Clock,
    scheduler: Scheduler,
) -> B::Term {
    with_unpacked(builder, input, options, scheduler, |input| match Packet::read(input, options, clock) {
        Ok(packet) if refuses(scheduler, &packet) => builder.atom(Atom::Dirty),
        Ok(packet) => match packet.inflate(options.max_inflated) {
            Ok(packet) => read(builder, builder.binary(&hep::to_json(&packet)), packet.cut),
            Err(reason) => error(builder, input, reason),
        },
        Err(reason) => error(builder, input, reason),
    })
}

fn refuses(scheduler: Scheduler, packet: &Packet<'_>) -> bool {
    scheduler.refuses(packet) || !scheduler.writes(packet.payload.as_bytes().len())
}

/// `{ok, Json} | {error, Reason}` of a `#hep{}`; `dirty` where a normal scheduler is not
/// enough.
pub fn record_to_json<B: TermReader>(builder: &B, term: B::Input, scheduler: Scheduler) -> B::Term {
    let fields = match Fields::required(builder, term) {
        Ok(fields) => fields,
        Err(answer) => return answer,
    };
    match fields.packet(builder, scheduler) {
        Ok(packet) if refuses(scheduler, &packet) => builder.atom(Atom::Dirty),
        Ok(packet) => ok(builder, builder.binary(&hep::to_json(&packet))),
        Err(answer) => answer,
    }
}

/// `{ok, Json}` of a parsed packet's version and chunks, or `dirty` where a normal scheduler is not enough;
/// `None` when they are none, or no packet's.
pub fn chunks_to_json<B: TermReader>(
    builder: &B,
    version: B::Input,
    chunks: B::Input,
    clock: impl Clock,
    scheduler: Scheduler,
) -> Option<B::Term> {
    let version = match builder.unsigned(version)? {
        1 => Version::V1,
        2 => Version::V2,
        3 => Version::V3,
        _ => return None,
    };
    let mut list = Vec::new();
    let mut size = 0_usize;
    let mut is_small = true;
    let walked = builder.each(chunks, |chunk| {
        let [key, value] = builder.elements(chunk)?;
        let (vendor, id) = builder.read_key(key)?;
        let value = builder.bytes(value)?;
        list.push(Chunk { vendor, id, value });
        size = size.saturating_add(value.len());
        is_small = scheduler.walks(list.len()) && scheduler.writes(size);
        is_small.then_some(())
    });
    if !is_small {
        return Some(builder.atom(Atom::Dirty));
    }
    walked?;
    let packet = Packet::from_chunks(version, list, clock)?;
    if scheduler.refuses(&packet) {
        return Some(builder.atom(Atom::Dirty));
    }
    let packet = packet.inflate(Options::default().max_inflated).ok()?;
    Some(ok(builder, builder.binary(&hep::to_json(&packet))))
}

/// `{ok, Hep} | {ok, [Hep]} | {error, {invalid_json, Line, Column, Message}}`, or `dirty` where a normal
/// scheduler is not enough.
pub fn from_json<B: TermBuilder>(builder: &B, json: &[u8], scheduler: Scheduler) -> B::Term {
    if !scheduler.reads(json.len()) {
        return builder.atom(Atom::Dirty);
    }
    match hep::from_json(json) {
        Ok(OneOrMany::One(packet)) => ok(builder, record(builder, &packet.packet())),
        Ok(OneOrMany::Many(packets)) => {
            let records = packets.iter().map(|packet| record(builder, &packet.packet()));
            ok(builder, builder.list(&mut records.collect()))
        }
        Err(wrong) => {
            let integer = |value: usize| builder.integer(u64::try_from(value).unwrap_or(u64::MAX));
            let reason = builder.tuple([
                builder.atom(Atom::InvalidJson),
                integer(wrong.line),
                integer(wrong.column),
                builder.binary(wrong.message.as_bytes()),
            ]);
            refused(builder, reason)
        }
    }
}
