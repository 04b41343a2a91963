//! Turns functions of this crate into NIFs, and moves long calls to a dirty scheduler.
//!
//! A NIF has one argument more than its function: the size of the binaries that it reads, see `hep_size`. The NIF
//! API returns a binary's size only after copying an unaligned one, which takes 20 ms and more for a large one. So
//! a call moves before it reads binaries larger than a datagram. Any other term in place of the size means
//! that it was not computed: the call returns that term if it needs the size.

use std::panic::{self, AssertUnwindSafe};

use hep_term::{Answer, Stop};
use rustler::sys::{
    ErlNifEnv, ErlNifTerm, c_char, c_int, enif_make_badarg, enif_raise_exception, enif_schedule_nif,
};
use rustler::{Env, SchedulerFlags};

use crate::terms::{NifTerm, NifTerms, make_atom};

/// The size of the largest datagram.
const DATAGRAM: u64 = 0xffff;

/// Turns functions into NIFs of the same names. (`#[rustler::nif]` provides no function that could be rescheduled.)
macro_rules! nifs {
    ( $( $function:ident ),* ) => { $(
        inventory::submit! {
            rustler::Nif {
                name: concat!(stringify!($function), "\0").as_ptr().cast(),
                arity: $crate::calls::arity($function),
                flags: rustler::SchedulerFlags::Normal as u32,
                raw_func: {
                    unsafe extern "C" fn nif<const IS_DIRTY: bool>(
                        env: *mut rustler::sys::ErlNifEnv,
                        arity: rustler::sys::c_int,
                        arguments: *const rustler::sys::ErlNifTerm,
                    ) -> rustler::sys::ErlNifTerm {
                        let name = concat!(stringify!($function), "\0").as_ptr().cast();
                        let dirty = $crate::calls::DirtyNif { name, arity, nif: nif::<true> };
                        // SAFETY: the VM calls with as many arguments as `arity` says, all of them terms of `env`.
                        unsafe { $crate::calls::call(env, arguments, (!IS_DIRTY).then_some(dirty), $function) }
                    }
                    nif::<false>
                },
            }
        }
    )* };
}
pub(crate) use nifs;

/// The form of a NIF that runs on a dirty scheduler.
pub(crate) struct DirtyNif {
    pub(crate) name: *const c_char,
    pub(crate) arity: c_int,
    pub(crate) nif: unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm,
}

/// The number of arguments of a function's NIF: the function's, and the size.
#[expect(clippy::cast_possible_truncation, reason = "a function of the BEAM has at most 255 arguments")]
pub(crate) const fn arity<const N: usize>(
    _function: for<'a> fn(&mut NifTerms<'a>, [NifTerm<'a>; N]) -> Answer<NifTerm<'a>>,
) -> u32 {
    N.saturating_add(1) as u32
}

/// One call of a NIF, which may move to `dirty`. A panic is caught and raises `nif_panicked`, as with
/// rustler; no panic is known.
///
/// # Safety
/// `raw` is the environment of a call, `arguments` are `N` terms of it and one more, and `dirty` has a name that ends
/// with a NUL, and a NIF that takes these arguments.
#[inline]
pub(crate) unsafe fn call<const N: usize>(
    raw: *mut ErlNifEnv,
    arguments: *const ErlNifTerm,
    dirty: Option<DirtyNif>,
    function: impl for<'a> FnOnce(&mut NifTerms<'a>, [NifTerm<'a>; N]) -> Answer<NifTerm<'a>>,
) -> ErlNifTerm {
    // SAFETY: `raw` is the environment of a call. It is this one's only, and `function`, which takes any lifetime, lets
    // neither a term nor its bytes out.
    let env = unsafe { Env::new(&raw, raw) };
    // SAFETY: there are `N` of them and one more, and a `NifTerm` is nothing but a term.
    let (terms, size) =
        unsafe { (*arguments.cast::<[NifTerm<'_>; N]>(), *arguments.cast::<NifTerm<'_>>().add(N)) };
    let answer = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut builder = NifTerms::new(env, dirty.is_none());
        if dirty.is_some() && builder.take_size(size).is_some_and(|size| size > DATAGRAM) {
            return Err(Stop::TakesLong);
        }
        let answer = function(&mut builder, terms);
        builder.consume_timeslice();
        if builder.needs_size() { Ok(size) } else { answer }
    }));
    // SAFETY: `raw` is the environment of the call, which returns what is made here at once; `dirty` takes the same
    // arguments.
    unsafe {
        match (answer, dirty) {
            (Ok(Ok(answer) | Err(Stop::Error(answer))), _) => answer.raw(),
            (Ok(Err(Stop::TakesLong)), Some(DirtyNif { name, arity, nif })) => {
                enif_schedule_nif(raw, name, SchedulerFlags::DirtyCpu as c_int, nif, arity, arguments)
            }
            (Ok(Err(Stop::BadArgument | Stop::TakesLong)), _) => enif_make_badarg(raw),
            (Err(_), _) => enif_raise_exception(raw, make_atom(env, "nif_panicked").raw()),
        }
    }
}
