//! IP packets, and the UDP datagrams and TCP segments in them.
//!
//! A frame may be truncated: a length beyond its end stops there. A length of 0 means up to the end, since network
//! cards that split packets themselves leave it open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocol ids.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const AUTHENTICATION: u8 = 51;
/// IPv6 headers that may precede these: hop-by-hop and destination options, routing, mobility, HIP, shim6.
const EXTENSIONS: [u8; 6] = [0, 43, 60, 135, 139, 140];
const FRAGMENT: u8 = 44;

/// The payload of an IP packet, or of a fragment of one.
pub(crate) struct IpPacket<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) payload: &'a [u8],
    pub(crate) fragment: Option<Fragment>,
}

/// The part of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment {
    pub(crate) id: u32,
    pub(crate) offset: u16,
    pub(crate) more: bool,
}

/// A UDP datagram.
pub(crate) struct Datagram<'a> {
    /// Source and destination.
    pub(crate) ports: (u16, u16),
    pub(crate) data: &'a [u8],
}

/// A TCP segment.
pub(crate) struct Segment<'a> {
    /// Source and destination.
    pub(crate) ports: (u16, u16),
    pub(crate) number: u32,
    pub(crate) fin: bool,
    pub(crate) syn: bool,
    pub(crate) rst: bool,
    pub(crate) data: &'a [u8],
}

/// Reads a packet of IPv4 or IPv6; `None` if it is neither, or its header is truncated.
pub(crate) fn read(packet: &[u8]) -> Option<IpPacket<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<IpPacket<'_>> {
    let &[first, _, l0, l1, i0, i1, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        packet.first_chunk::<20>()?;
    let header = usize::from(first & 0xf).saturating_mul(4);
    let total = u16::from_be_bytes([l0, l1]);
    if header < 20 || total != 0 && usize::from(total) < header {
        return None;
    }
    let payload = up_to(packet, total).get(header..)?;
    let flags = u16::from_be_bytes([f0, f1]);
    let (offset, more) = ((flags & 0x1fff) << 3, flags & 0x2000 != 0);
    let fragment =
        (more || offset != 0).then(|| Fragment { id: u16::from_be_bytes([i0, i1]).into(), offset, more });
    let source = Ipv4Addr::from([s0, s1, s2, s3]).into();
    let destination = Ipv4Addr::from([d0, d1, d2, d3]).into();
    let packet = IpPacket { source, destination, protocol, payload, fragment };
    if fragment.is_some() { Some(packet) } else { packet.without_extensions() }
}

fn ipv6(packet: &[u8]) -> Option<IpPacket<'_>> {
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let (&[_, _, _, _, l0, l1, protocol, _], addresses) = header.split_first_chunk::<8>()?;
    let (&source, destination) = addresses.split_first_chunk::<16>()?;
    let &destination = destination.first_chunk::<16>()?;
    let payload = up_to(rest, u16::from_be_bytes([l0, l1]));
    let [source, destination] = [source, destination].map(|address| Ipv6Addr::from(address).into());
    IpPacket { source, destination, protocol, payload, fragment: None }.without_extensions()
}

impl IpPacket<'_> {
    /// Skips the headers between IP and the transport, up to that of a fragment.
    pub(crate) fn without_extensions(mut self) -> Option<Self> {
        loop {
            let units = match self.protocol {
                AUTHENTICATION => 4,
                FRAGMENT => 0,
                protocol if self.source.is_ipv6() && EXTENSIONS.contains(&protocol) => 8,
                _ => return Some(self),
            };
            let (&[next, length, o0, o1, i0, i1, i2, i3], behind) = self.payload.split_first_chunk::<8>()?;
            self.protocol = next;
            if units == 0 {
                let field = u16::from_be_bytes([o0, o1]);
                let (offset, more) = (field & !7, field & 1 != 0);
                self.payload = behind;
                if more || offset != 0 {
                    self.fragment = Some(Fragment { id: u32::from_be_bytes([i0, i1, i2, i3]), offset, more });
                    return Some(self);
                }
            } else {
                // The length does not count the first 8 bytes.
                self.payload = behind.get(usize::from(length).saturating_mul(units)..)?;
            }
        }
    }
}

/// Reads a UDP datagram; `None` if its header is truncated or has an impossible length.
pub(crate) fn datagram(payload: &[u8]) -> Option<Datagram<'_>> {
    let &[s0, s1, d0, d1, l0, l1, _, _] = payload.first_chunk::<8>()?;
    let data = up_to(payload, u16::from_be_bytes([l0, l1])).get(8..)?;
    Some(Datagram { ports: (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])), data })
}

/// Reads a TCP segment; `None` if its header is truncated or has an impossible length.
pub(crate) fn segment(payload: &[u8]) -> Option<Segment<'_>> {
    let &[s0, s1, d0, d1, n0, n1, n2, n3, _, _, _, _, offset, flags] = payload.first_chunk::<14>()?;
    let header = usize::from(offset >> 4).saturating_mul(4);
    let data = payload.get(header..).filter(|_| header >= 20)?;
    Some(Segment {
        ports: (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])),
        number: u32::from_be_bytes([n0, n1, n2, n3]),
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        rst: flags & 4 != 0,
        data,
    })
}

/// The bytes up to a length; all of them if there are fewer, or if it is 0.
fn up_to(bytes: &[u8], length: u16) -> &[u8] {
    if length == 0 { bytes } else { bytes.get(..usize::from(length)).unwrap_or(bytes) }
}
