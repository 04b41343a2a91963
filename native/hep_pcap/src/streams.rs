//! TCP streams, put in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lru::LruCache;

use crate::inside::Inside;
use crate::ip::Segment;
use crate::messages::Messages;

/// The maximum number of streams, one for each direction.
const MAX_STREAMS: usize = 16 * 1024;
/// The maximum number of waiting bytes in all streams.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The maximum number of bytes, and of segments, that wait in a stream for a missing one.
const MAX_WAITING: usize = 256 * 1024;
const MAX_SEGMENTS: usize = 256;
/// The memory of a waiting segment besides its bytes.
const OVERHEAD: usize = 64;
/// A segment at a greater distance belongs to another connection between the same ports.
const MAX_DISTANCE: u32 = 1 << 24;

/// Source and destination.
pub(crate) type Path = (SocketAddr, SocketAddr);

/// The streams. If there are too many, the one that has had no segment for longest is dropped.
pub(crate) struct Streams {
    by_path: LruCache<Path, Stream>,
    /// Waiting bytes.
    bytes: usize,
    pub(crate) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Bytes missing in the capture.
    pub(crate) missing: u64,
    /// Messages with a missing part.
    pub(crate) incomplete: u64,
}

struct Stream {
    /// The sequence number of the next byte.
    next: u32,
    /// The number of earlier bytes, from which the waiting segments count.
    position: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
    messages: Messages,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { by_path: LruCache::unbounded(), bytes: 0, counts: Counts::default() }
    }

    /// Adds a segment, and passes each complete message to the function, also of streams that it displaces.
    pub(crate) fn segment(
        &mut self,
        path: Path,
        segment: &Segment<'_>,
        takes_hep: impl Fn(Path) -> Option<bool>,
        mut found: impl FnMut(Path, Inside, &[u8]),
    ) {
        let number = segment.number;
        let data = segment.data;
        let ends = segment.fin || segment.rst;
        if data.is_empty() && !segment.syn && !ends {
            return;
        }
        if segment.syn {
            self.open(path, number.wrapping_add(1), takes_hep(path), &mut found);
        }
        let number = if segment.syn { number.wrapping_add(1) } else { number };
        let Self { by_path, bytes, counts } = self;
        let stream = by_path.get_or_insert_mut(path, || Stream::new(number, Messages::lost()));
        let before = stream.size();
        let mut found_here = |inside, bytes: &[u8]| found(path, inside, bytes);
        stream.take(number, data, takes_hep(path), counts, &mut found_here);
        // The stream stays: the last segment may be repeated, and a message must not be returned twice.
        if segment.rst || segment.fin && stream.waiting.is_empty() {
            stream.end(takes_hep(path), counts, &mut found_here);
        }
        *bytes = bytes.saturating_add(stream.size()).saturating_sub(before);
        while self.by_path.len() > MAX_STREAMS || self.bytes > MAX_BYTES {
            let Some((path, mut stream)) = self.by_path.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(stream.size());
            stream.end(takes_hep(path), &mut self.counts, &mut |inside, bytes: &[u8]| {
                found(path, inside, bytes);
            });
        }
    }

    /// Ends all streams.
    pub(crate) fn finish(
        &mut self,
        takes_hep: impl Fn(Path) -> Option<bool>,
        mut found: impl FnMut(Path, Inside, &[u8]),
    ) {
        while let Some((path, mut stream)) = self.by_path.pop_lru() {
            stream.end(takes_hep(path), &mut self.counts, &mut |inside, bytes: &[u8]| {
                found(path, inside, bytes);
            });
        }
        self.bytes = 0;
    }

    /// A connection begins. The same segment again is a retransmission.
    fn open(
        &mut self,
        path: Path,
        first: u32,
        takes_hep: Option<bool>,
        found: &mut impl FnMut(Path, Inside, &[u8]),
    ) {
        let is_known =
            self.by_path.peek(&path).is_some_and(|stream| stream.position == 0 && stream.next == first);
        if !is_known && let Some(mut stream) = self.by_path.put(path, Stream::new(first, Messages::default()))
        {
            self.bytes = self.bytes.saturating_sub(stream.size());
            stream.end(takes_hep, &mut self.counts, &mut |inside, bytes: &[u8]| found(path, inside, bytes));
        }
    }
}

