//! Terms of the external term format.

use std::cell::Cell;
use std::ops::Range;

use eetf::{Atom as EtfAtom, BigInteger, Binary, FixInteger, ImproperList, List, Map, Term, Tuple};
use hep_term::{Atom, TermBuilder, TermReader, Terms};

use crate::frames::KEPT;

/// The tags of the format. See "External Term Format" in the user's guide of ERTS.
mod tag {
    pub(super) const VERSION: u8 = 131;
    pub(super) const SMALL_INTEGER: u8 = 97;
    pub(super) const INTEGER: u8 = 98;
    pub(super) const SMALL_TUPLE: u8 = 104;
    pub(super) const LARGE_TUPLE: u8 = 105;
    pub(super) const NIL: u8 = 106;
    pub(super) const LIST: u8 = 108;
    pub(super) const BINARY: u8 = 109;
    pub(super) const SMALL_BIG: u8 = 110;
    pub(super) const MAP: u8 = 116;
    pub(super) const SMALL_ATOM_UTF8: u8 = 119;
}

pub(crate) fn put_version(bytes: &mut Vec<u8>) {
    bytes.push(tag::VERSION);
}

/// All names are short.
pub(crate) fn put_atom(bytes: &mut Vec<u8>, name: &str) {
    bytes.extend_from_slice(&[tag::SMALL_ATOM_UTF8, u8::try_from(name.len()).unwrap_or(0)]);
    bytes.extend_from_slice(name.as_bytes());
}

