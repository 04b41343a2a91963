//! Requests and their answers.

use std::cell::Cell;

use hep::Options;
use hep_term::{Answer, Stop, TermReader};
use smallvec::SmallVec;

use crate::frames::{LENGTH, items};
use crate::input::{BadTerm, Input};
use crate::limit::Limit;
use crate::terms::{EtfTerms, Made, put_atom, put_integer, put_tuple, put_version};

/// Answers the requests of a frame. Each request is a term in the external term format, one of
///
/// - `{decode, Packet, Options}`, `{parse, Packet}`, `{encode, Hep, Options}`
/// - `{transform, Chunks}`, `{transform_record, Hep}`
/// - `{packet_to_json, Packet, Options}`, `{record_to_json, Hep}`, `{chunks_to_json, Version, Chunks}`
/// - `{from_json, Json}`
///
/// The answer is the term that the function of that name in `hep_nif` returns, or `badarg`. An answer
/// that does not fit into the frame (see [`Limit`]) is replaced by `{error, {too_large, Bytes}}`; `Bytes` is the
/// size at which building it stopped. The answer to bytes that are not a term is `{error, {bad_term, Offset}}`;
/// `Offset` is the position of the wrong part in the request. Compressed terms, and terms with references to
/// the atom cache of a distribution connection, are not accepted.
///
/// `None` if the items do not fill the frame exactly, or are too many to answer each with an error.
pub(crate) fn serve(requests: &[u8], longest: u32) -> Option<Vec<u8>> {
    let items = items(requests)?;
    let mut limit = Limit::new(&items, longest)?;
    let mut answers = Vec::new();
    let room = Cell::default();
    for request in items {
        limit.next(request);
        let start = answers.len();
        answers.extend_from_slice(&[0; LENGTH]);
        put_answer(&mut answers, request, limit.left(start), &room);
        let length = answers.len().saturating_sub(start).saturating_sub(LENGTH);
        if let Some(place) = answers.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *place = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        }
    }
    Some(answers)
}

const BADARG: &str = "badarg";

/// Adds the answer to a request: at most `most` bytes, otherwise an error. Terms are built in `room`.
fn put_answer(answers: &mut Vec<u8>, request: &[u8], most: usize, room: &Cell<Vec<u8>>) {
    put_version(answers);
    let request = match Input::of_request(request) {
        Ok(request) => request,
        Err(BadTerm(offset)) => return put_error(answers, "bad_term", offset),
    };
    // The version number takes a byte, too.
    let terms = EtfTerms::new(room, most.saturating_sub(1));
    match call(&terms, request) {
        Ok(answer) | Err(Stop::Error(answer)) => match terms.too_large(&answer) {
            None => terms.put(&answer, answers),
            Some(size) => put_error(answers, "too_large", size.saturating_add(1)),
        },
        Err(Stop::BadArgument | Stop::TakesLong) => put_atom(answers, BADARG),
    }
}

/// `{error, {Reason, Number}}`
fn put_error(bytes: &mut Vec<u8>, reason: &str, number: usize) {
    put_tuple(bytes, 2);
    put_atom(bytes, "error");
    put_tuple(bytes, 2);
    put_atom(bytes, reason);
    put_integer(bytes, u64::try_from(number).unwrap_or(u64::MAX));
}

