//! The views: packets as Erlang terms.
//!
//! They are generic over [`TermBuilder`], so that the NIF and the port program return the same terms.

#![forbid(unsafe_code)]
#![expect(clippy::missing_errors_doc, reason = "every error is a `Stop`, which says why")]

mod builder;
mod clock;
mod encode;
mod glance;
mod json;
mod options;
mod parse;
mod record;
mod sip;
mod transform;

pub use builder::{Atom, MapBuilder, TermBuilder, TermReader, Terms, split_key};
pub use encode::{encode, encode_iolist};
pub use glance::glance;
pub use json::{chunks_to_json, from_json, packet_to_json, record_to_json};
pub use options::{encode_options, options};
pub use parse::parse;
pub use record::decode;
pub use sip::{sip_header, sip_headers, sip_summary};
pub use transform::{transform, transform_packet, transform_record};

use hep::quirks::is_gzip;
use hep::{DecodeError, GzipError, Options, Packet};

/// The result of a call or of a part of it, or the reason why it stopped.
pub type Answer<Term, Value = Term> = Result<Value, Stop<Term>>;

/// Why a call stops early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<Term> {
    /// The result is an error: `{error, Reason}`.
    Error(Term),
    /// An argument has a wrong type or value: `badarg`.
    BadArgument,
    /// The call would take longer than a small part of a millisecond, which the builder does not allow.
    TakesLong,
}

/// The maximum number of chunks read or converted to terms in a short call.
const CHUNKS: usize = 2000;
/// The maximum number of bytes of text written as JSON in a short call.
const TEXT: usize = 64 * 1024;
/// The maximum number of bytes of JSON read in a short call: reading takes far longer than writing.
const JSON: usize = 8 * 1024;

/// Stops a call that would take long, unless it may.
#[inline]
fn stay_short<B: TermBuilder>(builder: &B, is_short: bool) -> Answer<B::Term, ()> {
    if is_short || builder.may_take_long() { Ok(()) } else { Err(Stop::TakesLong) }
}

/// Inflating a payload, or handling many chunks, takes long.
#[inline]
fn is_short(packet: &Packet<'_>) -> bool {
    packet.chunks.len() <= CHUNKS && !packet.payload.is_compressed()
}

/// Returns `view` of the packet, after unpacking a packet in gzip.
#[inline]
fn with_unpacked<B: TermBuilder>(
    builder: &B,
    input: &[u8],
    options: &Options,
    view: impl FnOnce(&[u8]) -> Answer<B::Term>,
) -> Answer<B::Term> {
    if !is_gzip(input) {
        return view(input);
    }
    stay_short(builder, false)?;
    let packet = hep::unpack(input, options).map_err(|reason| error(builder, input, reason))?;
    view(builder.unpacked(&packet))
}

/// `{ok, Value}`
fn ok<B: TermBuilder>(builder: &B, value: B::Term) -> B::Term {
    builder.tuple([builder.atom(Atom::Ok), value])
}

/// `{error, Reason}`
fn refused<B: TermBuilder>(builder: &B, reason: B::Term) -> Stop<B::Term> {
    Stop::Error(builder.tuple([builder.atom(Atom::Error), reason]))
}

/// `{ok, Value}`, or `{ok, Value, Reason}` for a packet with wrong lengths. Errors of lengths contain no part of the
/// packet.
fn read<B: TermBuilder>(builder: &B, value: B::Term, cut: Option<DecodeError>) -> B::Term {
    match cut {
        Some(cut) => builder.tuple([builder.atom(Atom::Ok), value, reason(builder, &[], cut)]),
        None => ok(builder, value),
    }
}

/// `{error, Reason}`
fn error<B: TermBuilder>(builder: &B, input: &[u8], error: DecodeError) -> Stop<B::Term> {
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
            };
            builder.tuple([atom(Atom::InvalidGzip), atom(problem)])
        }
    }
}
