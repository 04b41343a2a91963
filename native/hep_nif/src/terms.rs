//! Terms of the BEAM: the one module with `unsafe` code.
//!
//! It speaks to the NIF API directly, since a packet's terms are made thousands of times a millisecond:
//! `rustler::Term` carries its environment with each term, and a tuple of them is copied to make one.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::OnceLock;

use hep_term::{Atom, Scheduler, TermBuilder, TermReader, Terms, split_key};
use rustler::sys::{
    ErlNifBinary, ErlNifEnv, ErlNifTerm, enif_get_list_cell, enif_get_tuple, enif_get_uint64,
    enif_inspect_binary, enif_is_binary, enif_make_atom_len, enif_make_list_from_array, enif_make_new_binary,
    enif_make_sub_binary, enif_make_tuple_from_array, enif_make_uint64,
};
use rustler::{Binary, Env, Error, NifResult, Term, schedule};

/// How many elements of lists are a hundredth of a scheduler's timeslice of a millisecond.
const ELEMENTS_PER_PERCENT: usize = 100;
/// How many bytes of a packet are, when they are nothing but chunks.
const BYTES_PER_PERCENT: usize = 4096;
/// How many bytes of JSON are, when it is read.
const JSON_PER_PERCENT: usize = 128;

/// How far the ids of a packet's chunks mostly lie apart.
const AHEAD: usize = 6;

/// How many bytes of longer binaries one call looks into, beside the first: those that do not begin at a
/// byte's border are copied for it, which cannot be seen, and the copies live as long as the call does.
const fn inspected(scheduler: Scheduler) -> usize {
    match scheduler {
        // Beyond it the call is for a dirty one.
        Scheduler::Normal => 1024 * 1024,
        // The longest frame of the port program: the two sides answer alike wherever both can.
        Scheduler::Dirty => 64 * 1024 * 1024,
    }
}
/// What is not longer takes no more than the list that it stands in.
const SHORT: usize = 64;

/// A term of one call. Only this module makes one, so that it always is one.
#[derive(Clone, Copy, PartialEq)]
#[repr(transparent)]
pub(crate) struct NifTerm(ErlNifTerm);

/// Terms that are the same in every call: they have no part on a heap.
struct Immediates {
    atoms: [NifTerm; Atom::ALL.len()],
    nil: NifTerm,
    integers: Integers,
}

/// The integers below [`Integers::COUNT`], which are nearly all that a packet's header has: made and read
/// without a call of the NIF API.
///
/// Their terms are words that lie evenly apart. That is not taken for granted: each of them is made once, at
/// load, and if one does not lie where it should, none is known here.
struct Integers {
    /// The term of 0.
    zero: usize,
    /// The terms lie `1 << shift` apart.
    shift: u32,
    /// How many are known: all of them, or none.
    known: usize,
}

static IMMEDIATES: OnceLock<Immediates> = OnceLock::new();

/// Makes the immediate terms, which stay the same as long as the VM lives.
pub(crate) fn load(env: Env<'_>, _info: Term<'_>) -> bool {
    immediates(env);
    true
}

