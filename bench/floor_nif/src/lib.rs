//! The lower bound of the benchmark: builds the terms of one packet that is known beforehand.
//!
//! The NIF builds the terms that `hep:decode/1` returns for the version 3 packet in `hep_bench.erl`, but reads nothing:
//! all numbers are constants. It builds each term with a call of the NIF API, as NIFs do; `hep_nif` avoids these calls
//! for small integers. It is a part of the benchmark, not of the library.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rustler::sys::{
    ErlNifBinary, ErlNifEnv, ErlNifTerm, c_int, enif_inspect_binary, enif_make_atom_len, enif_make_badarg,
    enif_make_list_from_array, enif_make_sub_binary, enif_make_tuple_from_array, enif_make_uint64,
};
use rustler::{Env, SchedulerFlags, Term};

rustler::init!("hep_floor", load = load);

// As in `hep_nif`: `#[rustler::nif]` would allocate for the arguments.
inventory::submit! {
    rustler::Nif {
        name: c"decode".as_ptr(),
        arity: 1,
        flags: SchedulerFlags::Normal as u32,
        raw_func: decode,
    }
}

/// The size of the packet.
const PACKET: usize = 690;
/// Offset and length of its authenticate key, correlation id and payload.
const AUTH_KEY: (usize, usize) = (99, 5);
const CORRELATION_ID: (usize, usize) = (110, 34);
const PAYLOAD: (usize, usize) = (150, 540);

/// `ok` and `hep`.
static ATOMS: OnceLock<[ErlNifTerm; 2]> = OnceLock::new();

fn load(env: Env<'_>, _info: Term<'_>) -> bool {
    ATOMS.get_or_init(|| ["ok", "hep"].map(|name| make_atom(env.as_c_arg(), name)));
    true
}

unsafe extern "C" fn decode(raw: *mut ErlNifEnv, _arity: c_int, arguments: *const ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the VM calls with one argument, a term of `raw`.
    unsafe { known(raw, *arguments).unwrap_or_else(|| enif_make_badarg(raw)) }
}

/// # Safety
/// `raw` is the environment of a call, and `packet` a term of it.
unsafe fn known(raw: *mut ErlNifEnv, packet: ErlNifTerm) -> Option<ErlNifTerm> {
    let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
    // SAFETY: on success the structure is initialised.
    unsafe {
        if enif_inspect_binary(raw, packet, binary.as_mut_ptr()) == 0
            || binary.assume_init_ref().size != PACKET
        {
            return None;
        }
    }
    let &[ok, hep] = ATOMS.get()?;
    let terms = Terms { raw, packet };
    let record = terms.tuple([
        hep,
        terms.integer(3),
        terms.integer(2),
        terms.integer(17),
        terms.tuple([192, 0, 2, 1].map(|octet| terms.integer(octet))),
        terms.integer(5060),
        terms.tuple([192, 0, 2, 2].map(|octet| terms.integer(octet))),
        terms.integer(5062),
        terms.tuple([1_700, 123_456, 654_321].map(|part| terms.integer(part))),
        terms.integer(2002),
        terms.integer(1),
        terms.part(PAYLOAD),
        terms.list(&[terms.chunk(0x0e, AUTH_KEY), terms.chunk(0x11, CORRELATION_ID)]),
    ]);
    Some(terms.tuple([ok, record]))
}

/// The terms of one call.
struct Terms {
    raw: *mut ErlNifEnv,
    /// A binary of `PACKET` bytes.
    packet: ErlNifTerm,
}

impl Terms {
    #[inline]
    fn integer(&self, value: u64) -> ErlNifTerm {
        // SAFETY: `raw` is the environment of this call.
        unsafe { enif_make_uint64(self.raw, value) }
    }

    #[inline]
    fn part(&self, (offset, length): (usize, usize)) -> ErlNifTerm {
        // SAFETY: `packet` is a binary of `raw` that contains the parts above.
        unsafe { enif_make_sub_binary(self.raw, self.packet, offset, length) }
    }

    #[inline]
    fn tuple<const N: usize>(&self, elements: [ErlNifTerm; N]) -> ErlNifTerm {
        let arity = u32::try_from(N).unwrap_or(u32::MAX);
        // SAFETY: `elements` are `N` terms of `raw`.
        unsafe { enif_make_tuple_from_array(self.raw, elements.as_ptr(), arity) }
    }

    #[inline]
    fn list(&self, elements: &[ErlNifTerm]) -> ErlNifTerm {
        let length = u32::try_from(elements.len()).unwrap_or(u32::MAX);
        // SAFETY: `elements` are at least `length` terms of `raw`.
        unsafe { enif_make_list_from_array(self.raw, elements.as_ptr(), length) }
    }

    /// `{{0, Id}, {Length, Value}}`
    #[inline]
    fn chunk(&self, id: u64, value: (usize, usize)) -> ErlNifTerm {
        let length = u64::try_from(value.1).unwrap_or(u64::MAX);
        self.tuple([
            self.tuple([self.integer(0), self.integer(id)]),
            self.tuple([self.integer(length), self.part(value)]),
        ])
    }
}

fn make_atom(raw: *mut ErlNifEnv, name: &str) -> ErlNifTerm {
    // SAFETY: the name is given with its length.
    unsafe { enif_make_atom_len(raw, name.as_ptr().cast(), name.len()) }
}
