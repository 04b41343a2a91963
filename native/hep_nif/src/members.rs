//! Gzip members that arrive in parts: the data inflated so far is in a resource.
//!
//! Both calls run on a dirty scheduler, even with a few bytes: empty blocks of deflate have 10 bits each, and take
//! far longer than their size suggests.

use std::sync::{Mutex, PoisonError};

use hep::{GzipError, MAX_PACKET, Member, Unpacked};
use rustler::{Binary, Encoder, Env, OwnedBinary, Resource, ResourceArc, Term};

mod atoms {
    rustler::atoms! { ok, partial, invalid, stale }
}

/// A member that is being read. Earlier states cannot be restored: the step counts the calls, and a call with an older
/// step is `stale`.
struct PartialMember(Mutex<State>);

#[rustler::resource_impl]
impl Resource for PartialMember {}

struct State {
    step: u64,
    /// None once it is complete or invalid, so that its memory is freed before the garbage collection.
    member: Option<Member>,
}

/// `{ok, Packet, Used} | {partial, Member, Step} | invalid`: the member that the bytes begin with.
#[rustler::nif(schedule = "DirtyCpu")]
fn unpack<'a>(env: Env<'a>, bytes: Binary<'a>) -> Term<'a> {
    let mut member = Member::new(MAX_PACKET);
    match member.feed(&bytes) {
        Ok(Unpacked::Partial) => {
            let state = State { step: 0, member: Some(member) };
            (atoms::partial(), ResourceArc::new(PartialMember(Mutex::new(state))), 0).encode(env)
        }
        result => answer(env, result),
    }
}

/// `{ok, Packet, Used} | {partial, Member, Step} | invalid | stale`: with the member's next bytes.
#[rustler::nif(schedule = "DirtyCpu")]
fn unpack_more<'a>(
    env: Env<'a>,
    partial: ResourceArc<PartialMember>,
    step: u64,
    bytes: Binary<'a>,
) -> Term<'a> {
    let mut state = partial.0.lock().unwrap_or_else(PoisonError::into_inner);
    let known = state.step;
    let Some(mut member) = state.member.take_if(|_| known == step) else {
        return atoms::stale().encode(env);
    };
    match member.feed(&bytes) {
        Ok(Unpacked::Partial) => {
            let next = step.saturating_add(1);
            *state = State { step: next, member: Some(member) };
            drop(state);
            (atoms::partial(), partial, next).encode(env)
        }
        result => answer(env, result),
    }
}

fn answer(env: Env<'_>, result: Result<Unpacked, GzipError>) -> Term<'_> {
    let Ok(Unpacked::Complete { data, used }) = result else { return atoms::invalid().encode(env) };
    let mut packet = OwnedBinary::new(data.len());
    packet.as_mut_slice().copy_from_slice(&data);
    (atoms::ok(), packet.release(env), used).encode(env)
}