fn immediates(env: Env<'_>) -> &'static Immediates {
    IMMEDIATES.get_or_init(|| Immediates {
        atoms: Atom::ALL.map(|atom| make_atom(env, atom)),
        nil: make_list(env, &[]),
        integers: Integers::learn(env),
    })
}

impl Integers {
    /// Covers the parts of an `erlang:timestamp()`.
    const COUNT: usize = 1 << 20;

    fn learn(env: Env<'_>) -> Self {
        let term = |value: usize| u64::try_from(value).map_or(0, |value| make_integer(env, value).word());
        let zero = term(0);
        let shift = term(1).wrapping_sub(zero).trailing_zeros();
        let all = Self { zero, shift, known: Self::COUNT };
        let holds = (0..Self::COUNT).all(|value| all.word(value) == term(value));
        if holds { all } else { Self { known: 0, ..all } }
    }

    /// Where the term of a value lies, if the value is one of those known.
    #[inline]
    const fn word(&self, value: usize) -> usize {
        self.zero.wrapping_add(value.unbounded_shl(self.shift))
    }

    #[inline]
    fn term(&self, value: usize) -> Option<NifTerm> {
        let word = self.word(value);
        // SAFETY: it was seen at load that the word is the value's term, see `learn`.
        (value < self.known).then(|| unsafe { NifTerm::of_word(word) })
    }

    #[inline]
    fn value(&self, term: NifTerm) -> Option<usize> {
        // What does not lie a multiple of the distance behind 0 gets its highest bits set.
        let value = term.word().wrapping_sub(self.zero).rotate_right(self.shift);
        (value < self.known).then_some(value)
    }
}

impl NifTerm {
    #[inline]
    const fn word(self) -> usize {
        // SAFETY: a term is a word, as `erl_nif.h` declares it.
        unsafe { std::mem::transmute::<ErlNifTerm, usize>(self.0) }
    }

    /// # Safety
    /// The word is a term's.
    #[inline]
    const unsafe fn of_word(word: usize) -> Self {
        // SAFETY: see `word`; that it is a term's is the caller's part.
        Self(unsafe { std::mem::transmute::<usize, ErlNifTerm>(word) })
    }
}

/// The terms of one call.
pub(crate) struct NifTerms<'a> {
    env: Env<'a>,
    raw: *mut ErlNifEnv,
    scheduler: Scheduler,
    immediates: &'static Immediates,
    /// The packet that the call is about, if it is about one, and its bytes.
    packet: Option<(ErlNifTerm, &'a [u8])>,
    /// The names of the generic chunks, by id: literal binaries that the caller handed in.
    names: &'a [NifTerm],
    /// Their keys.
    keys: &'a [NifTerm],
    /// The index of the key that was found last.
    last_key: Cell<usize>,
    /// Elements of lists made so far.
    elements: Cell<usize>,
    /// What the bytes that the call is about cost, in hundredths of a timeslice.
    percent: usize,
    /// Bytes of longer binaries looked into so far.
    inspected: Cell<usize>,
    /// Whether there were more of them than the call may look into.
    is_exhausted: Cell<bool>,
}

impl<'a> NifTerms<'a> {
    /// For terms made of terms.
    #[inline]
    pub(crate) fn new(env: Env<'a>, scheduler: Scheduler) -> Self {
        Self {
            env,
            raw: env.as_c_arg(),
            scheduler,
            immediates: immediates(env),
            packet: None,
            names: &[],
            keys: &[],
            last_key: Cell::new(0),
            elements: Cell::new(0),
            percent: 0,
            inspected: Cell::new(0),
            is_exhausted: Cell::new(false),
        }
    }

    /// For terms made of JSON.
    pub(crate) fn of_json(env: Env<'a>, json: &[u8], scheduler: Scheduler) -> Self {
        Self { percent: json.len() / JSON_PER_PERCENT, ..Self::new(env, scheduler) }
    }

    /// For terms made of a packet.
    #[inline]
    pub(crate) fn of_packet(env: Env<'a>, packet: &Binary<'a>, scheduler: Scheduler) -> Self {
        let percent = packet.as_slice().len() / BYTES_PER_PERCENT;
        let packet = (packet.to_term(env).as_c_arg(), packet.as_slice());
        Self { packet: Some(packet), percent, ..Self::new(env, scheduler) }
    }

    /// With `hep_registry:names()`; without it the names are made.
    #[inline]
    pub(crate) fn with_names(self, names: Term<'a>) -> Self {
        Self { names: tuple_elements(self.env, names.into()).unwrap_or_default(), ..self }
    }

    /// With `hep_registry:keys()`; without it the keys are made.
    #[inline]
    pub(crate) fn with_keys(self, keys: Term<'a>) -> Self {
        Self { keys: tuple_elements(self.env, keys.into()).unwrap_or_default(), ..self }
    }

    /// Hands the answer over, `dirty` where a normal scheduler could not look into all that it is about; what is
    /// none is a `badarg`.
    #[inline]
    pub(crate) fn finish_some(&self, answer: Option<NifTerm>) -> NifResult<Term<'a>> {
        if self.is_exhausted.get() && self.scheduler == Scheduler::Normal {
            return Ok(self.charged(self.atom(Atom::Dirty)));
        }
        answer.map(|answer| self.charged(answer)).ok_or(Error::BadArg)
    }

    /// As [`finish_some`](Self::finish_some), of what is always an answer.
    #[inline]
    pub(crate) fn finish(&self, answer: NifTerm) -> NifResult<Term<'a>> {
        self.finish_some(Some(answer))
    }

    /// The answer as the caller's term. Tells the scheduler what it cost.
    #[inline]
    fn charged(&self, answer: NifTerm) -> Term<'a> {
        let percent = (self.elements.get() / ELEMENTS_PER_PERCENT).max(self.percent);
        if percent > 0 {
            schedule::consume_timeslice(self.env, i32::try_from(percent.min(100)).unwrap_or(100));
        }
        // SAFETY: `answer` was made in `env`, or came with the call.
        unsafe { Term::new(self.env, answer.0) }
    }

    /// The term of which `part` is made, if it lies in the packet.
    #[inline]
    fn part_of_packet(&self, part: &[u8]) -> Option<NifTerm> {
        let (packet, bytes) = self.packet?;
        let offset = part.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
        (offset.checked_add(part.len())? <= bytes.len()).then(|| {
            // SAFETY: `packet` is a binary of this call, and the part was just found to lie in it.
            NifTerm(unsafe { enif_make_sub_binary(self.raw, packet, offset, part.len()) })
        })
    }

    /// The id of a key that is one of the very literals handed in, as those of a packet parsed here are.
    ///
    /// To find it by its address is cheaper than to look into the binary: ids mostly ascend, so it is
    /// looked for behind the one found last.
    #[inline]
    fn literal_key(&self, term: NifTerm) -> Option<u16> {
        let last = self.last_key.get();
        let ahead = self.keys.get(last..)?.iter().take(AHEAD).position(|&key| key == term)?;
        self.last_key.set(last.saturating_add(ahead));
        u16::try_from(self.last_key.get()).ok()
    }

    fn copy(&self, bytes: &[u8]) -> NifTerm {
        let mut term = ErlNifTerm::default();
        // SAFETY: the call returns `bytes.len()` writable bytes of the new binary `term`.
        unsafe {
            let target = enif_make_new_binary(self.raw, bytes.len(), &raw mut term);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        NifTerm(term)
    }
}

