//! Terms of the BEAM: the one module with `unsafe` code.
//!
//! It speaks to the NIF API directly, since a packet's terms are made thousands of times a millisecond:
//! `rustler::Term` carries its environment with each term, and a tuple of them is copied to make one.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::OnceLock;

use hep_term::{Atom, TermBuilder, TermReader, split_key};
use rustler::sys::{
    ErlNifBinary, ErlNifEnv, ErlNifTerm, enif_get_list_cell, enif_get_tuple, enif_get_uint64,
    enif_inspect_binary, enif_is_binary, enif_is_empty_list, enif_make_atom_len, enif_make_list_from_array,
    enif_make_new_binary, enif_make_sub_binary, enif_make_tuple_from_array, enif_make_uint64,
};
use rustler::{Binary, Env, Term, schedule};

/// How many elements of lists are a hundredth of a scheduler's timeslice of a millisecond.
const PER_PERCENT: usize = 100;

/// How far the ids of a packet's chunks mostly lie apart.
const AHEAD: usize = 6;

/// Terms that are the same in every call: they have no part on a heap.
struct Immediates {
    atoms: [ErlNifTerm; Atom::ALL.len()],
    /// The integers from 0 to 255: most of what a packet's header has.
    octets: [ErlNifTerm; 256],
}

static IMMEDIATES: OnceLock<Immediates> = OnceLock::new();

/// Makes the immediate terms, which stay the same as long as the VM lives.
pub(crate) fn load(env: Env<'_>, _info: Term<'_>) -> bool {
    immediates(env.as_c_arg());
    true
}

fn immediates(raw: *mut ErlNifEnv) -> &'static Immediates {
    IMMEDIATES.get_or_init(|| Immediates {
        atoms: Atom::ALL.map(|atom| make_atom(raw, atom.name())),
        octets: std::array::from_fn(|octet| make_integer(raw, u64::try_from(octet).unwrap_or(0))),
    })
}

/// The terms of one call.
pub(crate) struct NifTerms<'a> {
    env: Env<'a>,
    raw: *mut ErlNifEnv,
    immediates: &'static Immediates,
    packet: ErlNifTerm,
    bytes: &'a [u8],
    /// The names of the generic chunks, by id: literal binaries that the caller handed in.
    names: &'a [ErlNifTerm],
    /// Their keys.
    keys: &'a [ErlNifTerm],
    /// The index of the key that was found last.
    last_key: Cell<usize>,
    /// Elements of lists made so far.
    work: Cell<usize>,
}

impl<'a> NifTerms<'a> {
    /// For terms made of terms. `literals` is `hep_registry:literals()`; without it the binaries are made.
    pub(crate) fn new(env: Env<'a>, literals: Option<Term<'a>>) -> Self {
        let raw = env.as_c_arg();
        let elements = |tuple| tuple_elements(raw, tuple);
        let literals = literals.and_then(|literals| elements(literals.as_c_arg()));
        let (names, keys) = match literals {
            Some(&[names, keys]) => (elements(names), elements(keys)),
            _ => (None, None),
        };
        Self {
            env,
            raw,
            immediates: immediates(raw),
            packet: ErlNifTerm::default(),
            bytes: &[],
            names: names.unwrap_or(&[]),
            keys: keys.unwrap_or(&[]),
            last_key: Cell::new(0),
            work: Cell::new(0),
        }
    }

    /// For terms made of a packet.
    pub(crate) fn of_packet(env: Env<'a>, packet: &Binary<'a>, literals: Option<Term<'a>>) -> Self {
        Self { packet: packet.to_term(env).as_c_arg(), bytes: packet.as_slice(), ..Self::new(env, literals) }
    }

    /// Hands the answer over, and tells the scheduler what it cost.
    pub(crate) fn finish(&self, answer: ErlNifTerm) -> Term<'a> {
        let percent = self.work.get() / PER_PERCENT;
        if percent > 0 {
            schedule::consume_timeslice(self.env, i32::try_from(percent.min(100)).unwrap_or(100));
        }
        // SAFETY: `answer` was made in `env`.
        unsafe { Term::new(self.env, answer) }
    }

    fn worked(&self, elements: usize) {
        self.work.set(self.work.get().saturating_add(elements));
    }

    /// Where `part` begins in the packet, if it is a part of it.
    fn offset(&self, part: &[u8]) -> Option<usize> {
        let offset = part.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        (offset.checked_add(part.len())? <= self.bytes.len()).then_some(offset)
    }

    /// The id of a key that is one of the very literals handed in, as those of a packet parsed here are.
    ///
    /// To find it by its address is cheaper than to look into the binary: ids mostly ascend, so it is
    /// looked for behind the one found last.
    #[inline]
    fn literal_key(&self, term: ErlNifTerm) -> Option<u16> {
        let last = self.last_key.get();
        let ahead = self.keys.get(last..)?.iter().take(AHEAD).position(|&key| key == term)?;
        self.last_key.set(last.saturating_add(ahead));
        u16::try_from(self.last_key.get()).ok()
    }

    fn copy(&self, bytes: &[u8]) -> ErlNifTerm {
        let mut term = ErlNifTerm::default();
        // SAFETY: the call returns `bytes.len()` writable bytes of the new binary `term`.
        unsafe {
            let target = enif_make_new_binary(self.raw, bytes.len(), &raw mut term);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        term
    }
}

