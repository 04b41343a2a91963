//! Terms of the BEAM.
//!
//! The NIF API is called directly, since a packet's terms are made thousands of times a millisecond:
//! `rustler::Term` carries its environment with each term, and a tuple of them is copied to make one.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::OnceLock;

use hep::Packet;
use hep_term::{Answer, Atom, MapBuilder, Stop, TermBuilder, TermReader, Terms, split_key};
use rustler::sys::{
    ErlNifBinary, ErlNifTerm, enif_consume_timeslice, enif_get_list_cell, enif_get_tuple, enif_get_uint64,
    enif_inspect_binary, enif_is_binary, enif_make_atom_len, enif_make_list_from_array,
    enif_make_map_from_arrays, enif_make_new_binary, enif_make_new_map, enif_make_sub_binary,
    enif_make_tuple_from_array, enif_make_uint64,
};
use rustler::{Env, Term};

/// The number of list elements charged as 1 % of a timeslice, which is a millisecond.
const ELEMENTS_PER_PERCENT: usize = 100;
/// The number of bytes of chunks charged as 1 %.
const BYTES_PER_PERCENT: usize = 4096;
/// The number of bytes of JSON read charged as 1 %.
const JSON_PER_PERCENT: usize = 128;

/// The total size of further long binaries that one call reads: unaligned ones are copied, and the copies live
/// as long as the call. It equals the port program's longest frame, so that both return the same results.
const MOST_READ: usize = 64 * 1024 * 1024;
/// Shorter binaries take no more memory than the list that contains them.
const SHORT: usize = 64;

/// A term of one call, or an immediate one.
#[derive(Clone, Copy, PartialEq)]
#[repr(transparent)]
pub(crate) struct NifTerm<'a>(ErlNifTerm, PhantomData<Env<'a>>);

/// Immediate terms: they are the same in every call, and have no part on a heap.
struct Immediates {
    atoms: [ErlNifTerm; Atom::ALL.len()],
    nil: ErlNifTerm,
    integers: Integers,
}

/// The integers below [`Integers::COUNT`], nearly all of a packet's header: made and read without a call of the NIF
/// API. Without this `encode v3` takes half as long again.
///
/// Their terms are words with a constant difference. This is verified: each of them is made once, at
/// load, and if one differs from the expected word, none is used.
struct Integers {
    /// The term of 0.
    zero: usize,
    /// The difference between two terms is `1 << shift`.
    shift: u32,
    /// The number of known terms: all or 0.
    known: usize,
}

static IMMEDIATES: OnceLock<Immediates> = OnceLock::new();

/// Makes the immediate terms, which never change while the VM runs.
pub(crate) fn load(env: Env<'_>, _info: Term<'_>) -> bool {
    immediates(env);
    true
}

fn immediates(env: Env<'_>) -> &'static Immediates {
    IMMEDIATES.get_or_init(|| Immediates {
        atoms: Atom::ALL.map(|atom| make_atom(env, atom.name()).0),
        nil: make_list(env, &[]).0,
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

    /// The word of a value's term, if the value is known.
    #[inline]
    const fn word(&self, value: usize) -> usize {
        self.zero.wrapping_add(value.unbounded_shl(self.shift))
    }

    #[inline]
    fn term<'a>(&self, value: usize) -> Option<NifTerm<'a>> {
        let word = self.word(value);
        // SAFETY: it was verified at load that the word is the value's term, see `learn`: a small integer is immediate.
        (value < self.known).then(|| unsafe { NifTerm::of_word(word) })
    }

    #[inline]
    fn value(&self, term: NifTerm<'_>) -> Option<usize> {
        // A difference that is not a multiple gets its highest bits set.
        let value = term.word().wrapping_sub(self.zero).rotate_right(self.shift);
        (value < self.known).then_some(value)
    }
}

impl NifTerm<'_> {
    /// Wraps a term.
    ///
    /// # Safety
    /// It is a term of the environment whose lifetime the result has, or an immediate term.
    #[inline]
    const unsafe fn of(term: ErlNifTerm) -> Self {
        Self(term, PhantomData)
    }

    /// Unwraps the term for the NIF API.
    #[inline]
    pub(crate) const fn raw(self) -> ErlNifTerm {
        self.0
    }

    #[inline]
    const fn word(self) -> usize {
        // SAFETY: a term is a word, as `erl_nif.h` declares it.
        unsafe { std::mem::transmute::<ErlNifTerm, usize>(self.0) }
    }

    /// # Safety
    /// The word is that of an immediate term.
    #[inline]
    const unsafe fn of_word(word: usize) -> Self {
        // SAFETY: a term is a word, as `erl_nif.h` declares it, and the caller passes that of an immediate term.
        unsafe { Self::of(std::mem::transmute::<usize, ErlNifTerm>(word)) }
    }
}

/// Literals passed by the caller. Most are evenly spaced in memory, so the address of a term shows which literal it may
/// be.
#[derive(Clone, Copy, Default)]
struct Literals<'a> {
    terms: &'a [NifTerm<'a>],
    first: usize,
    /// The number of literals per byte, times `1 << SHIFT`.
    per_byte: usize,
}