impl TermBuilder for NifTerms<'_> {
    type Term = NifTerm;

    #[inline]
    fn atom(&self, atom: Atom) -> NifTerm {
        match self.immediates.atoms.get(atom as usize) {
            Some(&term) => term,
            None => make_atom(self.env, atom),
        }
    }

    #[inline]
    fn integer(&self, value: u64) -> NifTerm {
        usize::try_from(value)
            .ok()
            .and_then(|value| self.immediates.integers.term(value))
            .unwrap_or_else(|| make_integer(self.env, value))
    }

    #[inline]
    fn binary(&self, bytes: &[u8]) -> NifTerm {
        self.part_of_packet(bytes).unwrap_or_else(|| self.copy(bytes))
    }

    #[inline]
    fn tuple<const N: usize>(&self, elements: [NifTerm; N]) -> NifTerm {
        let arity = u32::try_from(N).unwrap_or(u32::MAX);
        // SAFETY: `elements` are `N` terms of this call, and a `NifTerm` is nothing but a term.
        NifTerm(unsafe { enif_make_tuple_from_array(self.raw, elements.as_ptr().cast(), arity) })
    }

    #[inline]
    fn list(&self, elements: &mut Terms<NifTerm>) -> NifTerm {
        self.elements.set(self.elements.get().saturating_add(elements.len()));
        make_list(self.env, elements)
    }

    #[inline]
    fn key(&self, vendor: u16, id: u16) -> NifTerm {
        match self.keys.get(usize::from(id)) {
            Some(&key) if vendor == 0 => key,
            _ => {
                let ([v0, v1], [i0, i1]) = (vendor.to_be_bytes(), id.to_be_bytes());
                self.copy(&[v0, v1, i0, i1])
            }
        }
    }

    #[inline]
    fn name(&self, id: u16, name: &str) -> NifTerm {
        self.names.get(usize::from(id)).copied().unwrap_or_else(|| self.copy(name.as_bytes()))
    }
}