fn call<'a>(terms: &EtfTerms<'a>, request: Input<'a>) -> Answer<Made> {
    let bytes = |term| terms.bytes(term).ok_or(Stop::BadArgument);
    let mut elements = request.tuple().ok_or(Stop::BadArgument)?;
    let name = elements.next().and_then(Input::atom).ok_or(Stop::BadArgument)?;
    // One more than any request has.
    let arguments: SmallVec<[_; 4]> = elements.take(4).collect();
    match (name, &arguments[..]) {
        (b"decode", &[packet, options]) => {
            hep_term::decode(terms, bytes(packet)?, &hep_term::options(terms, options)?)
        }
        (b"parse", &[packet]) => hep_term::parse(terms, bytes(packet)?, &Options::default()),
        (b"encode", &[hep, options]) => {
            hep_term::encode(terms, hep, &hep_term::encode_options(terms, options)?)
        }
        (b"transform", &[chunks]) => hep_term::transform(terms, chunks),
        (b"transform_record", &[hep]) => hep_term::transform_record(terms, hep),
        (b"packet_to_json", &[packet, options]) => {
            hep_term::packet_to_json(terms, bytes(packet)?, &hep_term::options(terms, options)?)
        }
        (b"record_to_json", &[hep]) => hep_term::record_to_json(terms, hep),
        (b"chunks_to_json", &[version, chunks]) => hep_term::chunks_to_json(terms, version, chunks),
        (b"from_json", &[json]) => hep_term::from_json(terms, bytes(json)?),
        _ => Err(Stop::BadArgument),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use eetf::{Atom as EtfAtom, FixInteger, List, Term, Tuple};

    use super::*;
    use crate::frames::NUMBER;

    const LONGEST: u32 = 1000;

    /// The requests of a frame, encoded.
    fn framed(requests: &[Vec<u8>]) -> Vec<u8> {
        let item = |bytes: &Vec<u8>| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        requests.iter().flat_map(item).collect()
    }

    fn encoded(request: &Term) -> Vec<u8> {
        let mut bytes = Vec::new();
        request.encode(&mut bytes).unwrap();
        bytes
    }

    /// The answers as text; they fit into the frame.
    fn ask(requests: &[Vec<u8>], longest: u32) -> Vec<String> {
        let answers = serve(&framed(requests), longest).unwrap();
        assert!(answers.len() + NUMBER <= usize::try_from(longest).unwrap(), "{}", answers.len());
        let answers = items(&answers).unwrap();
        answers.iter().map(|answer| Term::decode(*answer).unwrap().to_string()).collect()
    }

    fn request(name: &str, arguments: Vec<Term>) -> Vec<u8> {
        let mut elements = vec![Term::from(EtfAtom::from(name))];
        elements.extend(arguments);
        encoded(&Tuple::from(elements).into())
    }

    fn parse(bytes: &[u8]) -> Vec<u8> {
        request("parse", vec![eetf::Binary::from(bytes.to_vec()).into()])
    }

    #[test]
    fn requests_are_answered_in_order() {
        assert_eq!(
            ask(
                &[parse(b"HEP3\0\x06"), parse(b"x"), request("foo", vec![]), b"\x83".to_vec(), vec![]],
                LONGEST
            ),
            [
                "{'ok',{'hep',3,[]}}",
                "{'error','not_hep'}",
                "'badarg'",
                "{'error',{'bad_term',1}}",
                "{'error',{'bad_term',0}}"
            ]
        );
        assert_eq!(ask(&[], LONGEST), [""; 0]);
    }

    #[test]
    fn unknown_requests_are_a_badarg() {
        let wrong = [
            encoded(&EtfAtom::from("parse").into()),
            request("parse", vec![]),
            request("decode", vec![FixInteger::from(1).into(), List::nil().into()]),
        ];
        assert_eq!(ask(&wrong, LONGEST), ["'badarg'"; 3]);
    }

    #[test]
    fn items_that_do_not_fill_the_frame_are_rejected() {
        let bytes = framed(&[parse(b"x")]);
        for end in 1..bytes.len() {
            assert_eq!(serve(bytes.get(..end).unwrap(), LONGEST), None, "{end}");
        }
        assert_eq!(serve(&[&bytes[..], b"x"].concat(), LONGEST), None);
        assert!(serve(&bytes, LONGEST).is_some());
    }

    /// An answer of exactly the longest frame's size fits, one of a byte more does not.
    #[test]
    fn an_answer_is_at_most_as_long_as_the_frame() {
        let packet = [b"HEP3\0\x70\0\0\0\x0f\0\x6a".to_vec(), vec![b'x'; 100]].concat();
        let whole = ask(&[parse(&packet)], LONGEST);
        let size = serve(&framed(&[parse(&packet)]), LONGEST).unwrap().len() + NUMBER;
        let longest = u32::try_from(size).unwrap();
        assert_eq!(ask(&[parse(&packet)], longest), whole);
        assert_eq!(
            ask(&[parse(&packet)], longest - 1),
            [format!("{{'error',{{'too_large',{}}}}}", size - NUMBER - LENGTH)]
        );
    }

    /// Large answers do not take the space of small ones.
    #[test]
    fn only_large_answers_are_lost() {
        let large = parse(&[b"HEP3\x02\x58".to_vec(), [0, 0, 0, 15, 0, 6].repeat(99)].concat());
        let mut requests = vec![large; 20];
        requests.extend(vec![parse(b"x"); 100]);
        let answers = ask(&requests, 40_000);
        let lost = |answer: &&String| answer.contains("too_large");
        assert_eq!(answers.iter().skip(20).filter(lost).count(), 0);
        let large_lost = answers.iter().take(20).filter(lost).count();
        assert!(large_lost > 0 && large_lost < 20, "{large_lost}");
    }

    #[test]
    fn more_requests_than_errors_fit_are_rejected() {
        let requests = vec![parse(b"x"); 25];
        assert_eq!(serve(&framed(&requests), LONGEST), None);
        assert_eq!(ask(requests.get(1..).unwrap(), LONGEST).len(), 24);
    }
}
