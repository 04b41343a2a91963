//! `{Version, PayloadType, AuthKey, Payload, Chunks}`: the facts that a receiver needs before it decodes.

use hep::{Kind, Lengths};

use crate::{Answer, Atom, Stop, TermReader, error};

/// `{hep:version(), 0..255, binary() | undefined, plain | compressed | keep_alive, Chunks} | {error, Reason}`, as
/// decoding under the option `lengths` would have it.
pub fn glance<B: TermReader>(builder: &B, input: &[u8], lengths: B::Input) -> Answer<B::Term> {
    let lengths = match builder.is_atom(lengths, Atom::Lenient) {
        true => Lengths::Lenient,
        false if builder.is_atom(lengths, Atom::Strict) => Lengths::Strict,
        false => return Err(Stop::BadArgument),
    };
    match hep::glance(input, lengths) {
        Ok(found) => Ok(builder.tuple([
            builder.integer(found.version.number().into()),
            builder.integer(found.payload_type.into()),
            found.auth_key.map_or_else(|| builder.atom(Atom::Undefined), |key| builder.binary(key)),
            builder.atom(match found.payload {
                Kind::Plain => Atom::Plain,
                Kind::Compressed => Atom::Compressed,
                Kind::KeepAlive => Atom::KeepAlive,
            }),
            builder.integer(u64::try_from(found.chunks).unwrap_or(u64::MAX)),
        ])),
        Err(reason) => Err(error(builder, input, reason)),
    }
}