impl TermReader for NifTerms<'_> {
    type Input = NifTerm;

    #[inline]
    fn keep(&self, term: NifTerm) -> NifTerm {
        term
    }

    #[inline]
    fn is_atom(&self, term: NifTerm, atom: Atom) -> bool {
        term == self.atom(atom)
    }

    #[inline]
    fn is_binary(&self, term: NifTerm) -> bool {
        // SAFETY: `term` is a term of this call.
        unsafe { enif_is_binary(self.raw, term.0) != 0 }
    }

    #[inline]
    fn bytes(&self, term: NifTerm) -> Option<&[u8]> {
        if self.inspected.get() > inspected(self.scheduler) {
            self.is_exhausted.set(true);
            return None;
        }
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: on success the structure is filled in, and its bytes live as long as the call does.
        let bytes = unsafe {
            if enif_inspect_binary(self.raw, term.0, binary.as_mut_ptr()) == 0 {
                return None;
            }
            let binary = binary.assume_init_ref();
            if binary.size == 0 { &[] } else { slice::from_raw_parts(binary.data, binary.size) }
        };
        if bytes.len() > SHORT {
            self.inspected.set(self.inspected.get().saturating_add(bytes.len()));
        }
        Some(bytes)
    }

    #[inline]
    fn unsigned(&self, term: NifTerm) -> Option<u64> {
        if let Some(value) = self.immediates.integers.value(term) {
            return u64::try_from(value).ok();
        }
        let mut value = 0;
        // SAFETY: `term` is a term of this call, and `value` is writable.
        (unsafe { enif_get_uint64(self.raw, term.0, &raw mut value) } != 0).then_some(value)
    }

    #[inline]
    fn elements<const N: usize>(&self, term: NifTerm) -> Option<[NifTerm; N]> {
        tuple_elements(self.env, term)?.try_into().ok()
    }

    #[inline]
    fn each(&self, list: NifTerm, mut visit: impl FnMut(NifTerm) -> Option<()>) -> Option<()> {
        let (mut head, mut rest) = (ErlNifTerm::default(), list.0);
        // SAFETY: `rest` is a term of this call; on success head and tail are too.
        while unsafe { enif_get_list_cell(self.raw, rest, &raw mut head, &raw mut rest) } != 0 {
            visit(NifTerm(head))?;
        }
        (NifTerm(rest) == self.immediates.nil).then_some(())
    }

    #[inline]
    fn read_key(&self, term: NifTerm) -> Option<(u16, u16)> {
        match self.literal_key(term) {
            Some(id) => Some((0, id)),
            None => split_key(self.bytes(term)?),
        }
    }
}

impl From<Term<'_>> for NifTerm {
    fn from(term: Term<'_>) -> Self {
        Self(term.as_c_arg())
    }
}

/// The elements of a tuple; they live as long as the call does.
#[inline]
fn tuple_elements(env: Env<'_>, term: NifTerm) -> Option<&[NifTerm]> {
    let mut arity = 0;
    let mut elements = MaybeUninit::uninit();
    // SAFETY: on success `elements` points to `arity` terms of the tuple, which does not move in a call; a
    // `NifTerm` is nothing but a term.
    unsafe {
        if enif_get_tuple(env.as_c_arg(), term.0, &raw mut arity, elements.as_mut_ptr()) == 0 {
            return None;
        }
        let arity = usize::try_from(arity).ok()?;
        if arity == 0 { Some(&[]) } else { Some(slice::from_raw_parts(elements.assume_init().cast(), arity)) }
    }
}

/// A list of terms of `env`.
fn make_list(env: Env<'_>, elements: &[NifTerm]) -> NifTerm {
    let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
    // SAFETY: `elements` are at least `length` terms of `env`, and a `NifTerm` is nothing but a term.
    NifTerm(unsafe { enif_make_list_from_array(env.as_c_arg(), elements.as_ptr().cast(), length) })
}

fn make_integer(env: Env<'_>, value: u64) -> NifTerm {
    // SAFETY: `env` is an environment.
    NifTerm(unsafe { enif_make_uint64(env.as_c_arg(), value) })
}

fn make_atom(env: Env<'_>, atom: Atom) -> NifTerm {
    let name = atom.name();
    // SAFETY: the name is given with its length.
    NifTerm(unsafe { enif_make_atom_len(env.as_c_arg(), name.as_ptr().cast(), name.len()) })
}
