//! A lock on a file, for `hep_spool`: the system releases it when the VM ends in any way. OTP has no file locks.

#![expect(clippy::needless_pass_by_value, reason = "rustler passes arguments by value")]

use std::fs::{File, OpenOptions, TryLockError};
use std::sync::{Mutex, PoisonError};

use rustler::{Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term, resource_impl};

rustler::atoms! { ok, error, locked, closed, errno }

/// `None` if it is released.
struct Lock(Mutex<Option<File>>);

impl Lock {
    fn release(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[resource_impl]
impl Resource for Lock {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.release();
    }
}

/// Locks a file that exists, for the calling process.
#[rustler::nif(schedule = "DirtyIo")]
fn file_lock<'a>(env: Env<'a>, path: &str) -> Term<'a> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(failure) => return (error(), (errno(), failure.raw_os_error().unwrap_or_default())).encode(env),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return (error(), locked()).encode(env),
        Err(TryLockError::Error(failure)) => {
            return (error(), (errno(), failure.raw_os_error().unwrap_or_default())).encode(env);
        }
    }
    let lock = ResourceArc::new(Lock(Mutex::new(Some(file))));
    match env.monitor(&lock, &env.pid()) {
        Some(_) => (ok(), lock).encode(env),
        // The process is terminating.
        None => (error(), closed()).encode(env),
    }
}

#[rustler::nif(schedule = "DirtyIo")]
fn file_unlock(lock: ResourceArc<Lock>) -> rustler::Atom {
    lock.release();
    ok()
}
