//! Frames of the supported link types: finds the IP packet in them.

use crate::ip::{self, IpPacket};

/// Link types, as in <https://www.tcpdump.org/linktypes.html>.
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const RAW: i32 = 101;
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const IPV4: i32 = 228;
const IPV6: i32 = 229;
const LINUX_SLL2: i32 = 276;
/// The numbers of raw IP on some systems.
const RAW_BSD: [i32; 2] = [12, 14];

/// `EtherType` values.
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
/// `PPPoE` in its session stage (RFC 2516), and the two versions of IP in PPP.
const TYPE_PPPOE: u16 = 0x8864;
const PPP_IPV4: u16 = 0x0021;
const PPP_IPV6: u16 = 0x0057;
/// VLAN tags: 802.1Q, 802.1ad, and its predecessor.
const TYPES_TAG: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// The content of a frame.
pub(crate) enum Content<'a> {
    Ip(IpPacket<'a>),
    /// No IP packet, or an invalid one.
    Other,
    /// The link type is not supported.
    UnknownLink,
}

/// Finds the IP packet of a frame.
pub(crate) fn content(link: i32, frame: &[u8]) -> Content<'_> {
    let packet = match link {
        ETHERNET => tagged(frame, 12, 14),
        NULL | LOOP => frame.get(4..),
        RAW | IPV4 | IPV6 => Some(frame),
        LINUX_SLL => tagged(frame, 14, 16),
        LINUX_SLL2 => tagged(frame, 0, 20),
        link if RAW_BSD.contains(&link) => Some(frame),
        _ => return Content::UnknownLink,
    };
    packet.and_then(ip::read).map_or(Content::Other, Content::Ip)
}

/// The IP packet after a header of this length, with its type at an offset, and after VLAN tags.
fn tagged(frame: &[u8], offset: usize, header: usize) -> Option<&[u8]> {
    let mut kind = u16::from_be_bytes(*frame.get(offset..)?.first_chunk()?);
    let mut rest = frame.get(header..)?;
    while TYPES_TAG.contains(&kind) {
        let (&[_, _, high, low], behind) = rest.split_first_chunk()?;
        kind = u16::from_be_bytes([high, low]);
        rest = behind;
    }
    if kind == TYPE_PPPOE {
        let (&[_, _, _, _, _, _, high, low], behind) = rest.split_first_chunk()?;
        return matches!(u16::from_be_bytes([high, low]), PPP_IPV4 | PPP_IPV6).then_some(behind);
    }
    matches!(kind, TYPE_IPV4 | TYPE_IPV6).then_some(rest)
}
