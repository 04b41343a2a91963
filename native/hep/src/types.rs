//! The basic types of the codec: version, time, protocol family.

use core::net::IpAddr;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HEPv1.
    V1,
    /// HEPv2.
    V2,
    /// HEPv3.
    V3,
}

impl Version {
    /// The version as a number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The version of a packet with a fixed header.
    pub(crate) const fn of_fixed_header(input: &[u8]) -> Option<Self> {
        match input {
            [1, ..] => Some(Self::V1),
            [2, ..] => Some(Self::V2),
            _ => None,
        }
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since the epoch.
    pub seconds: u32,
    /// Microseconds; a sender's value may exceed 999,999.
    pub microseconds: u32,
}

/// The protocol family of the captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, number 2.
    Ipv4,
    /// IPv6, number 10.
    Ipv6,
}

impl Family {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Ipv6 => 10,
        }
    }

    /// The family of a number on the wire.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Ipv4),
            10 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The width of an address in bytes.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }
}
