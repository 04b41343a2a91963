//! The chunk view: `{hep, Version, [{<<VendorId:16, ChunkId:16>>, Value}]}`.

use hep::Options;

use crate::clock::SystemClock;
use crate::{Answer, Atom, CHUNKS, TermBuilder, Terms, error, ok, stay_short, with_unpacked};

/// `{ok, {hep, Version, Chunks}} | {error, Reason}`
pub fn parse<B: TermBuilder>(builder: &B, input: &[u8], options: &Options) -> Answer<B::Term> {
    with_unpacked(builder, input, options, |input| {
        let refused = |reason| error(builder, input, reason);
        let parsed = hep::parse(input, options, SystemClock).map_err(refused)?;
        let mut chunks = Terms::new();
        for chunk in parsed.chunks() {
            let chunk = chunk.map_err(refused)?;
            chunks.push(builder.tuple([builder.key(chunk.vendor, chunk.id), builder.binary(chunk.value)]));
            stay_short(builder, chunks.len() <= CHUNKS)?;
        }
        let state = [
            builder.atom(Atom::Hep),
            builder.integer(parsed.version.number().into()),
            builder.list(&mut chunks),
        ];
        Ok(ok(builder, builder.tuple(state)))
    })
}
