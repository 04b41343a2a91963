//! Requests and their answers.

use eetf::{Atom as EtfAtom, BigInteger, List, Term, Tuple};
use hep::Options;
use hep_term::{Scheduler, TermReader, now};

use crate::frames::LONGEST;
use crate::terms::{EtfTerms, without_strings, written};

/// Answers a request, which is one of
///
/// - `{decode, Packet, Options}`, `{parse, Packet}`, `{encode, Hep, Options}`
/// - `{transform, Chunks}`, `{transform_record, Hep}`
/// - `{packet_to_json, Packet, Options}`, `{record_to_json, Hep}`, `{chunks_to_json, Version, Chunks}`
/// - `{from_json, Json}`
/// - `{batch, [Request]}`, answered with a list
///
/// with what the function of that name in `hep_nif` answers, or with `badarg`.
pub(crate) fn serve(request: &[u8]) -> Vec<u8> {
    let answer = match Term::decode(request) {
        Ok(request) => answer(&without_strings(request)),
        Err(_) => badarg(),
    };
    let mut bytes = written(&answer);
    if bytes.len() > LONGEST as usize {
        bytes = written(&too_large(bytes.len()));
    }
    bytes
}

/// `{error, {too_large, Bytes}}`
fn too_large(bytes: usize) -> Term {
    let atom = |name| Term::from(EtfAtom::from(name));
    let reason = Tuple::from(vec![atom("too_large"), BigInteger::from(bytes).into()]);
    Tuple::from(vec![atom("error"), reason.into()]).into()
}

fn badarg() -> Term {
    EtfAtom::from("badarg").into()
}

fn answer(request: &Term) -> Term {
    let terms = EtfTerms { request };
    match batch(request) {
        Some(requests) => List::from(requests.iter().map(answer).collect::<Vec<_>>()).into(),
        None => call(&terms).unwrap_or_else(badarg),
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

fn call(terms: &EtfTerms<'_>) -> Option<Term> {
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
    use eetf::FixInteger;

    use super::*;

    fn ask(request: &Term) -> Term {
        let mut bytes = Vec::new();
        assert!(request.encode(&mut bytes).is_ok());
        Term::decode(&serve(&bytes)[..]).unwrap_or_else(|_| badarg())
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
        assert_eq!(answer.to_string(), "[{'ok',{'hep',3,[]}},{'error','not_hep'},'badarg']");
    }

    #[test]
    fn what_is_no_request_is_a_badarg() {
        assert_eq!(serve(b"\x83"), serve(b""));
        assert_eq!(ask(&EtfAtom::from("parse").into()), badarg());
        assert_eq!(ask(&request("parse", vec![])), badarg());
        assert_eq!(ask(&request("decode", vec![FixInteger::from(1).into(), List::nil().into()])), badarg());
        let nested =
            request("batch", vec![List::from(vec![request("batch", vec![List::nil().into()])]).into()]);
        assert_eq!(ask(&nested), badarg());
    }
}
