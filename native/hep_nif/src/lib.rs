//! The NIFs of the Erlang module `hep_nif`: glue, nothing else.
//!
//! A call on a normal scheduler takes well under a millisecond: what may take longer (inflating a payload,
//! thousands of chunks, long text) is answered with the atom `dirty`, upon which the caller takes the
//! function for a dirty scheduler; see [`Scheduler`]. Packets beyond 64 KiB are for that one at once.

mod terms;

use std::time::{SystemTime, UNIX_EPOCH};

use hep::{CaptureId, Compress, EncodeOptions, HeaderLength, Options, Timestamp, V2Order, V2Style};
use hep_term::Scheduler;
use rustler::{Binary, Decoder, Env, Error, NifResult, NifTaggedEnum, NifUnitEnum, Term};

use crate::terms::{NifTerm, NifTerms, load};

rustler::init!("hep_nif", load = load);

#[rustler::nif]
fn decode<'a>(env: Env<'a>, packet: Term<'a>) -> NifResult<Term<'a>> {
    decode_with(env, packet, &Options::default(), Scheduler::Normal)
}

#[rustler::nif(name = "decode")]
fn decode_options<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    decode_with(env, packet, &read_options(options)?, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn decode_dirty<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    decode_with(env, packet, &read_options(options)?, Scheduler::Dirty)
}

fn decode_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    options: &Options,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, None);
    Ok(terms.finish(hep_term::decode(&terms, packet.as_slice(), options, now, scheduler)))
}

#[rustler::nif]
fn parse<'a>(env: Env<'a>, packet: Term<'a>, literals: Term<'a>) -> NifResult<Term<'a>> {
    parse_with(env, packet, literals, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn parse_dirty<'a>(env: Env<'a>, packet: Term<'a>, literals: Term<'a>) -> NifResult<Term<'a>> {
    parse_with(env, packet, literals, Scheduler::Dirty)
}

fn parse_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    literals: Term<'a>,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, Some(literals));
    Ok(terms.finish(hep_term::parse(&terms, packet.as_slice(), &Options::default(), now, scheduler)))
}

#[rustler::nif]
fn encode<'a>(env: Env<'a>, record: Term<'a>) -> Term<'a> {
    encode_with(env, record, &EncodeOptions::default(), Scheduler::Normal)
}

#[rustler::nif(name = "encode")]
fn encode_options<'a>(env: Env<'a>, record: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    Ok(encode_with(env, record, &read_encode_options(options)?, Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn encode_dirty<'a>(env: Env<'a>, record: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    Ok(encode_with(env, record, &read_encode_options(options)?, Scheduler::Dirty))
}

fn encode_with<'a>(
    env: Env<'a>,
    record: Term<'a>,
    options: &EncodeOptions<'_>,
    scheduler: Scheduler,
) -> Term<'a> {
    let terms = NifTerms::new(env, None);
    terms.finish(hep_term::encode(&terms, record.into(), options, now, scheduler))
}

#[rustler::nif]
fn packet_to_json<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    packet_to_json_with(env, packet, &read_options(options)?, Scheduler::Normal)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn packet_to_json_dirty<'a>(env: Env<'a>, packet: Term<'a>, options: Term<'a>) -> NifResult<Term<'a>> {
    packet_to_json_with(env, packet, &read_options(options)?, Scheduler::Dirty)
}

fn packet_to_json_with<'a>(
    env: Env<'a>,
    packet: Term<'a>,
    options: &Options,
    scheduler: Scheduler,
) -> NifResult<Term<'a>> {
    let packet = Binary::from_term(packet)?;
    let terms = NifTerms::of_packet(env, &packet, None);
    Ok(terms.finish(hep_term::packet_to_json(&terms, packet.as_slice(), options, now, scheduler)))
}

