//! HEP and SIP in capture files.
//!
//! A [`Reader`] accepts the bytes of a file in parts of any size, and returns the HEP packets in it, and the SIP
//! messages that were captured without HEP. It does no input or output. Its memory is limited, whatever the file
//! contains.
//!
//! File formats: pcap and pcapng, in microseconds or nanoseconds, both byte orders, also in gzip. Link types: Ethernet
//! with
//! VLAN tags, Linux cooked 1 and 2, loopback, raw IP. IP fragments are reassembled, TCP streams are put in order.

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
