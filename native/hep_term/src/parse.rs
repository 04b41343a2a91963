//! The chunk view: `{hep, Version, [{<<VendorId:16, ChunkId:16>>, Value}]}`.

use hep::{DecodeError, Options, Parsed, Timestamp};

use crate::{Atom, Scheduler, TermBuilder, Terms, error, ok};

/// `{ok, {hep, Version, Chunks}} | {error, Reason}`, or `dirty` where a normal scheduler is not enough.
pub fn parse<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    now: impl FnOnce() -> Timestamp,
    scheduler: Scheduler,
) -> B::Term {
    match hep::parse(input, options, now).and_then(|parsed| state(builder, &parsed, scheduler)) {
        Ok(Some(state)) => ok(builder, state),
        Ok(None) => builder.atom(Atom::Dirty),
        Err(reason) => error(builder, input, reason),
    }
}

fn state<B: TermBuilder>(
    builder: &B,
    parsed: &Parsed<'_>,
    scheduler: Scheduler,
) -> Result<Option<B::Term>, DecodeError> {
    let mut chunks = Terms::new();
    for chunk in parsed.chunks() {
        let chunk = chunk?;
        chunks.push(builder.tuple([builder.key(chunk.vendor, chunk.id), builder.binary(chunk.value)]));
        if !scheduler.walks(chunks.len()) {
            return Ok(None);
        }
    }
    Ok(Some(builder.tuple([
        builder.atom(Atom::Hep),
        builder.integer(parsed.version.number().into()),
        builder.list(&mut chunks),
    ])))
}