pub(crate) fn put_integer(bytes: &mut Vec<u8>, value: u64) {
    if let Ok(octet) = u8::try_from(value) {
        bytes.extend_from_slice(&[tag::SMALL_INTEGER, octet]);
    } else if let Ok(number) = i32::try_from(value) {
        bytes.push(tag::INTEGER);
        bytes.extend_from_slice(&number.to_be_bytes());
    } else {
        const WIDTH: u8 = 8;
        const POSITIVE: u8 = 0;
        bytes.extend_from_slice(&[tag::SMALL_BIG, WIDTH, POSITIVE]);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

fn put_binary(bytes: &mut Vec<u8>, value: &[u8]) {
    put_sized(bytes, tag::BINARY, value.len());
    bytes.extend_from_slice(value);
}

/// Its elements follow.
pub(crate) fn put_tuple(bytes: &mut Vec<u8>, arity: usize) {
    match u8::try_from(arity) {
        Ok(arity) => bytes.extend_from_slice(&[tag::SMALL_TUPLE, arity]),
        Err(_) => put_sized(bytes, tag::LARGE_TUPLE, arity),
    }
}

/// Adds a list, whose elements are added by `put`.
pub(crate) fn put_list(bytes: &mut Vec<u8>, length: usize, put: impl FnOnce(&mut Vec<u8>)) {
    if length > 0 {
        put_sized(bytes, tag::LIST, length);
        put(bytes);
    }
    bytes.push(tag::NIL);
}

/// Sizes above that of a frame do not occur.
fn put_sized(bytes: &mut Vec<u8>, tag: u8, size: usize) {
    bytes.push(tag);
    bytes.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
}

/// A term that was read. eetf writes a list of small numbers as a string even if some are negative, which
/// corrupts them, so it is only used for terms without elements.
fn put_term(bytes: &mut Vec<u8>, term: &Term) {
    let put_all = |bytes: &mut Vec<u8>, elements: &[Term]| {
        for element in elements {
            put_term(bytes, element);
        }
    };
    match term {
        Term::Tuple(Tuple { elements }) => {
            put_tuple(bytes, elements.len());
            put_all(bytes, elements);
        }
        Term::List(List { elements }) => put_list(bytes, elements.len(), |bytes| put_all(bytes, elements)),
        Term::ImproperList(ImproperList { elements, last }) => {
            put_sized(bytes, tag::LIST, elements.len());
            put_all(bytes, elements);
            put_term(bytes, last);
        }
        Term::Map(Map { map }) => {
            put_sized(bytes, tag::MAP, map.len());
            for (key, value) in map {
                put_term(bytes, key);
                put_term(bytes, value);
            }
        }
        Term::Binary(Binary { bytes: value }) => put_binary(bytes, value),
        other => {
            let start = bytes.len();
            // Writing to memory does not fail, and a term that was read can always be written.
            if other.encode(&mut *bytes).is_ok() {
                // eetf writes the version before each term.
                bytes.remove(start);
            } else {
                bytes.truncate(start);
                bytes.push(tag::NIL);
            }
        }
    }
}

/// Makes and reads terms of the external term format.
pub(crate) struct EtfTerms<'a> {
    /// Lives as long as the request's terms.
    pub(crate) request: &'a Term,
    /// The terms made so far, encoded, one after the other.
    made: &'a Cell<Vec<u8>>,
    /// The maximum size of the answer.
    most: usize,
    /// The size of the term that was too large.
    beyond: Cell<Option<usize>>,
}

/// How often a byte of an answer is written at most, since tuples and lists repeat their elements:
/// the value of a chunk, `{Length, Value}`, `{Key, _}`, the list of chunks, the record, the list of records, `{ok, _}`.
const LAYERS: usize = 8;

/// The position of a term.
#[derive(Clone)]
pub(crate) struct Made(Range<usize>);

impl Made {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> EtfTerms<'a> {
    /// Makes terms in `room`, and discards those of an earlier request.
    /// Makes no term of more than `most` bytes, and none after it.
    pub(crate) fn new(request: &'a Term, room: &'a Cell<Vec<u8>>, most: usize) -> Self {
        let mut bytes = room.take();
        bytes.clear();
        bytes.shrink_to(KEPT);
        room.set(bytes);
        Self { request, made: room, most, beyond: Cell::new(None) }
    }

    /// Makes a term of about `size` bytes.
    fn make(&self, size: usize, put: impl FnOnce(&mut Vec<u8>)) -> Made {
        let mut bytes = self.made.take();
        let start = bytes.len();
        let has_room = size <= self.most && start <= self.most.saturating_mul(LAYERS);
        if has_room && self.beyond.get().is_none() {
            put(&mut bytes);
        } else if self.beyond.get().is_none() {
            self.beyond.set(Some(size.max(self.most)));
        }
        let end = bytes.len();
        self.made.set(bytes);
        Made(start..end)
    }

    /// The size of an answer that exceeded `most` bytes, possibly before it was complete.
    pub(crate) fn too_large(&self, answer: &Made) -> Option<usize> {
        self.beyond.get().or_else(|| (answer.len() > self.most).then_some(answer.len()))
    }

    /// Adds a term to an answer.
    pub(crate) fn put(&self, term: &Made, answer: &mut Vec<u8>) {
        let bytes = self.made.take();
        answer.extend_from_slice(bytes.get(term.0.clone()).unwrap_or_default());
        self.made.set(bytes);
    }
}

fn size(elements: &[Made]) -> usize {
    elements.iter().fold(0, |sum, element| sum.saturating_add(element.len()))
}

fn put_made(bytes: &mut Vec<u8>, elements: &[Made]) {
    for Made(place) in elements {
        bytes.extend_from_within(place.clone());
    }
}

impl TermBuilder for EtfTerms<'_> {
    type Term = Made;

    fn atom(&self, atom: Atom) -> Made {
        self.make(0, |bytes| put_atom(bytes, atom.name()))
    }

    fn integer(&self, value: u64) -> Made {
        self.make(0, |bytes| put_integer(bytes, value))
    }

    fn binary(&self, value: &[u8]) -> Made {
        self.make(value.len(), |bytes| put_binary(bytes, value))
    }

    fn joined(&self, parts: [&[u8]; 3]) -> Made {
        let size = parts.iter().fold(0, |size: usize, part| size.saturating_add(part.len()));
        self.make(size, |bytes| {
            put_sized(bytes, tag::BINARY, size);
            for part in parts {
                bytes.extend_from_slice(part);
            }
        })
    }

    fn unpacked<'s>(&'s self, packet: &'s [u8]) -> &'s [u8] {
        packet
    }

    fn tuple<const N: usize>(&self, elements: [Made; N]) -> Made {
        self.make(size(&elements), |bytes| {
            put_tuple(bytes, N);
            put_made(bytes, &elements);
        })
    }

    fn list(&self, elements: &mut Terms<Made>) -> Made {
        self.make(size(elements), |bytes| put_list(bytes, elements.len(), |bytes| put_made(bytes, elements)))
    }

    fn key(&self, vendor: u16, id: u16) -> Made {
        let ([v0, v1], [i0, i1]) = (vendor.to_be_bytes(), id.to_be_bytes());
        self.binary(&[v0, v1, i0, i1])
    }

    fn name(&self, _id: u16, name: &str) -> Made {
        self.binary(name.as_bytes())
    }
}

