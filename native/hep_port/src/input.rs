//! Terms that are read: parts of the request's bytes.
//!
//! A request is checked once, without recursion and without memory: neither its nesting nor a length in it can end the
//! program. Not accepted are compressed terms, which may be a thousand times as large as the request, and the terms of
//! the distribution protocol, which refer to a connection's state.

use crate::tag;

/// A valid term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Input<'a>(&'a [u8]);

/// The offset of a part of a request that is not a term.
#[derive(Debug, PartialEq)]
pub(crate) struct BadTerm(pub(crate) usize);

/// The integers that the octets of a string represent.
static OCTETS: [[u8; 2]; 256] = {
    let mut octets = [[tag::SMALL_INTEGER, 0]; 256];
    let mut rest = octets.as_mut_slice();
    let mut value = 0;
    while let Some(([_, octet], others)) = rest.split_first_mut() {
        *octet = value;
        value = value.wrapping_add(1);
        rest = others;
    }
    octets
};

impl<'a> Input<'a> {
    /// A whole request: the version and one term.
    pub(crate) fn of_request(request: &'a [u8]) -> Result<Self, BadTerm> {
        let (&version, term) = request.split_first().ok_or(BadTerm(0))?;
        if version != tag::VERSION {
            return Err(BadTerm(0));
        }
        let behind_version = |BadTerm(offset)| BadTerm(offset.saturating_add(1));
        match length(term).map_err(behind_version)? {
            length if length == term.len() => Ok(Self(term)),
            // Bytes after the term.
            length => Err(behind_version(BadTerm(length))),
        }
    }

    /// The term's bytes, without a version.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name of an atom. Names are compared only with names in ASCII, so that the encoding does not matter.
    pub(crate) fn atom(self) -> Option<&'a [u8]> {
        match *self.0 {
            [tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8, _, ref name @ ..]
            | [tag::ATOM | tag::ATOM_UTF8, _, _, ref name @ ..] => Some(name),
            _ => None,
        }
    }

    /// The bytes of a binary.
    pub(crate) fn binary(self) -> Option<&'a [u8]> {
        match *self.0 {
            [tag::BINARY, _, _, _, _, ref bytes @ ..] => Some(bytes),
            _ => None,
        }
    }

    /// A non-negative integer of 64 bits.
    pub(crate) fn unsigned(self) -> Option<u64> {
        const POSITIVE: u8 = 0;
        match *self.0 {
            [tag::SMALL_INTEGER, value] => Some(value.into()),
            [tag::INTEGER, a, b, c, d] => u64::try_from(i32::from_be_bytes([a, b, c, d])).ok(),
            [tag::SMALL_BIG, _, POSITIVE, ref digits @ ..]
            | [tag::LARGE_BIG, _, _, _, _, POSITIVE, ref digits @ ..] => digits
                .iter()
                .rev()
                .try_fold(0_u64, |value, &digit| value.checked_mul(256)?.checked_add(digit.into())),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub(crate) fn tuple(self) -> Option<Elements<'a>> {
        let (count, rest) = match *self.0 {
            [tag::SMALL_TUPLE, arity, ref rest @ ..] => (arity.into(), rest),
            [tag::LARGE_TUPLE, a, b, c, d, ref rest @ ..] => (u32::from_be_bytes([a, b, c, d]), rest),
            _ => return None,
        };
        Some(Elements { count, rest, are_octets: false })
    }

    /// The elements of a list, which may have a tail.
    pub(crate) fn list(self) -> Option<Elements<'a>> {
        match *self.0 {
            [tag::NIL] => Some(Elements { count: 0, rest: &[], are_octets: true }),
            [tag::STRING, a, b, ref rest @ ..] => {
                Some(Elements { count: u16::from_be_bytes([a, b]).into(), rest, are_octets: true })
            }
            [tag::LIST, a, b, c, d, ref rest @ ..] => {
                Some(Elements { count: u32::from_be_bytes([a, b, c, d]), rest, are_octets: false })
            }
            _ => None,
        }
    }
}

/// The elements of a tuple or a list.
pub(crate) struct Elements<'a> {
    count: u32,
    /// The elements, and the tail of a list.
    rest: &'a [u8],
    /// Whether they are the octets of a string.
    are_octets: bool,
}

