//! What a packet looks like as a term: the views, written once.
//!
//! They are generic over [`TermBuilder`], so that the NIF and any other side of the BEAM cannot disagree.

#![forbid(unsafe_code)]

mod builder;
mod clock;
mod encode;
mod glance;
mod json;
mod options;
mod parse;
mod record;
mod transform;

pub use builder::{Atom, TermBuilder, TermReader, Terms, split_key};
pub use clock::SystemClock;
pub use encode::encode;
pub use glance::glance;
pub use json::{chunks_to_json, from_json, packet_to_json, record_to_json};
pub use options::{encode_options, options};
pub use parse::parse;
pub use record::decode;
pub use transform::{transform, transform_chunk, transform_packet, transform_record};

use std::borrow::Cow;

use hep::quirks::is_gzip;
use hep::{DecodeError, GzipError, Options, Packet};

/// The scheduler that a call runs on. What would hold a normal one for longer than a small part of a
/// millisecond is answered with the atom `dirty`: the caller then makes the call on a dirty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler {
    /// One that all processes share.
    Normal,
    /// One for long calls.
    Dirty,
}

impl Scheduler {
    /// The most chunks that are walked, and made terms of, on a normal scheduler.
    const CHUNKS: usize = 2000;
    /// The most bytes of text that are written as JSON on a normal scheduler.
    const TEXT: usize = 64 * 1024;
    /// The most bytes of JSON that are read on a normal scheduler: to read takes far longer than to write.
    const JSON: usize = 8 * 1024;

    fn walks(self, chunks: usize) -> bool {
        self == Self::Dirty || chunks <= Self::CHUNKS
    }

    fn writes(self, text: usize) -> bool {
        self == Self::Dirty || text <= Self::TEXT
    }

    fn reads(self, json: usize) -> bool {
        self == Self::Dirty || json <= Self::JSON
    }

    /// Whether the packet has to be inflated, or has too many chunks.
    fn refuses(self, packet: &Packet<'_>) -> bool {
        !self.walks(packet.chunks.len()) || (self == Self::Normal && packet.payload.is_compressed())
    }
}

/// Answers with what `view` makes of the packet, which is unpacked first where it came in gzip; `dirty` where a normal
/// scheduler is not enough for that.
#[inline]
fn with_unpacked<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    scheduler: Scheduler,
    view: impl FnOnce(&[u8]) -> B::Term,
) -> B::Term {
    if scheduler == Scheduler::Normal && is_gzip(input) {
        return builder.atom(Atom::Dirty);
    }
    match hep::unpack(input, options) {
        Ok(Cow::Borrowed(packet)) => view(packet),
        Ok(Cow::Owned(packet)) => view(builder.unpacked(&packet)),
        Err(reason) => error(builder, input, reason),
    }
}

/// `{ok, Value}`
fn ok<B: TermBuilder>(builder: &B, value: B::Term) -> B::Term {
    builder.tuple([builder.atom(Atom::Ok), value])
}

/// `{error, Reason}`
fn refused<B: TermBuilder>(builder: &B, reason: B::Term) -> B::Term {
    builder.tuple([builder.atom(Atom::Error), reason])
}

/// `{ok, Value}`, or `{ok, Value, Reason}` of a packet that was cut for the reason. It is one of those about lengths,
/// which have no part of the packet.
fn read<B: TermBuilder>(builder: &B, value: B::Term, cut: Option<DecodeError>) -> B::Term {
    match cut {
        Some(cut) => builder.tuple([builder.atom(Atom::Ok), value, reason(builder, &[], cut)]),
        None => ok(builder, value),
    }
}

/// `{error, Reason}`
fn error<B: TermBuilder>(builder: &B, input: &[u8], error: DecodeError) -> B::Term {
    refused(builder, reason(builder, input, error))
}

/// The reason, see `hep:reason()`.
fn reason<B: TermBuilder>(builder: &B, input: &[u8], error: DecodeError) -> B::Term {
    let atom = |atom| builder.atom(atom);
    let integer = |value: usize| builder.integer(u64::try_from(value).unwrap_or(u64::MAX));
    match error {
        DecodeError::NotHep => atom(Atom::NotHep),
        DecodeError::Truncated { offset } => builder.tuple([atom(Atom::Truncated), integer(offset)]),
        DecodeError::UnknownProtocolFamily { family } => {
            builder.tuple([atom(Atom::UnknownProtocolFamily), integer(family.into())])
        }
        DecodeError::InvalidHeaderLength { length } => {
            builder.tuple([atom(Atom::InvalidHeaderLength), integer(length.into())])
        }
        DecodeError::InvalidTotalLength { length } => {
            builder.tuple([atom(Atom::InvalidTotalLength), integer(length.into())])
        }
        DecodeError::TruncatedChunk { offset } => {
            builder.tuple([atom(Atom::TruncatedChunk), integer(offset)])
        }
        DecodeError::InvalidChunkLength { offset, length } => {
            builder.tuple([atom(Atom::InvalidChunkLength), integer(offset), integer(length.into())])
        }
        DecodeError::InvalidChunk { vendor, id, offset, length } => builder.tuple([
            atom(Atom::InvalidChunk),
            integer(vendor.into()),
            integer(id.into()),
            integer(length),
            builder.binary(input.get(offset..offset.saturating_add(length)).unwrap_or_default()),
        ]),
        DecodeError::InvalidGzip(problem) => {
            let problem = match problem {
                GzipError::Truncated => Atom::Truncated,
                GzipError::Corrupt => Atom::Corrupt,
                GzipError::TooLarge => Atom::TooLarge,
                GzipError::TrailingBytes => Atom::TrailingBytes,
            };
            builder.tuple([atom(Atom::InvalidGzip), atom(problem)])
        }
    }
}
