//! The floor of the benchmark: the terms of one packet that is known beforehand.
//!
//! The NIF makes what `hep:decode/1` makes of the version 3 packet in `hep_bench.erl`, with the same calls
//! of the NIF API, but reads nothing: every number below is written down, and its term made beforehand. What `hep:decode/1` takes beyond
//! it is the price of parsing. It belongs to the benchmark, not to the library.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rustler::sys::{
    ErlNifBinary, ErlNifEnv, ErlNifTerm, c_int, enif_inspect_binary, enif_make_atom_len, enif_make_badarg,
    enif_make_list_from_array, enif_make_sub_binary, enif_make_tuple_from_array, enif_make_uint64,
};
use rustler::{Env, SchedulerFlags, Term};

rustler::init!("hep_floor", load = load);

// As in `hep_nif`: `#[rustler::nif]` would allocate for the arguments.
rustler::codegen_runtime::inventory::submit! {
    rustler::Nif {
        name: c"decode".as_ptr(),
        arity: 1,
        flags: SchedulerFlags::Normal as u32,
        raw_func: decode,
    }
}

/// The size of the one packet.
const PACKET: usize = 690;
/// Where its authenticate key, correlation id and payload begin, and how long they are.
const AUTH_KEY: (usize, usize) = (99, 5);
const CORRELATION_ID: (usize, usize) = (110, 34);
const PAYLOAD: (usize, usize) = (150, 540);

/// What stays the same in every call and so is made once: `ok`, `hep`, and the small integers.
static KNOWN: OnceLock<Known> = OnceLock::new();

struct Known {
    ok: ErlNifTerm,
    hep: ErlNifTerm,
    /// The version, the family, the protocol.
    begin: [ErlNifTerm; 3],
    src_ip: [ErlNifTerm; 4],
    src_port: ErlNifTerm,
    dst_ip: [ErlNifTerm; 4],
    dst_port: ErlNifTerm,
    time: [ErlNifTerm; 3],
    /// The capture id, the payload type.
    end: [ErlNifTerm; 2],
    /// Vendor, id and length of either chunk.
    chunks: [[ErlNifTerm; 3]; 2],
}

fn load(env: Env<'_>, _info: Term<'_>) -> bool {
    let raw = env.as_c_arg();
    // SAFETY: `raw` is the environment of this call.
    let integer = |value: u64| unsafe { enif_make_uint64(raw, value) };
    let length = |(_, length): (usize, usize)| integer(u64::try_from(length).unwrap_or(u64::MAX));
    KNOWN.get_or_init(|| Known {
        ok: make_atom(raw, "ok"),
        hep: make_atom(raw, "hep"),
        begin: [3, 2, 17].map(integer),
        src_ip: [192, 0, 2, 1].map(integer),
        src_port: integer(5060),
        dst_ip: [192, 0, 2, 2].map(integer),
        dst_port: integer(5062),
        time: [1_700, 123_456, 654_321].map(integer),
        end: [2002, 1].map(integer),
        chunks: [
            [integer(0), integer(0x0e), length(AUTH_KEY)],
            [integer(0), integer(0x11), length(CORRELATION_ID)],
        ],
    });
    true
}

unsafe extern "C" fn decode(raw: *mut ErlNifEnv, _arity: c_int, arguments: *const ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the VM calls with the one argument, a term of `raw`.
    unsafe { known(raw, *arguments).unwrap_or_else(|| enif_make_badarg(raw)) }
}

/// # Safety
/// `raw` is the environment of a call, and `packet` a term of it.
unsafe fn known(raw: *mut ErlNifEnv, packet: ErlNifTerm) -> Option<ErlNifTerm> {
    let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
    // SAFETY: on success the structure is filled in.
    unsafe {
        if enif_inspect_binary(raw, packet, binary.as_mut_ptr()) == 0
            || binary.assume_init_ref().size != PACKET
        {
            return None;
        }
    }
    let known = KNOWN.get()?;
    let terms = Terms { raw, packet };
    let ([version, family, protocol], [capture_id, payload_type]) = (known.begin, known.end);
    let [auth_key, correlation_id] = known.chunks;
    let record = terms.tuple([
        known.hep,
        version,
        family,
        protocol,
        terms.tuple(known.src_ip),
        known.src_port,
        terms.tuple(known.dst_ip),
        known.dst_port,
        terms.tuple(known.time),
        capture_id,
        payload_type,
        terms.part(PAYLOAD),
        terms.list(&[terms.chunk(auth_key, AUTH_KEY), terms.chunk(correlation_id, CORRELATION_ID)]),
    ]);
    Some(terms.tuple([known.ok, record]))
}

/// The terms of one call.
struct Terms {
    raw: *mut ErlNifEnv,
    /// A binary of `PACKET` bytes.
    packet: ErlNifTerm,
}

impl Terms {
    #[inline]
    fn part(&self, (offset, length): (usize, usize)) -> ErlNifTerm {
        // SAFETY: `packet` is a binary of `raw`, and the parts above lie in it.
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

    /// `{{Vendor, Id}, {Length, Value}}`
    #[inline]
    fn chunk(&self, [vendor, id, length]: [ErlNifTerm; 3], value: (usize, usize)) -> ErlNifTerm {
        self.tuple([self.tuple([vendor, id]), self.tuple([length, self.part(value)])])
    }
}

fn make_atom(raw: *mut ErlNifEnv, name: &str) -> ErlNifTerm {
    // SAFETY: the name is given with its length.
    unsafe { enif_make_atom_len(raw, name.as_ptr().cast(), name.len()) }
}