impl<'a> Elements<'a> {
    /// After the last element: the tail. An empty list and a string have none.
    pub(crate) fn tail(&self) -> Option<Input<'a>> {
        (!self.rest.is_empty()).then_some(Input(self.rest))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Input<'a>;

    fn next(&mut self) -> Option<Input<'a>> {
        self.count = self.count.checked_sub(1)?;
        let length = if self.are_octets { 1 } else { length(self.rest).ok()? };
        let (element, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        match *element {
            [octet] if self.are_octets => OCTETS.get(usize::from(octet)).map(|octet| Input(octet)),
            _ => Some(Input(element)),
        }
    }
}

/// The length of the term that the bytes begin with.
fn length(bytes: &[u8]) -> Result<usize, BadTerm> {
    let (mut rest, mut pending) = (bytes, 1_u64);
    while let Some(others) = pending.checked_sub(1) {
        let offset = bytes.len().saturating_sub(rest.len());
        let Head { length, terms } = head(rest).ok_or(BadTerm(offset))?;
        rest = rest.get(length..).ok_or(BadTerm(offset))?;
        pending = others.saturating_add(terms);
        // A term has at least a byte.
        if u64::try_from(rest.len()).is_ok_and(|left| left < pending) {
            return Err(BadTerm(offset));
        }
    }
    Ok(bytes.len().saturating_sub(rest.len()))
}

/// The beginning of a term.
struct Head {
    /// Its length: all of the term except for the terms in it. It may exceed the bytes.
    length: usize,
    /// The number of the terms in it, which follow.
    terms: u64,
}

/// `None` if it is cut or its tag is unknown.
fn head(bytes: &[u8]) -> Option<Head> {
    let (&tag, behind) = bytes.split_first()?;
    let (length, terms) = match tag {
        tag::NIL => (0, 0),
        tag::SMALL_INTEGER => (1, 0),
        tag::INTEGER => (4, 0),
        tag::NEW_FLOAT => (8, 0),
        tag::FLOAT => (31, 0),
        tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8 => sized(1, number::<1>(behind)?),
        tag::ATOM | tag::ATOM_UTF8 | tag::STRING => sized(2, number::<2>(behind)?),
        tag::BINARY => sized(4, number::<4>(behind)?),
        // After the size comes the number of bits of the last byte, or the sign.
        tag::BIT_BINARY | tag::LARGE_BIG => sized(5, number::<4>(behind)?),
        tag::SMALL_BIG => sized(2, number::<1>(behind)?),
        // The size counts itself.
        tag::NEW_FUN => sized(0, number::<4>(behind).filter(|&size| size >= 4)?),
        tag::SMALL_TUPLE => (1, number::<1>(behind)?),
        tag::LARGE_TUPLE => (4, number::<4>(behind)?),
        tag::LIST => (4, number::<4>(behind)?.saturating_add(1)),
        tag::MAP => (4, number::<4>(behind)?.saturating_mul(2)),
        tag::EXPORT => (0, 3),
        _ => sized(0, identifier(tag, behind)?),
    };
    Some(Head { length: length.saturating_add(1), terms })
}

/// The length of a process's, a port's or a reference's identifier without its tag.
fn identifier(tag: u8, behind: &[u8]) -> Option<u64> {
    /// The length of a word of a reference.
    const WORD: u64 = 4;
    let words = || number::<2>(behind).map(|words| words.saturating_mul(WORD));
    // The sizes before and after the name of the node.
    let (before, after) = match tag {
        tag::PORT | tag::REFERENCE => (0, 5),
        tag::NEW_PORT => (0, 8),
        tag::PID => (0, 9),
        tag::NEW_PID | tag::V4_PORT => (0, 12),
        tag::NEW_REFERENCE => (2, words()?.saturating_add(1)),
        tag::NEWER_REFERENCE => (2, words()?.saturating_add(4)),
        _ => return None,
    };
    let node = behind.get(before..)?;
    let is_atom =
        matches!(node.first()?, &(tag::ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM | tag::SMALL_ATOM_UTF8));
    let node = is_atom.then(|| head(node)).flatten()?.length;
    u64::try_from(before.saturating_add(node)).ok()?.checked_add(after)
}

