//! Reassembly of IP fragments.

use std::net::IpAddr;

use lru::LruCache;

use crate::ip::{Fragment, IpPacket};

/// The maximum number of incomplete packets. Each takes at most 64 KiB, and as much for its ranges.
const MAX_PACKETS: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

/// The incomplete packets. If there are too many, the one that has had no fragment for longest is dropped.
pub(crate) struct Fragments {
    packets: LruCache<Key, Parts>,
    /// The number of packets dropped incomplete.
    pub(crate) dropped: u64,
}

/// The fragments of a packet.
#[derive(Default)]
struct Parts {
    data: Vec<u8>,
    /// Start and end of the received ranges; sorted and disjoint.
    ranges: Vec<(usize, usize)>,
    length: Option<usize>,
}

impl Fragments {
    pub(crate) fn new() -> Self {
        Self { packets: LruCache::unbounded(), dropped: 0 }
    }

    /// Adds a fragment; returns the payload of the packet once it is complete.
    pub(crate) fn add(&mut self, packet: &IpPacket<'_>, fragment: Fragment) -> Option<Vec<u8>> {
        let &IpPacket { source, destination, protocol, payload, .. } = packet;
        let key = Key { source, destination, protocol, id: fragment.id };
        let parts = self.packets.get_or_insert_mut(key, Parts::default);
        let is_valid = parts.add(fragment, payload);
        if !is_valid {
            self.packets.pop(&key);
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        if parts.is_complete() {
            return self.packets.pop(&key).map(|parts| parts.data);
        }
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_lru();
            self.dropped = self.dropped.saturating_add(1);
        }
        None
    }

    /// Drops all incomplete packets.
    pub(crate) fn finish(&mut self) {
        self.dropped = self.dropped.saturating_add(u64::try_from(self.packets.len()).unwrap_or(u64::MAX));
        self.packets.clear();
    }
}

impl Parts {
    /// False if the fragment is invalid or contradicts the others.
    fn add(&mut self, Fragment { offset, more, .. }: Fragment, payload: &[u8]) -> bool {
        let begin = usize::from(offset);
        let Some(end) = begin.checked_add(payload.len()).filter(|&end| u16::try_from(end).is_ok()) else {
            return false;
        };
        if !more {
            if self.length.is_some_and(|length| length != end) {
                return false;
            }
            self.length = Some(end);
        }
        let end_of_last = self.ranges.last().map_or(0, |range| range.1);
        if self.length.is_some_and(|length| end.max(end_of_last) > length) {
            return false;
        }
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        if let Some(place) = self.data.get_mut(begin..end) {
            place.copy_from_slice(payload);
        }
        self.cover(begin, end);
        true
    }

    fn cover(&mut self, mut begin: usize, mut end: usize) {
        self.ranges.retain(|range| {
            let touches = range.0 <= end && begin <= range.1;
            if touches {
                begin = begin.min(range.0);
                end = end.max(range.1);
            }
            !touches
        });
        let at = self.ranges.partition_point(|range| range.0 < begin);
        self.ranges.insert(at, (begin, end));
    }

    fn is_complete(&self) -> bool {
        self.length.is_some_and(|length| self.ranges == [(0, length)])
    }
}
