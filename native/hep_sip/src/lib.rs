//! Reads the main fields of SIP messages.
//!
//! Capture tools need a few facts about each message: the method or the status, the Call-ID, who calls whom. This crate
//! reads these from the bytes of the message without copying, and ignores the rest. It follows RFC 3261 and is
//! lenient, since a capture tool shows what was sent: it accepts compact names, folded headers, bare line feeds,
//! invalid UTF-8 and truncated messages.
//!
//! ```
//! let message = b"INVITE sip:bob@example.org SIP/2.0\r\n\
//!     v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK776\r\n\
//!     f: \"Alice\" <sip:alice@example.com>;tag=1928\r\n\
//!     t: <sip:bob@example.org>\r\n\
//!     i: a84b4c76\r\n\
//!     CSeq: 314159 INVITE\r\n\r\n";
//! let summary = hep_sip::summary(message)?;
//! assert_eq!(summary.start, hep_sip::Start::Request { method: b"INVITE", uri: b"sip:bob@example.org" });
//! assert_eq!(summary.call_id.as_deref(), Some(&b"a84b4c76"[..]));
//! assert_eq!(summary.from.and_then(|from| from.user), Some(&b"alice"[..]));
//! # Ok::<(), hep_sip::SipError>(())
//! ```

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

mod address;
mod message;
mod name;
mod summary;

pub use address::Address;
pub use message::{Header, Headers, Message, SipError, Start};
pub use name::same_header;
pub use summary::{Summary, summary};
