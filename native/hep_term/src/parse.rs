//! The chunk view: `{hep, Version, [{<<VendorId:16, ChunkId:16>>, Value}]}`.

use hep::{Clock, DecodeError, Options, Parsed};

use crate::{Atom, Scheduler, TermBuilder, Terms, error, ok, with_unpacked};

/// `{ok, {hep, Version, Chunks}} | {error, Reason}`, or `dirty` where a normal scheduler is not enough.
pub fn parse<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    clock: impl Clock,
    scheduler: Scheduler,
) -> B::Term {
    with_unpacked(builder, input, options, scheduler, |input| {
        match hep::parse(input, options, clock).and_then(|parsed| state(builder, &parsed, scheduler)) {
            Ok(Some(state)) => ok(builder, state),
            Ok(None) => builder.atom(Atom::Dirty),
            Err(reason) => error(builder, input, reason),
        }
    })
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