#[rustler::nif]
fn record_to_json<'a>(env: Env<'a>, record: Term<'a>) -> Term<'a> {
    let terms = NifTerms::new(env, None);
    terms.finish(hep_term::record_to_json(&terms, record.into(), Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn record_to_json_dirty<'a>(env: Env<'a>, record: Term<'a>) -> Term<'a> {
    let terms = NifTerms::new(env, None);
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
    let terms = NifTerms::new(env, None);
    hep_term::chunks_to_json(&terms, version.into(), chunks.into(), scheduler)
        .map(|answer| terms.finish(answer))
        .ok_or(Error::BadArg)
}

#[rustler::nif]
fn from_json<'a>(env: Env<'a>, json: Binary<'a>) -> Term<'a> {
    let terms = NifTerms::new(env, None);
    terms.finish(hep_term::from_json(&terms, json.as_slice(), Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn from_json_dirty<'a>(env: Env<'a>, json: Binary<'a>) -> Term<'a> {
    let terms = NifTerms::new(env, None);
    terms.finish(hep_term::from_json(&terms, json.as_slice(), Scheduler::Dirty))
}

#[rustler::nif]
fn transform<'a>(env: Env<'a>, chunks: Term<'a>, literals: Term<'a>) -> NifResult<Term<'a>> {
    transform_with(env, literals, |terms| hep_term::transform(terms, chunks.into(), Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn transform_dirty<'a>(env: Env<'a>, chunks: Term<'a>, literals: Term<'a>) -> NifResult<Term<'a>> {
    transform_with(env, literals, |terms| hep_term::transform(terms, chunks.into(), Scheduler::Dirty))
}

#[rustler::nif]
fn transform_record<'a>(env: Env<'a>, record: Term<'a>, literals: Term<'a>) -> NifResult<Term<'a>> {
    transform_with(env, literals, |terms| hep_term::transform_record(terms, record.into(), Scheduler::Normal))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn transform_record_dirty<'a>(env: Env<'a>, record: Term<'a>, literals: Term<'a>) -> NifResult<Term<'a>> {
    transform_with(env, literals, |terms| hep_term::transform_record(terms, record.into(), Scheduler::Dirty))
}

fn transform_with<'a>(
    env: Env<'a>,
    literals: Term<'a>,
    view: impl FnOnce(&NifTerms<'a>) -> Option<NifTerm>,
) -> NifResult<Term<'a>> {
    let terms = NifTerms::new(env, Some(literals));
    view(&terms).map(|properties| terms.finish(properties)).ok_or(Error::BadArg)
}

#[rustler::nif]
fn transform_chunk<'a>(env: Env<'a>, id: Term<'a>, value: Term<'a>, literals: Term<'a>) -> Term<'a> {
    let terms = NifTerms::new(env, Some(literals));
    terms.finish(hep_term::transform_chunk(&terms, id.into(), value.into()))
}

/// The time of decoding for version 1, and of encoding for a packet without one.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX),
        microseconds: since_epoch.subsec_micros(),
    }
}

/// An entry of `hep:options()`.
#[derive(NifTaggedEnum)]
enum NifOption {
    HeaderLength(NifHeaderLength),
    V2Order(NifV2Order),
    CaptureId(NifCaptureId),
    MaxInflated(usize),
}

#[derive(NifUnitEnum)]
enum NifHeaderLength {
    Strict,
    Ignore,
}

#[derive(NifUnitEnum)]
enum NifV2Order {
    Auto,
    Big,
    Little,
}

#[derive(NifUnitEnum)]
enum NifCaptureId {
    Keep,
    Repair,
}

/// A proper list; rustler's own reading panics on an improper one.
fn list_of<'a, T: Decoder<'a>>(list: Term<'a>) -> NifResult<Vec<T>> {
    list.list_length()?;
    list.decode().map_err(|_| Error::BadArg)
}

/// Reads `maps:to_list(Options)`.
fn read_options(list: Term<'_>) -> NifResult<Options> {
    let mut options = Options::default();
    for option in list_of::<NifOption>(list)? {
        match option {
            NifOption::HeaderLength(NifHeaderLength::Strict) => options.header_length = HeaderLength::Strict,
            NifOption::HeaderLength(NifHeaderLength::Ignore) => options.header_length = HeaderLength::Ignore,
            NifOption::V2Order(NifV2Order::Auto) => options.v2_order = V2Order::Auto,
            NifOption::V2Order(NifV2Order::Big) => options.v2_order = V2Order::Big,
            NifOption::V2Order(NifV2Order::Little) => options.v2_order = V2Order::Little,
            NifOption::CaptureId(NifCaptureId::Keep) => options.capture_id = CaptureId::Keep,
            NifOption::CaptureId(NifCaptureId::Repair) => options.capture_id = CaptureId::Repair,
            NifOption::MaxInflated(bytes) => options.max_inflated = bytes,
        }
    }
    Ok(options)
}

/// An entry of `hep:encode_options()`.
#[derive(NifTaggedEnum)]
enum NifEncodeOption<'a> {
    V2Style(NifV2Style),
    Compress(NifCompress),
    AuthKey(Binary<'a>),
}

#[derive(NifUnitEnum)]
enum NifV2Style {
    Documented,
    C,
}

#[derive(NifUnitEnum)]
enum NifCompress {
    None,
    Zlib,
    Gzip,
}

/// Reads `maps:to_list(Options)`.
fn read_encode_options(list: Term<'_>) -> NifResult<EncodeOptions<'_>> {
    let mut options = EncodeOptions::default();
    for option in list_of::<NifEncodeOption<'_>>(list)? {
        match option {
            NifEncodeOption::V2Style(NifV2Style::Documented) => options.v2_style = V2Style::Documented,
            NifEncodeOption::V2Style(NifV2Style::C) => options.v2_style = V2Style::C,
            NifEncodeOption::Compress(NifCompress::None) => options.compress = Compress::None,
            NifEncodeOption::Compress(NifCompress::Zlib) => options.compress = Compress::Zlib,
            NifEncodeOption::Compress(NifCompress::Gzip) => options.compress = Compress::Gzip,
            NifEncodeOption::AuthKey(key) => options.auth_key = Some(key.as_slice()),
        }
    }
    Ok(options)
}