/// A size, and as many bytes, but no terms.
fn sized(width: usize, size: u64) -> (usize, u64) {
    (usize::try_from(size).unwrap_or(usize::MAX).saturating_add(width), 0)
}

/// The number in the first `WIDTH` bytes.
fn number<const WIDTH: usize>(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.first_chunk::<WIDTH>()?;
    Some(digits.iter().fold(0, |number, &digit| number << u8::BITS | u64::from(digit)))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    /// A term of each kind.
    const KINDS: [&[u8]; 32] = [
        b"F\x3f\xf8\0\0\0\0\0\0",
        b"M\0\0\0\x02\x03ab",
        b"Xw\x03a@b\0\0\0\x01\0\0\0\x02\0\0\0\x03",
        b"Yw\x03a@b\0\0\0\x01\0\0\0\x03",
        b"Z\0\x02w\x03a@b\0\0\0\x03\0\0\0\x01\0\0\0\x02",
        b"a\xff",
        b"b\xff\xff\xff\xfe",
        b"c1.50000000000000000000e+00\0\0\0\0\0",
        b"d\0\x03abc",
        b"ed\0\x03a@b\0\0\0\x01\x03",
        b"fd\0\x03a@b\0\0\0\x01\x03",
        b"gs\x03a@b\0\0\0\x01\0\0\0\x02\x03",
        b"h\0",
        b"h\x02a\x01h\x01j",
        b"i\0\0\0\x01j",
        b"j",
        b"k\0\x02ab",
        b"l\0\0\0\x02a\x01a\x02j",
        b"l\0\0\0\x01a\x01a\x02",
        b"m\0\0\0\0",
        b"m\0\0\0\x03abc",
        b"n\x02\0\x01\x02",
        b"n\x08\x01\x01\x02\x03\x04\x05\x06\x07\x08",
        b"o\0\0\0\x02\0\x01\x02",
        b"p\0\0\0\x06ab",
        b"qw\x01aw\x01ba\x03",
        b"r\0\x02w\x03a@b\x03\0\0\0\x01\0\0\0\x02",
        b"s\x01a",
        b"t\0\0\0\x01a\x01j",
        b"v\0\x02\xc3\xa9",
        b"w\x02\xc3\xa9",
        b"xw\x03a@b\0\0\0\0\0\0\0\x01\0\0\0\x03",
    ];

    fn request(term: &[u8]) -> Vec<u8> {
        [&[tag::VERSION], term].concat()
    }

    fn read(term: &[u8]) -> Result<usize, usize> {
        Input::of_request(&request(term))
            .map(|input| input.as_bytes().len())
            .map_err(|BadTerm(offset)| offset)
    }

    #[test]
    fn each_kind_is_read_completely_or_not_at_all() {
        for term in KINDS {
            assert_eq!(read(term), Ok(term.len()), "{term:?}");
            for end in 0..term.len() {
                assert!(read(&term[..end]).is_err(), "{term:?} {end}");
            }
            assert_eq!(read(&[term, b"j"].concat()), Err(term.len() + 1), "{term:?}");
        }
        let all = [&[tag::LARGE_TUPLE, 0, 0, 0, 32], KINDS.concat().as_slice()].concat();
        let bytes = request(&all);
        let elements: Vec<_> =
            Input::of_request(&bytes).unwrap().tuple().unwrap().map(Input::as_bytes).collect();
        assert_eq!(elements, KINDS);
    }

    /// Also without a version, and with the tags of the distribution protocol and of compressed terms.
    #[test]
    fn other_bytes_are_an_error_with_an_offset() {
        assert_eq!(Input::of_request(b""), Err(BadTerm(0)));
        for version in (0..=255).filter(|&version| version != tag::VERSION) {
            assert_eq!(Input::of_request(&[version, tag::NIL]), Err(BadTerm(0)), "{version}");
        }
        for tag in 0..=255 {
            for length in [0, 1, 4, 40, 1000] {
                for filler in [0, b'j', 0xff] {
                    let term = [vec![tag], vec![filler; length]].concat();
                    let inside = [b"h\x02j", term.as_slice()].concat();
                    let is_known = KINDS.iter().any(|kind| kind[0] == tag);
                    assert!(is_known || read(&term) == Err(1), "{tag} {length} {filler}");
                    assert!(is_known || read(&inside) == Err(4), "{tag} {length} {filler}");
                }
            }
        }
        for foreign in
            [b"D\x01j".as_slice(), b"R\0", b"P\0\0\0\x01\x78\x9c\x4b\x02\0\0\x61\0\x61", b"u\0\0\0\0"]
        {
            assert_eq!(read(foreign), Err(1), "{foreign:?}");
        }
    }

    /// A count or a size is never believed, and nesting takes no stack.
    #[test]
    fn large_lengths_and_deep_terms_are_harmless() {
        for tag in [tag::LIST, tag::LARGE_TUPLE, tag::MAP, tag::BINARY, tag::LARGE_BIG, tag::NEW_FUN] {
            assert_eq!(read(&[tag, 0xff, 0xff, 0xff, 0xff, tag::NIL]), Err(1), "{tag}");
        }
        let depth = 1 << 22;
        let deep = [b"h\x01".repeat(depth), b"j".to_vec()].concat();
        assert_eq!(read(&deep), Ok(deep.len()));
        let lists = b"l\0\0\0\x01".repeat(depth);
        assert!(read(&lists).is_err());
    }

    /// Changed, shortened and lengthened terms: each is read or refused.
    #[test]
    fn mutated_terms_are_read_or_rejected() {
        let all = [&[tag::SMALL_TUPLE, 32], KINDS.concat().as_slice()].concat();
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            // Knuth's constants of a linear congruential generator.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        let mut kept = 0;
        for _ in 0..200_000 {
            let mut bytes = request(&all);
            for _ in 0..=random(3) {
                let place = 1 + random(bytes.len() - 1);
                match random(4) {
                    0 => bytes[place] = u8::try_from(random(256)).unwrap(),
                    1 => bytes[place] ^= 1 << random(8),
                    2 => drop(bytes.drain(place..(place + random(9)).min(bytes.len()))),
                    _ => bytes.insert(place, *b"jhlmka\xff\0".get(random(8)).unwrap()),
                }
            }
            if let Ok(input) = Input::of_request(&bytes) {
                assert_eq!(input.as_bytes().len() + 1, bytes.len());
                kept += walked(input, 3);
            }
        }
        assert!(kept > 100_000, "{kept}");
    }

    /// The number of terms, read in every way.
    fn walked(input: Input<'_>, depth: usize) -> usize {
        let _ = (input.atom(), input.binary(), input.unsigned());
        let inside = input.tuple().or_else(|| input.list()).filter(|_| depth > 0);
        1 + inside.into_iter().flatten().map(|input| walked(input, depth - 1)).sum::<usize>()
    }

    #[test]
    fn values_are_read() {
        let value = |term: &[u8]| Input::of_request(&request(term)).unwrap().unsigned();
        for (term, number) in [
            (b"a\xff".as_slice(), Some(255)),
            (b"b\0\x01\0\0", Some(65536)),
            (b"b\xff\xff\xff\xff", None),
            (b"n\x08\0\x01\x02\x03\x04\x05\x06\x07\x08", Some(0x0807_0605_0403_0201)),
            (b"n\x08\0\xff\xff\xff\xff\xff\xff\xff\xff", Some(u64::MAX)),
            (b"n\x09\0\0\0\0\0\0\0\0\0\x01", None),
            (b"n\x09\0\x01\0\0\0\0\0\0\0\0", Some(1)),
            (b"n\x01\x01\x01", None),
            (b"o\0\0\0\x01\0\x07", Some(7)),
            (b"j", None),
        ] {
            assert_eq!(value(term), number, "{term:?}");
        }
        let list = request(b"k\0\x02a\xff");
        let octets: Vec<_> = Input::of_request(&list).unwrap().list().unwrap().map(Input::unsigned).collect();
        assert_eq!(octets, [Some(97), Some(255)]);
    }
}
