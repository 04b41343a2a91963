//! The NIFs of the Erlang module `hep_nif`: glue, nothing else.
//!
//! A call on a normal scheduler takes well under a millisecond: what may take longer (inflating a payload,
//! thousands of chunks, long text) is answered with the atom `dirty`, upon which the caller takes the
//! function's twin for a dirty scheduler; see [`Scheduler`](hep_term::Scheduler). Binaries beyond 64 KiB are for
//! that one at once.

#![expect(clippy::unnecessary_wraps, reason = "all NIFs are functions of one type")]

mod members;
mod terms;
mod udp;

use hep::{EncodeOptions, Options};
use hep_term::SystemClock;

use crate::terms::{NifTerm, NifTerms, load, nifs};

rustler::init!("hep_nif", load = load);

nifs! {
    decode: Normal => decode;
    decode: Normal => decode_options;
    decode_dirty: Dirty => decode_options;
    parse: Normal => parse;
    parse_dirty: Dirty => parse;
    glance: Normal => glance;
    encode: Normal => encode;
    encode: Normal => encode_options;
    encode_dirty: Dirty => encode_options;
    packet_to_json: Normal => packet_to_json;
    packet_to_json_dirty: Dirty => packet_to_json;
    record_to_json: Normal => record_to_json;
    record_to_json_dirty: Dirty => record_to_json;
    chunks_to_json: Normal => chunks_to_json;
    chunks_to_json_dirty: Dirty => chunks_to_json;
    from_json: Normal => from_json;
    from_json_dirty: Dirty => from_json;
    transform: Normal => transform;
    transform_dirty: Dirty => transform;
    transform_packet: Normal => transform_packet;
    transform_packet_dirty: Dirty => transform_packet;
    transform_record: Normal => transform_record;
    transform_record_dirty: Dirty => transform_record;
    transform_chunk: Normal => transform_chunk;
}

fn decode<'a>(terms: &mut NifTerms<'a>, [packet]: [NifTerm<'a>; 1]) -> Option<NifTerm<'a>> {
    let bytes = terms.packet(packet)?;
    Some(hep_term::decode(terms, bytes, &Options::default(), SystemClock, terms.scheduler()))
}

fn decode_options<'a>(terms: &mut NifTerms<'a>, [packet, options]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    let options = hep_term::options(terms, options)?;
    let bytes = terms.packet(packet)?;
    Some(hep_term::decode(terms, bytes, &options, SystemClock, terms.scheduler()))
}

fn parse<'a>(terms: &mut NifTerms<'a>, [packet, keys]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    terms.take_keys(keys);
    let bytes = terms.packet(packet)?;
    Some(hep_term::parse(terms, bytes, &Options::default(), SystemClock, terms.scheduler()))
}

fn glance<'a>(terms: &mut NifTerms<'a>, [packet]: [NifTerm<'a>; 1]) -> Option<NifTerm<'a>> {
    let bytes = terms.packet(packet)?;
    Some(hep_term::glance(terms, bytes))
}

fn encode<'a>(terms: &mut NifTerms<'a>, [record]: [NifTerm<'a>; 1]) -> Option<NifTerm<'a>> {
    Some(hep_term::encode(terms, record, &EncodeOptions::default(), SystemClock, terms.scheduler()))
}

fn encode_options<'a>(terms: &mut NifTerms<'a>, [record, options]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    let options = hep_term::encode_options(terms, options)?;
    Some(hep_term::encode(terms, record, &options, SystemClock, terms.scheduler()))
}

fn packet_to_json<'a>(terms: &mut NifTerms<'a>, [packet, options]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    let options = hep_term::options(terms, options)?;
    let bytes = terms.packet(packet)?;
    Some(hep_term::packet_to_json(terms, bytes, &options, SystemClock, terms.scheduler()))
}

fn record_to_json<'a>(terms: &mut NifTerms<'a>, [record]: [NifTerm<'a>; 1]) -> Option<NifTerm<'a>> {
    Some(hep_term::record_to_json(terms, record, terms.scheduler()))
}

fn chunks_to_json<'a>(terms: &mut NifTerms<'a>, [version, chunks]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    hep_term::chunks_to_json(terms, version, chunks, SystemClock, terms.scheduler())
}

fn from_json<'a>(terms: &mut NifTerms<'a>, [json]: [NifTerm<'a>; 1]) -> Option<NifTerm<'a>> {
    let bytes = terms.json(json)?;
    Some(hep_term::from_json(terms, bytes, terms.scheduler()))
}

fn transform<'a>(terms: &mut NifTerms<'a>, [chunks, names, keys]: [NifTerm<'a>; 3]) -> Option<NifTerm<'a>> {
    terms.take_names(names);
    terms.take_keys(keys);
    hep_term::transform(terms, chunks, terms.scheduler())
}

fn transform_packet<'a>(terms: &mut NifTerms<'a>, [packet, names]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    terms.take_names(names);
    let bytes = terms.packet(packet)?;
    Some(hep_term::transform_packet(terms, bytes, &Options::default(), SystemClock, terms.scheduler()))
}

fn transform_record<'a>(terms: &mut NifTerms<'a>, [record, names]: [NifTerm<'a>; 2]) -> Option<NifTerm<'a>> {
    terms.take_names(names);
    hep_term::transform_record(terms, record, terms.scheduler())
}

fn transform_chunk<'a>(
    terms: &mut NifTerms<'a>,
    [id, value, names]: [NifTerm<'a>; 3],
) -> Option<NifTerm<'a>> {
    terms.take_names(names);
    Some(hep_term::transform_chunk(terms, id, value))
}