impl<'a> Literals<'a> {
    const SHIFT: u32 = usize::BITS / 2;

    fn of(terms: &'a [NifTerm<'a>]) -> Self {
        let &[first, second, ..] = terms else { return Self { terms, ..Self::default() } };
        let distance = second.word().wrapping_sub(first.word());
        // Rounded up, since the shift rounds down and could otherwise be one too low.
        let per_byte = 1_usize.unbounded_shl(Self::SHIFT).div_ceil(distance.max(1));
        Self { terms, first: first.word(), per_byte }
    }
}

/// The terms of one call.
pub(crate) struct NifTerms<'a> {
    env: Env<'a>,
    /// Whether the call is on a dirty scheduler.
    may_take_long: bool,
    immediates: &'static Immediates,
    /// The packet of the call, if any, and its bytes.
    packet: Cell<Option<(ErlNifTerm, &'a [u8])>>,
    /// The names of the generic chunks, by id: literal binaries passed by the caller. Without them `transform v3` takes
    /// a fifth longer.
    names: &'a [NifTerm<'a>],
    /// Their keys. Without them `parse v3` takes two fifths longer.
    keys: Literals<'a>,
    /// The number of list elements made so far.
    elements: Cell<usize>,
    /// The cost of the call's bytes, in hundredths of a timeslice.
    percent: usize,
    /// Whether the size of the call's binaries is known. It is unknown if computing it in Erlang would take longer than
    /// the call: then only binaries with a literal key are read, since these come from a packet that was parsed
    /// here.
    is_measured: bool,
    /// Whether there are other binaries.
    needs_size: Cell<bool>,
    /// The bytes of long binaries read so far.
    read: Cell<usize>,
}

impl<'a> NifTerms<'a> {
    #[inline]
    pub(crate) fn new(env: Env<'a>, may_take_long: bool) -> Self {
        Self {
            env,
            may_take_long,
            immediates: immediates(env),
            packet: Cell::new(None),
            names: &[],
            keys: Literals::default(),
            elements: Cell::new(0),
            percent: 0,
            is_measured: true,
            needs_size: Cell::new(false),
            read: Cell::new(0),
        }
    }

    /// Sets the packet of the call, and returns its bytes: binaries are made as sub-binaries of it. Anything but a
    /// binary is a bad argument.
    #[inline]
    pub(crate) fn packet(&mut self, packet: NifTerm<'a>) -> Answer<NifTerm<'a>, &'a [u8]> {
        let bytes = self.inspect(packet).ok_or(Stop::BadArgument)?;
        self.packet.set(Some((packet.0, bytes)));
        self.percent = bytes.len() / BYTES_PER_PERCENT;
        Ok(bytes)
    }

    /// Returns the bytes of the call's JSON. Anything but a binary is a bad argument.
    pub(crate) fn json(&mut self, json: NifTerm<'a>) -> Answer<NifTerm<'a>, &'a [u8]> {
        let bytes = self.inspect(json).ok_or(Stop::BadArgument)?;
        self.percent = bytes.len() / JSON_PER_PERCENT;
        Ok(bytes)
    }

