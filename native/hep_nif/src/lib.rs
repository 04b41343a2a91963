//! The NIFs of the Erlang module `hep_nif`: glue, nothing else.
//!
//! A call on a normal scheduler takes well under a millisecond: what may take longer (inflating a payload,
//! thousands of chunks, long text) is answered with the atom `dirty`, upon which the caller takes the
//! function for a dirty scheduler; see [`Scheduler`]. Binaries beyond 64 KiB are for that one at once.

mod terms;

use hep::{EncodeOptions, Options};
use hep_term::{Scheduler, now};
use rustler::{Binary, Env, Error, NifResult, Term};

use crate::terms::{NifTerms, load};

rustler::init!("hep_nif", load = load);

#[rustler::nif]
fn decode<'a>(env: Env<'a>, packet: Term<'a>) -> NifResult<Term<'a>> {
    decode_with(env, packet, &Options::default(), Scheduler::Normal)
}

#[rustler::nif(name = "decode")]
fn decode_options<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    decode_with(env, packet, &options_of(env, options)?, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn decode_dirty<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    decode_with(env, packet, &options_of(env, options)?, Scheduler::Dirty)
}

fn decode_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    options: &Options,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, scheduler);
    terms.finish(hep_term::decode(&terms, packet.as_slice(), options, now, scheduler))
}

#[rustler::nif]
fn parse<'a>(env: Env<'a>, packet: Term<'a>, keys: Term<'a>) -> NifResult<Term<'a>> {
    parse_with(env, packet, keys, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn parse_dirty<'a>(env: Env<'a>, packet: Term<'a>, keys: Term<'a>) -> NifResult<Term<'a>> {
    parse_with(env, packet, keys, Scheduler::Dirty)
}

fn parse_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    keys: Term<'a>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, scheduler).with_keys(keys);
    terms.finish(hep_term::parse(&terms, packet.as_slice(), &Options::default(), now, scheduler))
}

#[rustler::nif]
fn encode<'a>(env: Env<'a>, record: Term<'a>) -> NifResult<Term<'a>> {
    encode_with(env, record, None, Scheduler::Normal)
}

#[rustler::nif(name = "encode")]
fn encode_options<'a>(env: Env<'a>, record: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    encode_with(env, record, Some(options), Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn encode_dirty<'a>(env: Env<'a>, record: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    encode_with(env, record, Some(options), Scheduler::Dirty)
}

fn encode_with<'a>(
    env: Env<'a>,
    record: Term<'a>,
    options: Option<Term<'a>>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, scheduler);
    let options = match options {
        Some(list) => hep_term::encode_options(&terms, list.into()).ok_or(Error::BadArg)?,
        None => EncodeOptions::default(),
    };
    terms.finish(hep_term::encode(&terms, record.into(), &options, now, scheduler))
}

#[rustler::nif]
fn packet_to_json<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    packet_to_json_with(env, packet, &options_of(env, options)?, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn packet_to_json_dirty<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    packet_to_json_with(env, packet, &options_of(env, options)?, Scheduler::Dirty)
}

fn packet_to_json_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    options: &Options,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, scheduler);
    terms.finish(hep_term::packet_to_json(&terms, packet.as_slice(), options, now, scheduler))
}

#[rustler::nif]
fn record_to_json<'a>(env: Env<'a>, record: Term<'a>) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, Scheduler::Normal);
    terms.finish(hep_term::record_to_json(&terms, record.into(), Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn record_to_json_dirty<'a>(env: Env<'a>, record: Term<'a>) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, Scheduler::Dirty);
    terms.finish(hep_term::record_to_json(&terms, record.into(), Scheduler::Dirty))
}

#[rustler::nif]
fn chunks_to_json<'a>(env: Env<'a>, version: Term<'a>, chunks: Term<'a>) -> NifResult<Term<'a>> {
    chunks_to_json_with(env, version, chunks, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn chunks_to_json_dirty<'a>(env: Env<'a>, version: Term<'a>, chunks: Term<'a>) -> NifResult<Term<'a>> {
    chunks_to_json_with(env, version, chunks, Scheduler::Dirty)
}

fn chunks_to_json_with<'a>(
    env: Env<'a>,
    version: Term<'a>,
    chunks: Term<'a>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, scheduler);
    terms.finish_some(hep_term::chunks_to_json(&terms, version.into(), chunks.into(), scheduler))
}

#[rustler::nif]
fn from_json<'a>(env: Env<'a>, json: Binary<'a>) -> NifResult<Term<'a>> {
    let terms = NifTerms::of_json(env, json.as_slice(), Scheduler::Normal);
    terms.finish(hep_term::from_json(&terms, json.as_slice(), Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn from_json_dirty<'a>(env: Env<'a>, json: Binary<'a>) -> NifResult<Term<'a>> {
    let terms = NifTerms::of_json(env, json.as_slice(), Scheduler::Dirty);
    terms.finish(hep_term::from_json(&terms, json.as_slice(), Scheduler::Dirty))
}

#[rustler::nif]
fn transform<'a>(env: Env<'a>, chunks: Term<'a>, names: Term<'a>, keys: Term<'a>) -> NifResult<Term<'a>> {
    transform_with(env, chunks, names, keys, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn transform_dirty<'a>(
    env: Env<'a>,
    chunks: Term<'a>,
    names: Term<'a>,
    keys: Term<'a>,
) -> NifResult<Term<'a>> {
    transform_with(env, chunks, names, keys, Scheduler::Dirty)
}

fn transform_with<'a>(
    env: Env<'a>,
    chunks: Term<'a>,
    names: Term<'a>,
    keys: Term<'a>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, scheduler).with_names(names).with_keys(keys);
    terms.finish_some(hep_term::transform(&terms, chunks.into(), scheduler))
}

#[rustler::nif]
fn transform_packet<'a>(env: Env<'a>, packet: Term<'a>, names: Term<'a>) -> NifResult<Term<'a>> {
    transform_packet_with(env, packet, names, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn transform_packet_dirty<'a>(env: Env<'a>, packet: Term<'a>, names: Term<'a>) -> NifResult<Term<'a>> {
    transform_packet_with(env, packet, names, Scheduler::Dirty)
}

fn transform_packet_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    names: Term<'a>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, scheduler).with_names(names);
    let options = Options::default();
    terms.finish(hep_term::transform_packet(&terms, packet.as_slice(), &options, now, scheduler))
}

#[rustler::nif]
fn transform_record<'a>(env: Env<'a>, record: Term<'a>, names: Term<'a>) -> NifResult<Term<'a>> {
    transform_record_with(env, record, names, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn transform_record_dirty<'a>(env: Env<'a>, record: Term<'a>, names: Term<'a>) -> NifResult<Term<'a>> {
    transform_record_with(env, record, names, Scheduler::Dirty)
}

fn transform_record_with<'a>(
    env: Env<'a>,
    record: Term<'a>,
    names: Term<'a>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, scheduler).with_names(names);
    terms.finish_some(hep_term::transform_record(&terms, record.into(), scheduler))
}

#[rustler::nif]
fn transform_chunk<'a>(env: Env<'a>, id: Term<'a>, value: Term<'a>, names: Term<'a>) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, Scheduler::Normal).with_names(names);
    terms.finish(hep_term::transform_chunk(&terms, id.into(), value.into()))
}

fn options_of<'a>(env: Env<'a>, list: Term<'a>) -> NifResult<Options> {
    hep_term::options(&NifTerms::new(env, Scheduler::Normal), list.into()).ok_or(Error::BadArg)
}
