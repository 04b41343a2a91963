//! Where a header is put together.

/// How many bytes need no allocation: enough for all fields of a packet, and some chunks. With a few more the compiler
/// (on x86-64) would call a function to clear them.
const ROOM: usize = 224;

/// Bytes written one behind the other: a packet's header.
///
/// It stays where it is made: most headers need no allocation, and those are not copied before they are done.
#[derive(Clone, Debug)]
pub struct Header {
    room: [u8; ROOM],
    used: usize,
    /// All of them, once there are more than `ROOM`.
    large: Vec<u8>,
}

impl Default for Header {
    #[inline]
    fn default() -> Self {
        Self { room: [0; ROOM], used: 0, large: Vec::new() }
    }
}

impl Header {
    /// What has been written.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.room.get(..self.used).unwrap_or(&self.large)
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Writes over what stands there.
    #[inline]
    pub(crate) fn put_at<const WIDTH: usize>(&mut self, offset: usize, bytes: [u8; WIDTH]) {
        let written = if self.used > ROOM { &mut self.large[..] } else { &mut self.room[..] };
        if let Some(place) = written.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
            *place = bytes;
        }
    }

    /// Begins the header.
    #[inline]
    pub(crate) fn pen(&mut self) -> Pen<'_> {
        self.large.clear();
        Pen { used: 0, header: self }
    }

    /// [`grow`](Self::grow) by value: for a reference the bytes would be stored even where they have room.
    #[cold]
    #[inline(never)]
    fn grow_by<const WIDTH: usize>(&mut self, used: usize, bytes: [u8; WIDTH]) -> usize {
        self.grow(used, &bytes)
    }

    /// Writes behind the first `used` bytes where the room is not enough.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, used: usize, bytes: &[u8]) -> usize {
        if let Some(written) = self.room.get(..used) {
            self.large.extend_from_slice(written);
        }
        self.large.extend_from_slice(bytes);
        self.large.len()
    }
}

/// Writes into a header. What it wrote counts once it is [laid down](Pen::lay_down).
///
/// It keeps its place itself: in a register, where the header's would have to be loaded before each writing.
pub(crate) struct Pen<'h> {
    header: &'h mut Header,
    used: usize,
}

impl Pen<'_> {
    #[expect(clippy::inline_always, reason = "the few stores that it is take less than a call")]
    #[inline(always)]
    pub(crate) fn put<const WIDTH: usize>(&mut self, bytes: [u8; WIDTH]) {
        match self.header.room.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut) {
            Some(place) => {
                *place = bytes;
                self.used = self.used.saturating_add(WIDTH);
            }
            None => self.used = self.header.grow_by(self.used, bytes),
        }
    }

    #[inline]
    pub(crate) fn put_slice(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        match self.header.room.get_mut(self.used..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.used = end;
            }
            None => self.used = self.header.grow(self.used, bytes),
        }
    }

    /// Writes with another pen, one that has an address.
    #[inline]
    pub(crate) fn put_with<T>(&mut self, write: impl FnOnce(&mut Pen<'_>) -> T) -> T {
        let mut pen = Pen { used: self.used, header: self.header };
        let answer = write(&mut pen);
        self.used = pen.used;
        answer
    }

    #[inline]
    pub(crate) const fn lay_down(self) {
        self.header.used = self.used;
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
            let mut pen = header.pen();
            for part in bytes.chunks(step) {
                match *part {
                    [a] => pen.put([a]),
                    [a, b, c] => pen.put([a, b, c]),
                    [_, _] => pen.put_with(|pen| pen.put_slice(part)),
                    _ => pen.put_slice(part),
                }
            }
            pen.put([]);
            pen.lay_down();
            assert_eq!((header.len(), header.as_bytes()), (bytes.len(), &bytes[..]));
            header.put_at(998, [9, 9]);
            assert_eq!(header.as_bytes()[997..], [bytes[997], 9, 9]);
        }
    }
}
