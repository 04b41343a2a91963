//! Terms of the external term format.

use std::cell::Cell;
use std::io::{self, Write};
use std::ops::Range;

use hep::Packet;
use hep_term::{Atom, TermBuilder, TermReader, Terms};

use crate::frames::KEPT;
use crate::input::Input;
use crate::tag;

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

/// Makes and reads terms of the external term format.
pub(crate) struct EtfTerms<'a> {
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
    pub(crate) fn new(room: &'a Cell<Vec<u8>>, most: usize) -> Self {
        let mut bytes = room.take();
        bytes.clear();
        bytes.shrink_to(KEPT);
        room.set(bytes);
        Self { made: room, most, beyond: Cell::new(None) }
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

/// Writes to a buffer until it is as long as an answer may be.
struct Limited<'a> {
    bytes: &'a mut Vec<u8>,
    /// The maximum length of the buffer.
    end: usize,
}

impl Write for Limited<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.write_all(part).map(|()| part.len())
    }

    fn write_all(&mut self, part: &[u8]) -> io::Result<()> {
        if part.len() > self.end.saturating_sub(self.bytes.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

    fn json(&self, packet: &Packet<'_>) -> Made {
        self.make(0, |bytes| {
            put_binary(bytes, &[]);
            let start = bytes.len();
            let end = start.saturating_add(self.most);
            if hep::write_json(packet, Limited { bytes: &mut *bytes, end }).is_err() {
                self.beyond.set(Some(self.most));
            }
            let (head, text) = bytes.split_at_mut(start);
            if let Some(size) = head.last_chunk_mut() {
                *size = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
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
    type Input = Input<'a>;

    fn keep(&self, term: Input<'a>) -> Made {
        let bytes = term.as_bytes();
        self.make(bytes.len(), |made| made.extend_from_slice(bytes))
    }

    #[inline]
    fn is_atom(&self, term: Input<'a>, atom: Atom) -> bool {
        term.atom() == Some(atom.name().as_bytes())
    }

    fn is_binary(&self, term: Input<'a>) -> bool {
        term.binary().is_some()
    }

    fn bytes(&self, term: Input<'a>) -> Option<&[u8]> {
        term.binary()
    }

    fn unsigned(&self, term: Input<'a>) -> Option<u64> {
        term.unsigned()
    }

    fn elements<const N: usize>(&self, term: Input<'a>) -> Option<[Input<'a>; N]> {
        let mut elements = term.tuple()?;
        let mut array = [term; N];
        for place in &mut array {
            *place = elements.next()?;
        }
        elements.next().is_none().then_some(array)
    }

    fn each<E>(
        &self,
        mut list: Input<'a>,
        mut visit: impl FnMut(Input<'a>) -> Result<(), E>,
    ) -> Result<bool, E> {
        while let Some(mut elements) = list.list() {
            elements.by_ref().try_for_each(&mut visit)?;
            match elements.tail() {
                Some(tail) => list = tail,
                None => return Ok(true),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use eetf::{Atom as EtfAtom, BigInteger, Binary, FixInteger, List, Term, Tuple};

    use super::*;

    /// What eetf reads of a term that was made.
    fn read(make: impl FnOnce(&EtfTerms<'_>) -> Made) -> Option<Term> {
        let room = Cell::new(b"what was made before".to_vec());
        let terms = EtfTerms::new(&room, usize::MAX);
        let term = make(&terms);
        let mut bytes = Vec::new();
        put_version(&mut bytes);
        terms.put(&term, &mut bytes);
        Term::decode(&bytes[..]).ok()
    }

    /// A request of this term.
    fn request(term: impl Into<Term>) -> Vec<u8> {
        let mut bytes = Vec::new();
        term.into().encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn kept_terms_stay_unchanged() {
        let bytes = request(Tuple::from(vec![Binary::from(vec![1, 2, 3]).into(), List::nil().into()]));
        let room = Cell::default();
        let terms = EtfTerms::new(&room, bytes.len() - 1);
        let kept = terms.keep(Input::of_request(&bytes).unwrap());
        let mut answer = vec![tag::VERSION];
        terms.put(&kept, &mut answer);
        assert_eq!((answer, terms.too_large(&kept)), (bytes.clone(), None));
        let terms = EtfTerms::new(&room, bytes.len() - 2);
        let kept = terms.keep(Input::of_request(&bytes).unwrap());
        assert_eq!(terms.too_large(&kept), Some(bytes.len() - 1));
    }

    #[test]
    fn only_the_right_number_of_elements_is_read() {
        let bytes = request(Tuple::from(vec![List::nil().into(), FixInteger::from(7).into()]));
        let (room, input) = (Cell::default(), Input::of_request(&bytes).unwrap());
        let terms = EtfTerms::new(&room, usize::MAX);
        assert_eq!(
            terms.elements(input).map(|elements: [_; 2]| elements.map(Input::unsigned)),
            Some([None, Some(7)])
        );
        assert_eq!(terms.elements::<1>(input), None);
        assert_eq!(terms.elements::<3>(input), None);
    }

    /// Each way to write the same list, and improper ones.
    #[test]
    fn lists_are_read() {
        let read = |term: &[u8]| {
            let (bytes, room) = ([b"\x83", term].concat(), Cell::default());
            let (terms, mut numbers) = (EtfTerms::new(&room, usize::MAX), Vec::new());
            let visit = |element: Input<'_>| {
                numbers.push(element.unsigned());
                if numbers.len() > 3 { Err(()) } else { Ok(()) }
            };
            (terms.each(Input::of_request(&bytes).unwrap(), visit), numbers)
        };
        let both = vec![Some(1), Some(2)];
        assert_eq!(read(b"j"), (Ok(true), vec![]));
        assert_eq!(read(b"k\0\x02\x01\x02"), (Ok(true), both.clone()));
        assert_eq!(read(b"l\0\0\0\x02a\x01a\x02j"), (Ok(true), both.clone()));
        assert_eq!(read(b"l\0\0\0\x01a\x01l\0\0\0\x01a\x02j"), (Ok(true), both.clone()));
        assert_eq!(read(b"l\0\0\0\x01a\x01k\0\x01\x02"), (Ok(true), both.clone()));
        assert_eq!(read(b"l\0\0\0\x02a\x01a\x02a\x03"), (Ok(false), both));
        assert_eq!(read(b"h\x01a\x01"), (Ok(false), vec![]));
        assert_eq!(read(b"k\0\x05\x01\x01\x01\x01\x01"), (Err(()), vec![Some(1); 4]));
    }

    /// The JSON of a packet takes no more memory than the answer, whatever its inflated size.
    #[test]
    fn json_stops_at_the_limit() {
        let text = vec![0; 1_000_000];
        let mut packet = Packet::new(hep::Version::V3);
        packet.payload = hep::Payload::Plain(&text);
        let size = hep::to_json(&packet).len();
        assert!(size > 6_000_000, "{size}");
        let made = |most| {
            let room = Cell::default();
            let terms = EtfTerms::new(&room, most);
            let made = terms.json(&packet);
            let too_large = terms.too_large(&made);
            let mut answer = Vec::new();
            terms.put(&made, &mut answer);
            (too_large, answer, room.take().capacity())
        };
        let (too_large, answer, _) = made(size + 5);
        assert_eq!((too_large, &answer[5..]), (None, &hep::to_json(&packet)[..]));
        assert_eq!(
            Term::decode(&[&[tag::VERSION], &answer[..]].concat()[..]).ok(),
            Some(Binary::from(hep::to_json(&packet)).into())
        );
        assert_eq!(made(size + 4).0, Some(size + 5));
        let (too_large, _, memory) = made(10_000);
        assert_eq!(too_large, Some(10_000));
        assert!(memory < 40_000, "{memory}");
    }

    #[test]
    fn building_stops_at_the_limit() {
        let room = Cell::default();
        let most = 1000;
        let terms = EtfTerms::new(&room, most);
        let made = terms.binary(&[0; 900]);
        assert_eq!(terms.too_large(&made), None);
        // Of one term, and of many.
        let tuple = terms.tuple([made.clone(), made.clone()]);
        assert_eq!((terms.too_large(&tuple), tuple.len()), (Some(1810), 0));
        let terms = EtfTerms::new(&room, most);
        for _ in 0..100 {
            terms.binary(&[0; 900]);
        }
        assert_eq!(terms.too_large(&made), Some(most));
        let bytes = room.take().len();
        assert!(bytes <= (LAYERS + 1) * 905, "{bytes}");
    }

    #[test]
    fn built_terms_can_be_read() {
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
