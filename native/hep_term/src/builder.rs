//! The operations on terms that the NIF and the port program implement.

use hep::Packet;
use smallvec::SmallVec;

/// The elements of a list; most packets need no allocation.
pub type Terms<T> = SmallVec<[T; 20]>;

/// Declares the atoms that terms are made with, and their names.
macro_rules! atoms {
    ( $( $(#[$about:meta])* $Atom:ident = $name:literal; )* ) => {
        /// The atoms of the views: a closed list, none comes from the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Atom {
            $( $(#[$about])* $Atom, )*
        }

        impl Atom {
            /// Every atom, in the order of the discriminants.
            pub const ALL: [Self; Self::COUNT] = [$( Self::$Atom ),*];
            const COUNT: usize = [$( $name ),*].len();

            /// The atom's text.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$Atom => $name, )* }
            }
        }
    };
}

atoms! {
    /// The tag of a successful result.
    Ok = "ok";
    /// The tag of an error.
    Error = "error";
    /// A field without a value.
    Undefined = "undefined";
    /// The tag of both views.
    Hep = "hep";
    /// [`NotHep`](hep::DecodeError::NotHep)
    NotHep = "not_hep";
    /// [`Truncated`](hep::DecodeError::Truncated)
    Truncated = "truncated";
    /// [`UnknownProtocolFamily`](hep::DecodeError::UnknownProtocolFamily)
    UnknownProtocolFamily = "unknown_protocol_family";
    /// [`InvalidHeaderLength`](hep::DecodeError::InvalidHeaderLength)
    InvalidHeaderLength = "invalid_header_length";
    /// [`InvalidTotalLength`](hep::DecodeError::InvalidTotalLength)
    InvalidTotalLength = "invalid_total_length";
    /// [`TruncatedChunk`](hep::DecodeError::TruncatedChunk)
    TruncatedChunk = "truncated_chunk";
    /// [`InvalidChunkLength`](hep::DecodeError::InvalidChunkLength)
    InvalidChunkLength = "invalid_chunk_length";
    /// [`InvalidChunk`](hep::DecodeError::InvalidChunk)
    InvalidChunk = "invalid_chunk";
    /// [`InvalidGzip`](hep::DecodeError::InvalidGzip)
    InvalidGzip = "invalid_gzip";
    /// [`Corrupt`](hep::GzipError::Corrupt)
    Corrupt = "corrupt";
    /// [`TooLarge`](hep::GzipError::TooLarge)
    TooLarge = "too_large";
    /// [`JsonError`](hep::JsonError)
    InvalidJson = "invalid_json";
    /// Not a `#hep{}`.
    InvalidHep = "invalid_hep";
    /// A field with an invalid value.
    InvalidField = "invalid_field";
    /// [`Missing`](hep::EncodeError::Missing)
    MissingField = "missing_field";
    /// [`Unsupported`](hep::EncodeError::Unsupported)
    UnsupportedField = "unsupported_field";
    /// [`UnsupportedPayloadType`](hep::EncodeError::UnsupportedPayloadType)
    UnsupportedPayloadType = "unsupported_payload_type";
    /// [`TooLarge`](hep::EncodeError::TooLarge)
    PacketTooLarge = "packet_too_large";
    /// A field of `#hep{}`.
    Version = "version";
    /// A field of `#hep{}`.
    Protocol = "protocol";
    /// A field of `#hep{}`.
    SrcIp = "src_ip";
    /// A field of `#hep{}`.
    SrcPort = "src_port";
    /// A field of `#hep{}`.
    DstIp = "dst_ip";
    /// A field of `#hep{}`.
    DstPort = "dst_port";
    /// A field of `#hep{}`.
    Timestamp = "timestamp";
    /// A field of `#hep{}`.
    NodeId = "node_id";
    /// A field of `#hep{}`.
    PayloadType = "payload_type";
    /// A field of `#hep{}`.
    Payload = "payload";
    /// A field of `#hep{}`.
    Chunks = "chunks";
    /// An option of encoding.
    AuthKey = "auth_key";
    /// An option of encoding.
    Compress = "compress";
    /// An option of decoding or encoding, or a value of one.
    HeaderLength = "header_length";
    /// An option of decoding or encoding, or a value of one.
    Strict = "strict";
    /// An option of decoding or encoding, or a value of one.
    Ignore = "ignore";
    /// An option of decoding or encoding, or a value of one.
    V2Order = "v2_order";
    /// An option of decoding or encoding, or a value of one.
    Auto = "auto";
    /// An option of decoding or encoding, or a value of one.
    Big = "big";
    /// An option of decoding or encoding, or a value of one.
    Little = "little";
    /// An option of decoding or encoding, or a value of one.
    CaptureId = "capture_id";
    /// An option of decoding or encoding, or a value of one.
    Keep = "keep";
    /// An option of decoding or encoding, or a value of one.
    Repair = "repair";
    /// An option of decoding or encoding, or a value of one.
    MaxInflated = "max_inflated";
    /// An option of decoding or encoding, or a value of one.
    V2Style = "v2_style";
    /// An option of decoding or encoding, or a value of one.
    Documented = "documented";
    /// An option of decoding or encoding, or a value of one.
    C = "c";
    /// An option of decoding or encoding, or a value of one.
    None = "none";
    /// An option of decoding or encoding, or a value of one.
    Forks = "forks";
    /// An option of decoding or encoding, or a value of one.
    Lengths = "lengths";
    /// An option of decoding or encoding, or a value of one.
    Lenient = "lenient";
    /// An option of decoding or encoding, or a value of one.
    Zlib = "zlib";
    /// An option of decoding or encoding, or a value of one.
    Gzip = "gzip";
    /// A payload that is not compressed.
    Plain = "plain";
    /// A payload that decoding inflates.
    Compressed = "compressed";
    /// A keep-alive's payload.
    KeepAlive = "keep_alive";
    /// A fact of a SIP message, or a value of one.
    Kind = "kind";
    /// A fact of a SIP message, or a value of one.
    Request = "request";
    /// A fact of a SIP message, or a value of one.
    Response = "response";
    /// A fact of a SIP message, or a value of one.
    Method = "method";
    /// A fact of a SIP message, or a value of one.
    Uri = "uri";
    /// A fact of a SIP message, or a value of one.
    Status = "status";
    /// A fact of a SIP message, or a value of one.
    Reason = "reason";
    /// A fact of a SIP message, or a value of one.
    CallId = "call_id";
    /// A fact of a SIP message, or a value of one.
    CSeq = "cseq";
    /// A fact of a SIP message, or a value of one.
    From = "from";
    /// A fact of a SIP message, or a value of one.
    To = "to";
    /// A fact of a SIP message, or a value of one.
    Display = "display";
    /// A fact of a SIP message, or a value of one.
    User = "user";
    /// A fact of a SIP message, or a value of one.
    Host = "host";
    /// A fact of a SIP message, or a value of one.
    Port = "port";
    /// A fact of a SIP message, or a value of one.
    Tag = "tag";
    /// A fact of a SIP message, or a value of one.
    ViaBranch = "via_branch";
    /// A fact of a SIP message, or a value of one.
    UserAgent = "user_agent";
    /// A fact of a SIP message, or a value of one.
    ContentType = "content_type";
    /// A fact of a SIP message, or a value of one.
    ContentLength = "content_length";
    /// [`SipError::Empty`](hep_sip::SipError::Empty)
    Empty = "empty";
    /// [`SipError::NotSip`](hep_sip::SipError::NotSip)
    NotSip = "not_sip";
}

/// Makes terms.
pub trait TermBuilder {
    /// A term.
    type Term;

    /// Whether a call may take long. If not, a long call stops with
    /// [`Stop::TakesLong`](crate::Stop::TakesLong).
    #[inline]
    fn may_take_long(&self) -> bool {
        true
    }

    /// An atom.
    fn atom(&self, atom: Atom) -> Self::Term;

    /// A non-negative integer.
    fn integer(&self, value: u64) -> Self::Term;

    /// A binary: a sub-binary of the packet if the bytes are part of it, otherwise a copy.
    fn binary(&self, bytes: &[u8]) -> Self::Term;

    /// A new binary: the concatenated parts.
    fn joined(&self, parts: [&[u8]; 3]) -> Self::Term;

    /// A new binary: the packet as JSON.
    fn json(&self, packet: &Packet<'_>) -> Self::Term;

    /// Replaces the packet in gzip by the unpacked one: later binaries are sub-binaries of it. Returns
    /// its bytes at their new place.
    fn unpacked<'s>(&'s self, packet: &'s [u8]) -> &'s [u8];

    /// A tuple.
    fn tuple<const N: usize>(&self, elements: [Self::Term; N]) -> Self::Term;

    /// A proper list. Drains the collected elements.
    fn list(&self, elements: &mut Terms<Self::Term>) -> Self::Term;

    /// The binary `<<Vendor:16, Id:16>>`.
    fn key(&self, vendor: u16, id: u16) -> Self::Term;

    /// The name of a generic chunk, as a binary.
    fn name(&self, id: u16, name: &str) -> Self::Term;
}

/// Also makes maps.
pub trait MapBuilder: TermBuilder {
    /// A map. If a key occurs twice, it is empty.
    fn map(&self, facts: Terms<(Atom, Self::Term)>) -> Self::Term;
}

/// Reads the arguments of a call.
pub trait TermReader: TermBuilder {
    /// A term of the call.
    type Input: Copy;

    /// The same term as part of the result.
    fn keep(&self, term: Self::Input) -> Self::Term;

    /// Whether the term is the atom.
    fn is_atom(&self, term: Self::Input, atom: Atom) -> bool;

    /// Whether the term is a binary.
    fn is_binary(&self, term: Self::Input) -> bool;

    /// The bytes of a binary.
    fn bytes(&self, term: Self::Input) -> Option<&[u8]>;

    /// A non-negative integer.
    fn unsigned(&self, term: Self::Input) -> Option<u64>;

    /// The elements of a tuple of `N`.
    fn elements<const N: usize>(&self, term: Self::Input) -> Option<[Self::Input; N]>;

    /// Calls `visit` with each element, until one is an error. `Ok(false)` when the term is not a proper list.
    fn each<E>(&self, list: Self::Input, visit: impl FnMut(Self::Input) -> Result<(), E>) -> Result<bool, E>;

    /// The vendor and the id of a binary `<<Vendor:16, Id:16>>`.
    fn read_key(&self, term: Self::Input) -> Option<(u16, u16)> {
        split_key(self.bytes(term)?)
    }
}

/// The vendor and the id of `<<Vendor:16, Id:16>>`.
#[must_use]
pub fn split_key(key: &[u8]) -> Option<(u16, u16)> {
    let &[v0, v1, i0, i1] = key else { return None };
    Some((u16::from_be_bytes([v0, v1]), u16::from_be_bytes([i0, i1])))
}