impl TermBuilder for NifTerms<'_> {
    type Term = ErlNifTerm;

    #[inline]
    fn atom(&self, atom: Atom) -> ErlNifTerm {
        self.immediates.atoms.get(atom as usize).copied().unwrap_or_default()
    }

    #[inline]
    fn integer(&self, value: u64) -> ErlNifTerm {
        match usize::try_from(value).ok().and_then(|value| self.immediates.octets.get(value)) {
            Some(&octet) => octet,
            None => make_integer(self.raw, value),
        }
    }

    #[inline]
    fn binary(&self, bytes: &[u8]) -> ErlNifTerm {
        match self.offset(bytes) {
            // SAFETY: `packet` is a binary of `raw`, and `offset` has checked that the part lies in it.
            Some(offset) => unsafe { enif_make_sub_binary(self.raw, self.packet, offset, bytes.len()) },
            None => self.copy(bytes),
        }
    }

    #[inline]
    fn tuple<const N: usize>(&self, elements: [ErlNifTerm; N]) -> ErlNifTerm {
        let arity = u32::try_from(N).unwrap_or(u32::MAX);
        // SAFETY: `elements` are `N` terms of `raw`.
        unsafe { enif_make_tuple_from_array(self.raw, elements.as_ptr(), arity) }
    }

    #[inline]
    fn list(&self, elements: &[ErlNifTerm]) -> ErlNifTerm {
        self.worked(elements.len());
        let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        // SAFETY: `elements` are at least `length` terms of `raw`.
        unsafe { enif_make_list_from_array(self.raw, elements.as_ptr(), length) }
    }

    #[inline]
    fn key(&self, vendor: u16, id: u16) -> ErlNifTerm {
        match self.keys.get(usize::from(id)) {
            Some(&key) if vendor == 0 => key,
            _ => {
                let ([v0, v1], [i0, i1]) = (vendor.to_be_bytes(), id.to_be_bytes());
                self.copy(&[v0, v1, i0, i1])
            }
        }
    }

    #[inline]
    fn name(&self, id: u16, name: &str) -> ErlNifTerm {
        self.names.get(usize::from(id)).copied().unwrap_or_else(|| self.copy(name.as_bytes()))
    }
}

impl TermReader for NifTerms<'_> {
    type Input = ErlNifTerm;

    #[inline]
    fn keep(&self, term: ErlNifTerm) -> ErlNifTerm {
        term
    }

    #[inline]
    fn is_atom(&self, term: ErlNifTerm, atom: Atom) -> bool {
        term == self.atom(atom)
    }

    #[inline]
    fn is_binary(&self, term: ErlNifTerm) -> bool {
        // SAFETY: `term` is a term of `raw`.
        unsafe { enif_is_binary(self.raw, term) != 0 }
    }

    #[inline]
    fn bytes(&self, term: ErlNifTerm) -> Option<&[u8]> {
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: on success the structure is filled in, and its bytes live as long as the call does.
        unsafe {
            if enif_inspect_binary(self.raw, term, binary.as_mut_ptr()) == 0 {
                return None;
            }
            let binary = binary.assume_init_ref();
            if binary.size == 0 { Some(&[]) } else { Some(slice::from_raw_parts(binary.data, binary.size)) }
        }
    }

    #[inline]
    fn unsigned(&self, term: ErlNifTerm) -> Option<u64> {
        let mut value = 0;
        // SAFETY: `value` is writable.
        (unsafe { enif_get_uint64(self.raw, term, &raw mut value) } != 0).then_some(value)
    }

    #[inline]
    fn elements<const N: usize>(&self, term: ErlNifTerm) -> Option<[ErlNifTerm; N]> {
        tuple_elements(self.raw, term)?.try_into().ok()
    }

    #[inline]
    fn each(&self, list: ErlNifTerm, mut visit: impl FnMut(ErlNifTerm) -> Option<()>) -> Option<()> {
        let (mut head, mut rest) = (ErlNifTerm::default(), list);
        // SAFETY: `rest` is a term of `raw`; on success head and tail are too.
        while unsafe { enif_get_list_cell(self.raw, rest, &raw mut head, &raw mut rest) } != 0 {
            visit(head)?;
        }
        // SAFETY: `rest` is a term of `raw`.
        (unsafe { enif_is_empty_list(self.raw, rest) } != 0).then_some(())
    }

    #[inline]
    fn read_key(&self, term: ErlNifTerm) -> Option<(u16, u16)> {
        match self.literal_key(term) {
            Some(id) => Some((0, id)),
            None => split_key(self.bytes(term)?),
        }
    }
}

/// The elements of a tuple; they live as long as the call does.
fn tuple_elements<'a>(raw: *mut ErlNifEnv, term: ErlNifTerm) -> Option<&'a [ErlNifTerm]> {
    let mut arity = 0;
    let mut elements = MaybeUninit::uninit();
    // SAFETY: on success `elements` points to `arity` terms of the tuple, which does not move in a call.
    unsafe {
        if enif_get_tuple(raw, term, &raw mut arity, elements.as_mut_ptr()) == 0 {
            return None;
        }
        let arity = usize::try_from(arity).ok()?;
        if arity == 0 { Some(&[]) } else { Some(slice::from_raw_parts(elements.assume_init(), arity)) }
    }
}

fn make_integer(raw: *mut ErlNifEnv, value: u64) -> ErlNifTerm {
    // SAFETY: `raw` is the environment of this call.
    unsafe { enif_make_uint64(raw, value) }
}

fn make_atom(raw: *mut ErlNifEnv, name: &str) -> ErlNifTerm {
    // SAFETY: the name is given with its length.
    unsafe { enif_make_atom_len(raw, name.as_ptr().cast(), name.len()) }
}
