//! Where a header is put together.

use smallvec::SmallVec;

/// Bytes written one behind the other: a packet's header.
///
/// It stays where it is made: most headers need no allocation, and none is copied before it is done.
#[derive(Clone, Debug)]
pub struct Header {
    room: SmallVec<[u8; 256]>,
    used: usize,
}

impl Default for Header {
    #[inline]
    fn default() -> Self {
        Self { room: SmallVec::from([0; 256]), used: 0 }
    }
}

impl Header {
    /// What has been written.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.room.get(..self.used).unwrap_or_default()
    }

    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Writes over what stands there.
    pub(crate) fn put_at<const WIDTH: usize>(&mut self, offset: usize, bytes: [u8; WIDTH]) {
        if let Some(place) = self.room.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
            *place = bytes;
        }
    }

    #[expect(clippy::inline_always, reason = "the few stores that it is take less than a call")]
    #[inline(always)]
    pub(crate) fn put<const WIDTH: usize>(&mut self, bytes: [u8; WIDTH]) {
        match self.room.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => *place = bytes,
            None => self.grow(&bytes),
        }
        self.used = self.used.saturating_add(WIDTH);
    }

    pub(crate) fn put_slice(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        match self.room.get_mut(self.used..end) {
            Some(place) => place.copy_from_slice(bytes),
            None => self.grow(bytes),
        }
        self.used = end;
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, bytes: &[u8]) {
        self.room.truncate(self.used);
        self.room.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_beyond_its_room() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1000).collect();
        for step in 1..=300 {
            let mut header = Header::default();
            for part in bytes.chunks(step) {
                match *part {
                    [a] => header.put([a]),
                    [a, b, c] => header.put([a, b, c]),
                    _ => header.put_slice(part),
                }
            }
            header.put([]);
            assert_eq!((header.len(), header.as_bytes()), (bytes.len(), &bytes[..]));
            header.put_at(998, [9, 9]);
            assert_eq!(header.as_bytes()[997..], [bytes[997], 9, 9]);
        }
    }
}
