//! HEP and SIP in capture files.
//!
//! A [`Reader`] is given the bytes of a file as they come, and yields what is inside: HEP packets, and SIP messages that
//! were captured without HEP. It does no input or output. Its memory is bounded, whatever the file says.
//!
//! File forms: pcap and pcapng, in microseconds or nanoseconds, both byte orders, also in gzip. Link types: Ethernet with
//! VLAN tags, Linux cooked 1 and 2, loopback, raw IP. IP fragments are put together, TCP streams are put in order.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::arithmetic_side_effects,
        reason = "a test may panic"
    )
)]

mod file;
mod fragments;
mod inside;
mod ip;
mod link;
mod messages;
mod reader;
mod source;
mod streams;

pub use file::{FileError, Reason};
pub use inside::Inside;
pub use reader::{Found, Next, Options, Reader, Stats};
