//! The numbers of the protocol and their names: generic chunks, vendors, payload types.
//!
//! They are defined only here. The Erlang module `hep_registry` is generated from
//! [`GenericChunk::ALL`], [`Vendor::ALL`] and [`PayloadType::ALL`] (see the example `registry`).
//! A number without a name stays a number: every enum has an `Unknown` variant that keeps it.

use num_enum::{FromPrimitive, IntoPrimitive};

/// The magic of version 3.
pub const MAGIC: &[u8; 4] = b"HEP3";
/// The magic of the protocol's newer name, EEP: the frame is the same.
pub const EEP_MAGIC: &[u8; 4] = b"EEP3";

/// Defines a registry: the enum, its conversions from and to the number, the names, the list.
macro_rules! registry {
    (
        $(#[$meta:meta])*
        $Registry:ident($Number:ident) {
            $( $(#[$about:meta])* $Variant:ident = $number:literal, $name:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromPrimitive, IntoPrimitive)]
        #[repr($Number)]
        #[non_exhaustive]
        pub enum $Registry {
            $( $(#[$about])* $Variant = $number, )*
            /// A number without a name in the registry.
            #[num_enum(catch_all)]
            Unknown($Number),
        }

        impl $Registry {
            /// All named entries, ordered by number.
            pub const ALL: &'static [Self] = &[$( Self::$Variant ),*];

            /// The name, or `None` for an unknown number.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $( Self::$Variant => Some($name), )*
                    Self::Unknown(_) => None,
                }
            }
        }
    };
}

/// The type of a chunk's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned integer of 8 bits.
    Uint8,
    /// Unsigned integer of 16 bits, big-endian.
    Uint16,
    /// Unsigned integer of 32 bits, big-endian.
    Uint32,
    /// Unsigned integer of 64 bits, big-endian.
    Uint64,
    /// IPv4 address, most significant octet first.
    Inet4,
    /// IPv6 address, most significant octet first.
    Inet6,
    /// Bytes of any length, not necessarily UTF-8.
    Octets,
}

impl Kind {
    /// The width of the value in bytes, `None` if any width is valid.
    #[must_use]
    #[inline]
    pub const fn width(self) -> Option<usize> {
        match self {
            Self::Uint8 => Some(1),
            Self::Uint16 => Some(2),
            Self::Uint32 | Self::Inet4 => Some(4),
            Self::Uint64 => Some(8),
            Self::Inet6 => Some(16),
            Self::Octets => None,
        }
    }

    /// Whether a value has the width.
    pub(crate) fn fits(self, value: &[u8]) -> bool {
        self.width().is_none_or(|width| width == value.len())
    }
}

/// Where decoding puts a chunk: in a field, or among the other chunks.
macro_rules! has_field {
    (field) => {
        true
    };
    (other) => {
        false
    };
}

/// The registry of generic chunks. A row has the number, the name, the type, and where decoding puts the chunk.
macro_rules! generic_chunks {
    ( $( $(#[$about:meta])* $Variant:ident = $number:literal, $name:literal, $Kind:ident, $place:ident; )* ) => {
        registry! {
            /// The chunks of vendor 0 (HEP3 specification rev. 37, section "Generic Chunk Types").
            ///
            /// The names are those of the transformed view.
            GenericChunk(u16) {
                $( $(#[$about])* $Variant = $number, $name; )*
            }
        }

        impl GenericChunk {
            /// The registry's entry for the generic chunk with this id; `None` if it is unknown.
            #[must_use]
            #[inline]
            pub fn info(id: u16) -> Option<&'static ChunkInfo> {
                BY_ID.get(usize::from(id))?.as_ref()
            }
        }

        /// The registry of generic chunks, each at the index of its id.
        static BY_ID: [Option<ChunkInfo>; IDS] = {
            let mut by_id = [const { None }; IDS];
            $( by_id[$number] = Some(ChunkInfo {
                chunk: GenericChunk::$Variant,
                name: $name,
                kind: Kind::$Kind,
                has_field: has_field!($place),
            }); )*
            by_id
        };

        /// One more than the largest id.
        const IDS: usize = {
            let mut largest = 0;
            $( if $number > largest { largest = $number; } )*
            largest + 1
        };
    };
}

/// The registry's entry for a generic chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkInfo {
    /// The chunk.
    pub chunk: GenericChunk,
    /// Its name in the transformed view.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Whether it has a field in [`Packet`](crate::Packet); otherwise it is in the packet's `chunks`.
    pub has_field: bool,
}

/// The last chunk known to the original Erlang library, which accepts one width for each of its chunks.
const LAST_ORIGINAL: u16 = 0x0f;

impl ChunkInfo {
    /// The chunk's value as an integer: of the type's width, or, above chunk 0x0f, of any width from 1 to 8 bytes if it
    /// fits the type. `None` for other types.
    #[must_use]
    #[inline]
    pub fn integer(&self, value: &[u8]) -> Option<u64> {
        match (self.kind, value) {
            (Kind::Uint8, &[octet]) => Some(octet.into()),
            (Kind::Uint16, &[a, b]) => Some(u16::from_be_bytes([a, b]).into()),
            (Kind::Uint32, &[a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d]).into()),
            (Kind::Uint64, _) if value.len() == 8 => value.try_into().ok().map(u64::from_be_bytes),
            (Kind::Uint8 | Kind::Uint16 | Kind::Uint32 | Kind::Uint64, _) => self.other_width(value),
            (Kind::Inet4 | Kind::Inet6 | Kind::Octets, _) => None,
        }
    }

    /// An integer that is not of the type's width.
    #[cold]
    fn other_width(&self, value: &[u8]) -> Option<u64> {
        if u16::from(self.chunk) <= LAST_ORIGINAL || !matches!(value.len(), 1..=8) {
            return None;
        }
        let integer = value.iter().fold(0, |integer, &byte| (integer << u8::BITS) | u64::from(byte));
        let fits = value.iter().rev().skip(self.kind.width()?).all(|&byte| byte == 0);
        fits.then_some(integer)
    }
}

generic_chunks! {
    /// IP protocol family: 2 is IPv4, 10 is IPv6.
    ProtocolFamily = 0x01, "ipProtocolFamily", Uint8, field;
    /// IP protocol id: 6 TCP, 17 UDP, 132 SCTP; 22 is TLS for Kamailio and OpenSIPS, 50 WebSocket for OpenSIPS.
    Protocol = 0x02, "ipProtocol", Uint8, field;
    /// IPv4 source address.
    Ipv4Source = 0x03, "srcIpAddress", Inet4, field;
    /// IPv4 destination address.
    Ipv4Destination = 0x04, "dstIpAddress", Inet4, field;
    /// IPv6 source address.
    Ipv6Source = 0x05, "srcIpAddress", Inet6, field;
    /// IPv6 destination address.
    Ipv6Destination = 0x06, "dstIpAddress", Inet6, field;
    /// Source port.
    SourcePort = 0x07, "srcPort", Uint16, field;
    /// Destination port.
    DestinationPort = 0x08, "dstPort", Uint16, field;
    /// Timestamp, seconds since the epoch.
    Seconds = 0x09, "timestampSeconds", Uint32, field;
    /// Timestamp, the microseconds within the second.
    Microseconds = 0x0a, "timestampMicroseconds", Uint32, field;
    /// Payload (protocol) type, see [`PayloadType`].
    PayloadType = 0x0b, "payloadType", Uint8, field;
    /// Capture agent id.
    CaptureId = 0x0c, "captureAgentId", Uint32, field;
    /// Keep-alive time, seconds.
    KeepAlive = 0x0d, "keepAliveSeconds", Uint16, other;
    /// Authenticate key.
    AuthKey = 0x0e, "authenticateKey", Octets, other;
    /// Captured payload.
    Payload = 0x0f, "payload", Octets, field;
    /// Captured payload, compressed with zlib, gzip or raw deflate.
    CompressedPayload = 0x10, "compressedPayload", Octets, field;
    /// Correlation id.
    CorrelationId = 0x11, "correlationId", Octets, other;
    /// VLAN id.
    VlanId = 0x12, "vlanId", Uint16, other;
    /// Name of the capture agent (node).
    NodeName = 0x13, "captureAgentName", Octets, other;
    /// Source MAC address, in the lower 48 bits.
    SourceMac = 0x14, "srcMacAddress", Uint64, other;
    /// Destination MAC address, in the lower 48 bits.
    DestinationMac = 0x15, "dstMacAddress", Uint64, other;
    /// Ethernet type.
    EthernetType = 0x16, "ethernetType", Uint16, other;
    /// TCP flags.
    TcpFlags = 0x17, "tcpFlags", Uint8, other;
    /// IP type of service.
    IpTos = 0x18, "ipTos", Uint8, other;
    /// MOS value, times 100.
    MosValue = 0x20, "mosValue", Uint16, other;
    /// R-factor.
    RFactor = 0x21, "rFactor", Uint16, other;
    /// Geographic location.
    GeoLocation = 0x22, "geoLocation", Octets, other;
    /// Jitter.
    Jitter = 0x23, "jitter", Uint32, other;
    /// Transaction type.
    TransactionType = 0x24, "transactionType", Octets, other;
    /// Keys of the payload's JSON.
    PayloadJsonKeys = 0x25, "payloadJsonKeys", Octets, other;
    /// Values of the tags.
    TagsValues = 0x26, "tagsValues", Octets, other;
    /// Type of the tag.
    TagType = 0x27, "tagType", Uint16, other;
    /// Event type: 1 recording, 2 lawful interception.
    EventType = 0x28, "eventType", Uint16, other;
    /// Group id.
    GroupId = 0x29, "groupId", Octets, other;
    /// Further correlation ids as JSON. Not in the specification: OpenSIPS sends it.
    Correlations = 0x65, "correlations", Octets, other;
}

registry! {
    /// The vendors of chunk ids (HEP3 specification rev. 37, section "Vendors").
    Vendor(u16) {
        /// No vendor: the generic chunks.
        Generic = 0, "unknown";
        /// FreeSWITCH.
        FreeSwitch = 1, "freeswitch";
        /// Kamailio / SER.
        Kamailio = 2, "kamailio";
        /// OpenSIPS.
        OpenSips = 3, "opensips";
        /// Asterisk.
        Asterisk = 4, "asterisk";
        /// The Homer project.
        Homer = 5, "homer";
        /// SipXecs.
        SipXecs = 6, "sipxecs";
        /// Yeti Switch.
        Yeti = 7, "yeti";
        /// Genesys.
        Genesys = 8, "genesys";
    }
}

registry! {
    /// The payload types (HEP3 specification rev. 37, chunk 0x000b).
    PayloadType(u8) {
        /// Reserved.
        Reserved = 0x00, "reserved";
        /// SIP.
        Sip = 0x01, "sip";
        /// XMPP.
        Xmpp = 0x02, "xmpp";
        /// SDP.
        Sdp = 0x03, "sdp";
        /// RTP.
        Rtp = 0x04, "rtp";
        /// RTCP as JSON.
        Rtcp = 0x05, "rtcp";
        /// MGCP.
        Mgcp = 0x06, "mgcp";
        /// MEGACO / H.248.
        Megaco = 0x07, "megaco";
        /// M2UA (SS7 / SIGTRAN).
        M2ua = 0x08, "m2ua";
        /// M3UA (SS7 / SIGTRAN).
        M3ua = 0x09, "m3ua";
        /// IAX; the original Erlang library's list gives it the number 16.
        #[num_enum(alternatives = [0x10])]
        Iax = 0x0a, "iax";
        /// H.322.
        H322 = 0x0b, "h322";
        /// H.321.
        H321 = 0x0c, "h321";
        /// M2PA.
        M2pa = 0x0d, "m2pa";
        /// MOS full report as JSON.
        MosFull = 0x22, "mos_full";
        /// MOS short report as JSON.
        MosShort = 0x23, "mos_short";
        /// SIP as JSON.
        SipJson = 0x32, "sip_json";
        /// DNS as JSON.
        DnsJson = 0x35, "dns_json";
        /// M3UA / ISUP as JSON.
        M3uaJson = 0x36, "m3ua_json";
        /// RTSP as JSON.
        Rtsp = 0x37, "rtsp";
        /// Diameter as JSON.
        Diameter = 0x38, "diameter";
        /// GSM MAP as JSON.
        GsmMap = 0x39, "gsm_map";
        /// RTCP PION.
        RtcpPion = 0x3a, "rtcp_pion";
        /// Call detail record.
        Cdr = 0x3c, "cdr";
        /// Verto as JSON; rtpengine uses the number for its NG protocol unless configured otherwise.
        Verto = 0x3d, "verto";
        /// A log line. By custom, not in the specification: Kamailio, OpenSIPS, heplify.
        Log = 0x64, "log";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_converts_both_ways() {
        for number in 0..=u16::MAX {
            assert_eq!(u16::from(GenericChunk::from(number)), number);
            assert_eq!(u16::from(Vendor::from(number)), number);
        }
        for number in (0..=u8::MAX).filter(|&number| number != 0x10) {
            assert_eq!(u8::from(PayloadType::from(number)), number);
        }
        assert_eq!(PayloadType::from(0x10), PayloadType::Iax);
    }

    #[test]
    fn every_entry_has_a_name_and_every_chunk_a_type() {
        for &chunk in GenericChunk::ALL {
            let info = GenericChunk::info(chunk.into()).unwrap();
            assert_eq!((info.chunk, Some(info.name)), (chunk, chunk.name()));
        }
        assert!(Vendor::ALL.iter().all(|vendor| vendor.name().is_some()));
        assert!(PayloadType::ALL.iter().all(|kind| kind.name().is_some()));
        assert_eq!(PayloadType::Unknown(99).name(), None);
        assert_eq!(GenericChunk::info(0x19), None);
        assert_eq!(GenericChunk::info(u16::MAX), None);
    }
}