    /// Sets `hep_registry:names()`; without them, names are made anew.
    #[inline]
    pub(crate) fn take_names(&mut self, names: NifTerm<'a>) {
        self.names = self.tuple_elements(names).unwrap_or_default();
    }

    /// Sets `hep_registry:keys()`; without them, keys are made anew.
    #[inline]
    pub(crate) fn take_keys(&mut self, keys: NifTerm<'a>) {
        self.keys = Literals::of(self.tuple_elements(keys).unwrap_or_default());
    }

    /// Sets the size of the binaries that the call reads, if it is known.
    #[inline]
    pub(crate) fn take_size(&mut self, size: NifTerm<'a>) -> Option<u64> {
        let size = self.unsigned(size);
        self.is_measured = size.is_some();
        size
    }

    /// Whether the call must be repeated with the size.
    #[inline]
    pub(crate) fn needs_size(&self) -> bool {
        self.needs_size.get()
    }

    /// Reports the cost of the call to the scheduler.
    #[inline]
    pub(crate) fn consume_timeslice(&self) {
        let percent = (self.elements.get() / ELEMENTS_PER_PERCENT).max(self.percent);
        if percent > 0 {
            // SAFETY: `env` is the environment of this call.
            unsafe {
                enif_consume_timeslice(self.env.as_c_arg(), i32::try_from(percent.min(100)).unwrap_or(100))
            };
        }
    }

    /// The bytes of a binary.
    #[inline]
    fn inspect(&self, term: NifTerm<'a>) -> Option<&'a [u8]> {
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: `term` is a term of this call; on success the structure is filled in, and its bytes live as long as
        // the call does.
        unsafe {
            if enif_inspect_binary(self.env.as_c_arg(), term.0, binary.as_mut_ptr()) == 0 {
                return None;
            }
            let binary = binary.assume_init_ref();
            Some(if binary.size == 0 { &[] } else { slice::from_raw_parts(binary.data, binary.size) })
        }
    }

    /// The elements of a tuple.
    #[inline]
    fn tuple_elements(&self, term: NifTerm<'a>) -> Option<&'a [NifTerm<'a>]> {
        let mut arity = 0;
        let mut elements = MaybeUninit::uninit();
        // SAFETY: on success `elements` points to `arity` terms of the tuple, which does not move in a call; a
        // `NifTerm` is nothing but a term.
        unsafe {
            if enif_get_tuple(self.env.as_c_arg(), term.0, &raw mut arity, elements.as_mut_ptr()) == 0 {
                return None;
            }
            let arity = usize::try_from(arity).ok()?;
            Some(if arity == 0 { &[] } else { slice::from_raw_parts(elements.assume_init().cast(), arity) })
        }
    }

    /// The sub-binary for `part`, if it is inside the packet.
    #[inline]
    fn part_of_packet(&self, part: &[u8]) -> Option<NifTerm<'a>> {
        let (packet, bytes) = self.packet.get()?;
        let offset = part.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
        (offset.checked_add(part.len())? <= bytes.len()).then(|| {
            // SAFETY: `packet` is a binary of this call, and the part was just found to lie in it.
            unsafe { NifTerm::of(enif_make_sub_binary(self.env.as_c_arg(), packet, offset, part.len())) }
        })
    }

    /// The id of a key that is identical to one of the literals, like the keys of a packet parsed here.
    ///
    /// Finding it by its address is cheaper than reading the binary, which makes `transform v3` a sixth longer, and
    /// needs no size.
    #[inline]
    fn literal_key(&self, term: NifTerm<'a>) -> Option<u16> {
        let Literals { terms, first, per_byte } = self.keys;
        let guess = term.word().wrapping_sub(first).wrapping_mul(per_byte) >> Literals::SHIFT;
        (*terms.get(guess)? == term).then_some(())?;
        u16::try_from(guess).ok()
    }

    fn copy(&self, bytes: &[u8]) -> NifTerm<'a> {
        self.new_binary([bytes]).0
    }

