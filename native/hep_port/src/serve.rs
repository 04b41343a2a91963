//! Requests and their answers.

use std::cell::Cell;

use eetf::Term;
use hep::Options;
use hep_term::{Scheduler, TermReader, now};

use crate::frames::NUMBER;
use crate::terms::{
    EtfTerms, Made, put_atom, put_integer, put_list, put_tuple, put_version, without_strings,
};

/// Answers a request, which is one of
///
/// - `{decode, Packet, Options}`, `{parse, Packet}`, `{encode, Hep, Options}`
/// - `{transform, Chunks}`, `{transform_record, Hep}`
/// - `{packet_to_json, Packet, Options}`, `{record_to_json, Hep}`, `{chunks_to_json, Version, Chunks}`
/// - `{from_json, Json}`
/// - `{batch, [Request]}`, answered with a list
///
/// with what the function of that name in `hep_nif` answers, or with `badarg`; with `{error, {too_large, Bytes}}`
/// where the frame would be longer than `longest`.
pub(crate) fn serve(request: &[u8], longest: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_version(&mut bytes);
    match Term::decode(request) {
        Ok(request) => put_answer(&mut bytes, &without_strings(request), &Cell::default()),
        Err(_) => put_atom(&mut bytes, BADARG),
    }
    let length = bytes.len().saturating_add(NUMBER);
    if u32::try_from(length).is_ok_and(|length| length <= longest) { bytes } else { too_large(length) }
}

const BADARG: &str = "badarg";

/// `{error, {too_large, Bytes}}`
fn too_large(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_version(&mut bytes);
    put_tuple(&mut bytes, 2);
    put_atom(&mut bytes, "error");
    put_tuple(&mut bytes, 2);
    put_atom(&mut bytes, "too_large");
    put_integer(&mut bytes, u64::try_from(size).unwrap_or(u64::MAX));
    bytes
}

/// Answers are made in `room`.
fn put_answer(bytes: &mut Vec<u8>, request: &Term, room: &Cell<Vec<u8>>) {
    if let Some(requests) = batch(request) {
        return put_list(bytes, requests.len(), |bytes| {
            for request in requests {
                put_answer(bytes, request, room);
            }
        });
    }
    let terms = EtfTerms::new(request, room);
    match call(&terms) {
        Some(answer) => terms.put(&answer, bytes),
        None => put_atom(bytes, BADARG),
    }
}

/// The requests of a batch, which are no batches themselves.
fn batch(request: &Term) -> Option<&[Term]> {
    let Term::Tuple(tuple) = request else { return None };
    match &tuple.elements[..] {
        [Term::Atom(name), Term::List(list)] if name.name == "batch" => {
            list.elements.iter().all(|request| batch(request).is_none()).then_some(&list.elements)
        }
        _ => None,
    }
}

fn call(terms: &EtfTerms<'_>) -> Option<Made> {
    let Term::Tuple(request) = terms.request else { return None };
    let (Term::Atom(name), arguments) = request.elements.split_first()? else { return None };
    let scheduler = Scheduler::Dirty;
    match (name.name.as_str(), arguments) {
        ("decode", [packet, options]) => {
            let options = hep_term::options(terms, options)?;
            Some(hep_term::decode(terms, terms.bytes(packet)?, &options, now, scheduler))
        }
        ("parse", [packet]) => {
            Some(hep_term::parse(terms, terms.bytes(packet)?, &Options::default(), now, scheduler))
        }
        ("encode", [hep, options]) => {
            let options = hep_term::encode_options(terms, options)?;
            Some(hep_term::encode(terms, hep, &options, now, scheduler))
        }
        ("transform", [chunks]) => hep_term::transform(terms, chunks, scheduler),
        ("transform_record", [hep]) => hep_term::transform_record(terms, hep, scheduler),
        ("packet_to_json", [packet, options]) => {
            let options = hep_term::options(terms, options)?;
            Some(hep_term::packet_to_json(terms, terms.bytes(packet)?, &options, now, scheduler))
        }
        ("record_to_json", [hep]) => Some(hep_term::record_to_json(terms, hep, scheduler)),
        ("chunks_to_json", [version, chunks]) => hep_term::chunks_to_json(terms, version, chunks, scheduler),
        ("from_json", [json]) => Some(hep_term::from_json(terms, terms.bytes(json)?, scheduler)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use eetf::{Atom as EtfAtom, FixInteger, List, Tuple};

    use super::*;

    fn ask(request: &Term) -> String {
        let mut bytes = Vec::new();
        assert!(request.encode(&mut bytes).is_ok());
        Term::decode(&serve(&bytes, 1000)[..]).map(|term| term.to_string()).unwrap_or_default()
    }

    fn request(name: &str, arguments: Vec<Term>) -> Term {
        let mut elements = vec![Term::from(EtfAtom::from(name))];
        elements.extend(arguments);
        Tuple::from(elements).into()
    }

    #[test]
    fn a_batch_is_answered_in_order() {
        let parse = |bytes: &[u8]| request("parse", vec![eetf::Binary::from(bytes.to_vec()).into()]);
        let requests = vec![parse(b"HEP3\0\x06"), parse(b"x"), request("foo", vec![])];
        let answer = ask(&request("batch", vec![List::from(requests).into()]));
        assert_eq!(answer, "[{'ok',{'hep',3,[]}},{'error','not_hep'},'badarg']");
    }

    #[test]
    fn what_is_no_request_is_a_badarg() {
        assert_eq!(serve(b"\x83", 1000), b"\x83w\x06badarg");
        assert_eq!(serve(b"", 1000), serve(b"\x83", 1000));
        assert_eq!(ask(&EtfAtom::from("parse").into()), "'badarg'");
        assert_eq!(ask(&request("parse", vec![])), "'badarg'");
        assert_eq!(ask(&request("decode", vec![FixInteger::from(1).into(), List::nil().into()])), "'badarg'");
        let nested =
            request("batch", vec![List::from(vec![request("batch", vec![List::nil().into()])]).into()]);
        assert_eq!(ask(&nested), "'badarg'");
    }

    #[test]
    fn an_answer_beyond_the_longest_frame_is_told() {
        let mut bytes = Vec::new();
        assert!(request("parse", vec![]).encode(&mut bytes).is_ok());
        let answer = serve(&bytes, 1000);
        let length = u32::try_from(answer.len().saturating_add(NUMBER)).unwrap_or_default();
        assert_eq!(serve(&bytes, length), answer);
        let told = Term::decode(&serve(&bytes, length.saturating_sub(1))[..]).map(|term| term.to_string());
        assert_eq!(told.unwrap_or_default(), format!("{{'error',{{'too_large',{length}}}}}"));
    }
}