impl Stream {
    fn new(next: u32, messages: Messages) -> Self {
        Self { next, position: 0, waiting: BTreeMap::new(), waiting_bytes: 0, messages }
    }

    /// Its share of the limit of all streams.
    fn size(&self) -> usize {
        self.waiting_bytes.saturating_add(self.messages.len())
    }

    fn take(
        &mut self,
        number: u32,
        data: &[u8],
        takes_hep: Option<bool>,
        counts: &mut Counts,
        found: &mut impl FnMut(Inside, &[u8]),
    ) {
        let ahead = number.wrapping_sub(self.next);
        let behind = self.next.wrapping_sub(number);
        if ahead.min(behind) > MAX_DISTANCE {
            self.interrupt(counts);
            *self = Self::new(number, Messages::lost());
            self.append(data, takes_hep, found);
        } else if behind <= MAX_DISTANCE {
            // The new part of it: the rest is a retransmission.
            let known = usize::try_from(behind).unwrap_or(usize::MAX);
            self.append(data.get(known..).unwrap_or_default(), takes_hep, found);
        } else if !data.is_empty() {
            self.wait(self.position.saturating_add(ahead.into()), data);
        }
        self.catch_up(takes_hep, found);
        while self.waiting_bytes > MAX_WAITING || self.waiting.len() > MAX_SEGMENTS {
            self.pass_gap(takes_hep, counts, found);
        }
    }

    fn wait(&mut self, position: u64, data: &[u8]) {
        let known = self.waiting.get(&position).map(Vec::len);
        if known.is_some_and(|known| known >= data.len()) {
            return;
        }
        let known = known.map_or(0, |known| known.saturating_add(OVERHEAD));
        self.waiting.insert(position, data.to_vec());
        self.waiting_bytes =
            self.waiting_bytes.saturating_add(data.len()).saturating_add(OVERHEAD).saturating_sub(known);
    }

    /// Appends the waiting segments that now follow.
    fn catch_up(&mut self, takes_hep: Option<bool>, found: &mut impl FnMut(Inside, &[u8])) {
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= self.position) {
            let (position, data) = first.remove_entry();
            self.waiting_bytes = self.waiting_bytes.saturating_sub(data.len()).saturating_sub(OVERHEAD);
            let known = usize::try_from(self.position.saturating_sub(position)).unwrap_or(usize::MAX);
            self.append(data.get(known..).unwrap_or_default(), takes_hep, found);
        }
    }

    /// Continues after missing bytes.
    fn pass_gap(
        &mut self,
        takes_hep: Option<bool>,
        counts: &mut Counts,
        found: &mut impl FnMut(Inside, &[u8]),
    ) {
        let Some((&position, _)) = self.waiting.first_key_value() else { return };
        let missing = position.saturating_sub(self.position);
        counts.missing = counts.missing.saturating_add(missing);
        self.interrupt(counts);
        self.advance(missing);
        self.catch_up(takes_hep, found);
    }

    fn append(&mut self, data: &[u8], takes_hep: Option<bool>, found: &mut impl FnMut(Inside, &[u8])) {
        if !data.is_empty() {
            self.advance(u64::try_from(data.len()).unwrap_or(u64::MAX));
            self.messages.feed(data, takes_hep, found);
        }
    }

    fn advance(&mut self, length: u64) {
        self.position = self.position.saturating_add(length);
        // Sequence numbers count modulo 2^32.
        self.next = self.next.wrapping_add(u32::try_from(length & u64::from(u32::MAX)).unwrap_or_default());
    }

    fn interrupt(&mut self, counts: &mut Counts) {
        counts.incomplete = counts.incomplete.saturating_add(self.messages.interrupt().into());
    }

    /// Ends the stream.
    fn end(&mut self, takes_hep: Option<bool>, counts: &mut Counts, found: &mut impl FnMut(Inside, &[u8])) {
        while !self.waiting.is_empty() {
            self.pass_gap(takes_hep, counts, found);
        }
        self.interrupt(counts);
    }
}
