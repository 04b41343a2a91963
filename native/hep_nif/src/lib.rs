//! The NIFs of the Erlang module `hep_nif`: only glue code.
//!
//! A call on a normal scheduler takes well under a millisecond. Longer work (inflating a payload,
//! thousands of chunks, long text, binaries above 64 KiB) moves to a dirty scheduler: see `calls`.

mod calls;
mod lock;
mod members;
mod pcap;
mod terms;
mod udp;

use hep::Options;
use hep_term::Answer;

use crate::calls::nifs;
use crate::terms::{NifTerm, NifTerms, load};

rustler::init!("hep_nif", load = load);

nifs! { decode, parse, glance, encode, encode_iolist }
nifs! { packet_to_json, record_to_json, chunks_to_json, from_json }
nifs! { transform, transform_packet, transform_record }
nifs! { sip_summary, sip_headers, sip_header }

fn decode<'a>(terms: &mut NifTerms<'a>, [packet, options]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    let options = hep_term::options(terms, options)?;
    let bytes = terms.packet(packet)?;
    hep_term::decode(terms, bytes, &options)
}

fn parse<'a>(terms: &mut NifTerms<'a>, [packet, keys]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    terms.take_keys(keys);
    let bytes = terms.packet(packet)?;
    hep_term::parse(terms, bytes, &Options::default())
}

fn glance<'a>(terms: &mut NifTerms<'a>, [packet, lengths]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    let bytes = terms.packet(packet)?;
    hep_term::glance(terms, bytes, lengths)
}

fn encode<'a>(terms: &mut NifTerms<'a>, [record, options]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    let options = hep_term::encode_options(terms, options)?;
    hep_term::encode(terms, record, &options)
}

fn encode_iolist<'a>(terms: &mut NifTerms<'a>, [record, options]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    let options = hep_term::encode_options(terms, options)?;
    hep_term::encode_iolist(terms, record, &options)
}

fn packet_to_json<'a>(terms: &mut NifTerms<'a>, [packet, options]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    let options = hep_term::options(terms, options)?;
    let bytes = terms.packet(packet)?;
    hep_term::packet_to_json(terms, bytes, &options)
}

fn record_to_json<'a>(terms: &mut NifTerms<'a>, [record]: [NifTerm<'a>; 1]) -> Answer<NifTerm<'a>> {
    hep_term::record_to_json(terms, record)
}

fn chunks_to_json<'a>(terms: &mut NifTerms<'a>, [version, chunks]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    hep_term::chunks_to_json(terms, version, chunks)
}

fn from_json<'a>(terms: &mut NifTerms<'a>, [json]: [NifTerm<'a>; 1]) -> Answer<NifTerm<'a>> {
    let bytes = terms.json(json)?;
    hep_term::from_json(terms, bytes)
}

fn transform<'a>(terms: &mut NifTerms<'a>, [chunks, names, keys]: [NifTerm<'a>; 3]) -> Answer<NifTerm<'a>> {
    terms.take_names(names);
    terms.take_keys(keys);
    hep_term::transform(terms, chunks)
}

fn transform_packet<'a>(terms: &mut NifTerms<'a>, [packet, names]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    terms.take_names(names);
    let bytes = terms.packet(packet)?;
    hep_term::transform_packet(terms, bytes, &Options::default())
}

fn transform_record<'a>(terms: &mut NifTerms<'a>, [record, names]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    terms.take_names(names);
    hep_term::transform_record(terms, record)
}

fn sip_summary<'a>(terms: &mut NifTerms<'a>, [message]: [NifTerm<'a>; 1]) -> Answer<NifTerm<'a>> {
    let bytes = terms.packet(message)?;
    hep_term::sip_summary(terms, bytes)
}

fn sip_headers<'a>(terms: &mut NifTerms<'a>, [message]: [NifTerm<'a>; 1]) -> Answer<NifTerm<'a>> {
    let bytes = terms.packet(message)?;
    hep_term::sip_headers(terms, bytes)
}

fn sip_header<'a>(terms: &mut NifTerms<'a>, [name, message]: [NifTerm<'a>; 2]) -> Answer<NifTerm<'a>> {
    let bytes = terms.packet(message)?;
    hep_term::sip_header(terms, name, bytes)
}