    /// A new binary of parts, and its bytes.
    #[inline]
    fn new_binary<const N: usize>(&self, parts: [&[u8]; N]) -> (NifTerm<'a>, &'a [u8]) {
        let mut term = ErlNifTerm::default();
        let size = parts.iter().map(|part| part.len()).sum();
        // SAFETY: the call returns `size` writable bytes of the new binary `term`: the parts fill them one after the
        // other. They live as long as the call does, and are not written to later.
        unsafe {
            let start = enif_make_new_binary(self.env.as_c_arg(), size, &raw mut term);
            let mut target = start;
            for part in parts {
                std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
                target = target.add(part.len());
            }
            (NifTerm::of(term), if size == 0 { &[] } else { slice::from_raw_parts(start, size) })
        }
    }
}

impl<'a> TermBuilder for NifTerms<'a> {
    type Term = NifTerm<'a>;

    #[inline]
    fn may_take_long(&self) -> bool {
        self.may_take_long
    }

    #[inline]
    fn atom(&self, atom: Atom) -> NifTerm<'a> {
        match self.immediates.atoms.get(atom as usize) {
            // SAFETY: an atom is an immediate term.
            Some(&term) => unsafe { NifTerm::of(term) },
            None => make_atom(self.env, atom.name()),
        }
    }

    #[inline]
    fn integer(&self, value: u64) -> NifTerm<'a> {
        usize::try_from(value)
            .ok()
            .and_then(|value| self.immediates.integers.term(value))
            .unwrap_or_else(|| make_integer(self.env, value))
    }

    #[inline]
    fn binary(&self, bytes: &[u8]) -> NifTerm<'a> {
        self.part_of_packet(bytes).unwrap_or_else(|| self.copy(bytes))
    }

    #[inline]
    fn joined(&self, parts: [&[u8]; 3]) -> NifTerm<'a> {
        self.new_binary(parts).0
    }

    fn json(&self, packet: &Packet<'_>) -> NifTerm<'a> {
        self.copy(&hep::to_json(packet))
    }

    fn unpacked<'s>(&'s self, packet: &'s [u8]) -> &'s [u8] {
        let (term, bytes) = self.new_binary([packet]);
        self.packet.set(Some((term.0, bytes)));
        bytes
    }

    #[inline]
    fn tuple<const N: usize>(&self, elements: [NifTerm<'a>; N]) -> NifTerm<'a> {
        let arity = u32::try_from(N).unwrap_or(u32::MAX);
        // SAFETY: `elements` are `N` terms of this call, and a `NifTerm` is nothing but a term.
        unsafe {
            NifTerm::of(enif_make_tuple_from_array(self.env.as_c_arg(), elements.as_ptr().cast(), arity))
        }
    }

    #[inline]
    fn list(&self, elements: &mut Terms<NifTerm<'a>>) -> NifTerm<'a> {
        self.elements.set(self.elements.get().saturating_add(elements.len()));
        make_list(self.env, elements)
    }

    #[inline]
    fn key(&self, vendor: u16, id: u16) -> NifTerm<'a> {
        match self.keys.terms.get(usize::from(id)) {
            Some(&key) if vendor == 0 => key,
            _ => {
                let ([v0, v1], [i0, i1]) = (vendor.to_be_bytes(), id.to_be_bytes());
                self.copy(&[v0, v1, i0, i1])
            }
        }
    }

    #[inline]
    fn name(&self, id: u16, name: &str) -> NifTerm<'a> {
        self.names.get(usize::from(id)).copied().unwrap_or_else(|| self.copy(name.as_bytes()))
    }
}

impl<'a> MapBuilder for NifTerms<'a> {
    fn map(&self, facts: Terms<(Atom, NifTerm<'a>)>) -> NifTerm<'a> {
        let (keys, values): (Terms<_>, Terms<_>) =
            facts.into_iter().map(|(name, value)| (self.atom(name), value)).unzip();
        let mut map = ErlNifTerm::default();
        // SAFETY: keys and values are terms of this call, as many of each, and a `NifTerm` is nothing but a term. If
        // there is no map, since a key occurs twice, `map` would not be a term.
        unsafe {
            let is_made = enif_make_map_from_arrays(
                self.env.as_c_arg(),
                keys.as_ptr().cast(),
                values.as_ptr().cast(),
                keys.len(),
                &raw mut map,
            );
            NifTerm::of(if is_made == 0 { enif_make_new_map(self.env.as_c_arg()) } else { map })
        }
    }
}

impl<'a> TermReader for NifTerms<'a> {
    type Input = NifTerm<'a>;

    #[inline]
    fn keep(&self, term: NifTerm<'a>) -> NifTerm<'a> {
        term
    }

    #[inline]
    fn is_atom(&self, term: NifTerm<'a>, atom: Atom) -> bool {
        term == self.atom(atom)
    }

    #[inline]
    fn is_binary(&self, term: NifTerm<'a>) -> bool {
        // SAFETY: `term` is a term of this call.
        unsafe { enif_is_binary(self.env.as_c_arg(), term.0) != 0 }
    }

    #[inline]
    fn bytes(&self, term: NifTerm<'a>) -> Option<&[u8]> {
        if self.read.get() > MOST_READ {
            return None;
        }
        let bytes = self.inspect(term)?;
        if bytes.len() > SHORT {
            self.read.set(self.read.get().saturating_add(bytes.len()));
        }
        Some(bytes)
    }

    #[inline]
    fn unsigned(&self, term: NifTerm<'a>) -> Option<u64> {
        if let Some(value) = self.immediates.integers.value(term) {
            return u64::try_from(value).ok();
        }
        let mut value = 0;
        // SAFETY: `term` is a term of this call, and `value` is writable.
        (unsafe { enif_get_uint64(self.env.as_c_arg(), term.0, &raw mut value) } != 0).then_some(value)
    }

    #[inline]
    fn elements<const N: usize>(&self, term: NifTerm<'a>) -> Option<[NifTerm<'a>; N]> {
        self.tuple_elements(term)?.try_into().ok()
    }

    #[inline]
    fn each<E>(
        &self,
        list: NifTerm<'a>,
        mut visit: impl FnMut(NifTerm<'a>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let (mut head, mut rest) = (ErlNifTerm::default(), list.0);
        // SAFETY: `rest` is a term of this call; on success head and tail are too.
        while unsafe { enif_get_list_cell(self.env.as_c_arg(), rest, &raw mut head, &raw mut rest) } != 0 {
            // SAFETY: `head` is the head of a list of this call.
            visit(unsafe { NifTerm::of(head) })?;
        }
        Ok(rest == self.immediates.nil)
    }

    #[inline]
    fn read_key(&self, term: NifTerm<'a>) -> Option<(u16, u16)> {
        match self.literal_key(term) {
            Some(id) => Some((0, id)),
            None if self.is_measured => split_key(self.bytes(term)?),
            None => {
                self.needs_size.set(true);
                None
            }
        }
    }
}

/// A list of terms of `env`.
fn make_list<'a>(env: Env<'a>, elements: &[NifTerm<'a>]) -> NifTerm<'a> {
    let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
    // SAFETY: `elements` are at least `length` terms of `env`, and a `NifTerm` is nothing but a term.
    unsafe { NifTerm::of(enif_make_list_from_array(env.as_c_arg(), elements.as_ptr().cast(), length)) }
}

fn make_integer(env: Env<'_>, value: u64) -> NifTerm<'_> {
    // SAFETY: `env` is an environment that lives.
    unsafe { NifTerm::of(enif_make_uint64(env.as_c_arg(), value)) }
}

pub(crate) fn make_atom<'a>(env: Env<'a>, name: &str) -> NifTerm<'a> {
    // SAFETY: `env` is an environment that lives, and the name is given with its length.
    unsafe { NifTerm::of(enif_make_atom_len(env.as_c_arg(), name.as_ptr().cast(), name.len())) }
}
