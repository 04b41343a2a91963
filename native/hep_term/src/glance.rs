//! `{Version, PayloadType, AuthKey, Payload}`: what a receiver asks before it decodes.

use hep::Kind;

use crate::{Answer, Atom, TermBuilder, error};

/// `{hep:version(), 0..255, binary() | undefined, plain | compressed | keep_alive} | {error, Reason}`
pub fn glance<B: TermBuilder>(builder: &B, input: &[u8]) -> Answer<B::Term> {
    match hep::glance(input) {
        Ok(found) => Ok(builder.tuple([
            builder.integer(found.version.number().into()),
            builder.integer(found.payload_type.into()),
            found.auth_key.map_or_else(|| builder.atom(Atom::Undefined), |key| builder.binary(key)),
            builder.atom(match found.payload {
                Kind::Plain => Atom::Plain,
                Kind::Compressed => Atom::Compressed,
                Kind::KeepAlive => Atom::KeepAlive,
            }),
        ])),
        Err(reason) => Err(error(builder, input, reason)),
    }
}