impl<'a> TermReader for EtfTerms<'a> {
    type Input = &'a Term;

    fn keep(&self, term: &'a Term) -> Made {
        self.make(0, |bytes| put_term(bytes, term))
    }

    #[inline]
    fn is_atom(&self, term: &'a Term, atom: Atom) -> bool {
        matches!(term, Term::Atom(EtfAtom { name }) if name == atom.name())
    }

    fn is_binary(&self, term: &'a Term) -> bool {
        matches!(term, Term::Binary(_))
    }

    fn bytes(&self, term: &'a Term) -> Option<&[u8]> {
        match term {
            Term::Binary(Binary { bytes }) => Some(bytes),
            _ => None,
        }
    }

    fn unsigned(&self, term: &'a Term) -> Option<u64> {
        match term {
            Term::FixInteger(FixInteger { value }) => u64::try_from(*value).ok(),
            Term::BigInteger(BigInteger { value }) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    fn elements<const N: usize>(&self, term: &'a Term) -> Option<[&'a Term; N]> {
        match term {
            Term::Tuple(Tuple { elements }) if elements.len() == N => {
                let mut elements = elements.iter();
                let array = std::array::from_fn(|_| elements.next().unwrap_or(self.request));
                Some(array)
            }
            _ => None,
        }
    }

    fn each<E>(&self, list: &'a Term, visit: impl FnMut(&'a Term) -> Result<(), E>) -> Result<bool, E> {
        match list {
            Term::List(List { elements }) => elements.iter().try_for_each(visit).map(|()| true),
            Term::ImproperList(improper) => improper.elements.iter().try_for_each(visit).map(|()| false),
            _ => Ok(false),
        }
    }
}

/// A list of small integers may be encoded as a string; it is read as a list.
pub(crate) fn without_strings(term: Term) -> Term {
    match term {
        Term::ByteList(bytes) => List::from(bytes).into(),
        Term::List(List { elements }) => List::from(all_without_strings(elements)).into(),
        Term::ImproperList(ImproperList { elements, last }) => {
            let last = Box::new(without_strings(*last));
            ImproperList { elements: all_without_strings(elements), last }.into()
        }
        Term::Tuple(Tuple { elements }) => Tuple::from(all_without_strings(elements)).into(),
        Term::Map(Map { map }) => {
            let pairs = map.into_iter().map(|(key, value)| (without_strings(key), without_strings(value)));
            Map { map: pairs.collect() }.into()
        }
        other => other,
    }
}

fn all_without_strings(terms: Vec<Term>) -> Vec<Term> {
    terms.into_iter().map(without_strings).collect()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use super::*;

    /// What is read of a term that was made.
    fn read(make: impl FnOnce(&EtfTerms<'_>) -> Made) -> Option<Term> {
        let (request, room) = (List::nil().into(), Cell::new(b"what was made before".to_vec()));
        let terms = EtfTerms::new(&request, &room, usize::MAX);
        let term = make(&terms);
        let mut bytes = Vec::new();
        put_version(&mut bytes);
        terms.put(&term, &mut bytes);
        Term::decode(&bytes[..]).ok()
    }

    #[test]
    fn what_is_kept_stays_what_it_is() {
        // Negative numbers, too.
        let numbers = [-1, 0, 255, -9, 70000].map(|number| Term::from(FixInteger::from(number)));
        let list = Term::from(List::from(numbers.to_vec()));
        let elements = vec![list.clone(), List::nil().into(), EtfAtom::from("a").into()];
        let tuple = Term::from(Tuple::from(elements));
        let binary = Term::from(Binary::from(vec![1, 2, 3]));
        let float = Term::from(eetf::Float { value: 1.5 });
        let map = Term::from(Map::from([(list.clone(), tuple.clone()), (tuple.clone(), list.clone())]));
        let elements = vec![list.clone(), map.clone()];
        let improper = Term::from(ImproperList { elements, last: Box::new(tuple.clone()) });
        for term in [list, tuple, binary, float, map, improper] {
            let (request, room) = (term.clone(), Cell::default());
            let terms = EtfTerms::new(&request, &room, usize::MAX);
            let mut bytes = Vec::new();
            put_version(&mut bytes);
            terms.put(&terms.keep(&request), &mut bytes);
            assert_eq!(Term::decode(&bytes[..]).ok(), Some(term));
        }
    }

    #[test]
    fn building_stops_at_the_limit() {
        let (request, room) = (List::nil().into(), Cell::default());
        let most = 1000;
        let terms = EtfTerms::new(&request, &room, most);
        let made = terms.binary(&[0; 900]);
        assert_eq!(terms.too_large(&made), None);
        // Of one term, and of many.
        let tuple = terms.tuple([made.clone(), made.clone()]);
        assert_eq!((terms.too_large(&tuple), tuple.len()), (Some(1810), 0));
        let terms = EtfTerms::new(&request, &room, most);
        for _ in 0..100 {
            terms.binary(&[0; 900]);
        }
        assert_eq!(terms.too_large(&made), Some(most));
        let bytes = room.take().len();
        assert!(bytes <= (LAYERS + 1) * 905, "{bytes}");
    }

    #[test]
    fn what_is_made_is_read() {
        for number in [0, 255, 256, 0x7fff_ffff, 0x8000_0000, u64::from(u32::MAX), u64::MAX] {
            let expected = match i32::try_from(number) {
                Ok(number) => Term::from(FixInteger::from(number)),
                Err(_) => Term::from(BigInteger::from(number)),
            };
            assert_eq!(read(|terms| terms.integer(number)), Some(expected));
        }
        for size in [0, 1, 255, 256, 70000] {
            let numbers = List::from(vec![Term::from(FixInteger::from(7)); size]);
            let made = |terms: &EtfTerms<'_>| terms.list(&mut (0..size).map(|_| terms.integer(7)).collect());
            assert_eq!(read(made), Some(numbers.into()));
            let bytes = vec![b'x'; size];
            assert_eq!(read(|terms| terms.binary(&bytes)), Some(Binary::from(bytes.clone()).into()));
        }
        for atom in Atom::ALL {
            assert_eq!(read(|terms| terms.atom(atom)), Some(EtfAtom::from(atom.name()).into()));
        }
        let key = Term::from(Binary::from(vec![0, 1, 0x12, 0x34]));
        assert_eq!(read(|terms| terms.key(1, 0x1234)), Some(key.clone()));
        let large = read(|terms| terms.tuple([(); 256].map(|()| terms.key(1, 0x1234))));
        assert_eq!(large, Some(Tuple::from(vec![key; 256]).into()));
    }
}
