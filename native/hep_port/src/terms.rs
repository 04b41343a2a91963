//! Terms of the external term format.

use eetf::{Atom as EtfAtom, BigInteger, Binary, FixInteger, List, Term, Tuple};
use hep_term::{Atom, TermBuilder, TermReader, Terms};

/// Makes and reads terms of the external term format.
pub(crate) struct EtfTerms<'a> {
    /// Lives as long as the request's terms do.
    pub(crate) request: &'a Term,
}

impl TermBuilder for EtfTerms<'_> {
    type Term = Term;

    fn atom(&self, atom: Atom) -> Term {
        EtfAtom::from(atom.name()).into()
    }

    fn integer(&self, value: u64) -> Term {
        match i32::try_from(value) {
            Ok(value) => FixInteger::from(value).into(),
            Err(_) => BigInteger::from(value).into(),
        }
    }

    fn binary(&self, bytes: &[u8]) -> Term {
        Binary::from(bytes.to_vec()).into()
    }

    fn tuple<const N: usize>(&self, elements: [Term; N]) -> Term {
        Tuple::from(Vec::from(elements)).into()
    }

    fn list(&self, elements: Terms<Term>) -> Term {
        List::from(elements.into_vec()).into()
    }

    fn key(&self, vendor: u16, id: u16) -> Term {
        self.binary(&[vendor.to_be_bytes(), id.to_be_bytes()].concat())
    }

    fn name(&self, _id: u16, name: &str) -> Term {
        self.binary(name.as_bytes())
    }
}

impl<'a> TermReader for EtfTerms<'a> {
    type Input = &'a Term;

    fn keep(&self, term: &'a Term) -> Term {
        term.clone()
    }

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

    fn each(&self, list: &'a Term, mut visit: impl FnMut(&'a Term) -> Option<()>) -> Option<()> {
        match list {
            Term::List(List { elements }) => elements.iter().try_for_each(&mut visit),
            Term::ImproperList(improper) => {
                improper.elements.iter().try_for_each(&mut visit)?;
                None
            }
            _ => None,
        }
    }
}

/// A list of small integers is written as a string. Reading it, it is a list like any other.
pub(crate) fn without_strings(term: Term) -> Term {
    match term {
        Term::ByteList(bytes) => List::from(bytes).into(),
        Term::List(List { elements }) => List::from(all_without_strings(elements)).into(),
        Term::Tuple(Tuple { elements }) => Tuple::from(all_without_strings(elements)).into(),
        other => other,
    }
}

fn all_without_strings(terms: Vec<Term>) -> Vec<Term> {
    terms.into_iter().map(without_strings).collect()
}

/// The bytes of a term.
pub(crate) fn written(term: &Term) -> Vec<u8> {
    const VERSION: u8 = 131;
    let mut bytes = vec![VERSION];
    write(term, &mut bytes);
    bytes
}

/// Tuples and lists are written here: eetf writes a list of small numbers as a string even if some of them are
/// negative, which makes others of them.
fn write(term: &Term, bytes: &mut Vec<u8>) {
    const SMALL_TUPLE: u8 = 104;
    const LARGE_TUPLE: u8 = 105;
    const NIL: u8 = 106;
    const LIST: u8 = 108;
    let length = |elements: &[Term]| u32::try_from(elements.len()).unwrap_or(u32::MAX).to_be_bytes();
    match term {
        Term::Tuple(Tuple { elements }) => {
            if let Ok(arity) = u8::try_from(elements.len()) {
                bytes.extend([SMALL_TUPLE, arity]);
            } else {
                bytes.push(LARGE_TUPLE);
                bytes.extend(length(elements));
            }
            for element in elements {
                write(element, bytes);
            }
        }
        Term::List(List { elements }) if elements.is_empty() => bytes.push(NIL),
        Term::List(List { elements }) => {
            bytes.push(LIST);
            bytes.extend(length(elements));
            for element in elements {
                write(element, bytes);
            }
            bytes.push(NIL);
        }
        other => {
            let start = bytes.len();
            // Writing to memory does not fail; what the format cannot say does not come up in a bounded frame.
            if other.encode(&mut *bytes).is_ok() {
                // Each term is written with the version in front.
                bytes.remove(start);
            } else {
                bytes.truncate(start);
                bytes.push(NIL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_numbers_in_lists_stay_what_they_are() {
        let numbers = [-1, 0, 255, -9, 70000].map(|number| Term::from(FixInteger::from(number)));
        let list = Term::from(List::from(numbers.to_vec()));
        let tuple =
            Term::from(Tuple::from(vec![list.clone(), List::nil().into(), EtfAtom::from("a").into()]));
        for term in [list, tuple] {
            assert_eq!(Term::decode(&written(&term)[..]).ok(), Some(term));
        }
    }
}
