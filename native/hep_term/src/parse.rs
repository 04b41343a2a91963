//! The chunk view: `{hep, Version, [{<<VendorId:16, ChunkId:16>>, Value}]}`.

use hep::{DecodeError, Options, Parsed, Timestamp};

use crate::{Atom, TermBuilder, Terms, error, ok};

/// `{ok, {hep, Version, Chunks}} | {error, Reason}`
pub fn parse<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    now: impl FnOnce() -> Timestamp,
) -> B::Term {
    match hep::parse(input, options, now).and_then(|parsed| state(builder, &parsed)) {
        Ok(state) => ok(builder, state),
        Err(reason) => error(builder, input, reason),
    }
}

fn state<B: TermBuilder>(builder: &B, parsed: &Parsed<'_>) -> Result<B::Term, DecodeError> {
    let mut chunks = Terms::new();
    for chunk in parsed.chunks() {
        let chunk = chunk?;
        chunks.push(builder.tuple([builder.key(chunk.vendor, chunk.id), builder.binary(chunk.value)]));
    }
    Ok(builder.tuple([
        builder.atom(Atom::Hep),
        builder.integer(parsed.version.number().into()),
        builder.list(&chunks),
    ]))
}
