//! A buffer for the bytes of a header, and its writer.

/// The size of the inline buffer: enough for all fields of a packet, and some chunks. If it were slightly larger, the
/// compiler (on x86-64) would call a function to clear it.
const INLINE: usize = 224;

/// The bytes of a packet's header.
///
/// It must not be moved while it is written: most headers fit the inline buffer, and are not copied until they are
/// complete.
#[derive(Clone, Debug)]
pub struct Header {
    inline: [u8; INLINE],
    used: usize,
    /// All bytes, if there are more than `INLINE`.
    large: Vec<u8>,
}

impl Default for Header {
    #[inline]
    fn default() -> Self {
        Self { inline: [0; INLINE], used: 0, large: Vec::new() }
    }
}

impl Header {
    /// The bytes written so far.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.inline.get(..self.used).unwrap_or(&self.large)
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// Overwrites the bytes at `offset`.
    #[inline]
    pub(crate) fn put_at<const WIDTH: usize>(&mut self, offset: usize, bytes: [u8; WIDTH]) {
        let written = if self.used > INLINE { &mut self.large[..] } else { &mut self.inline[..] };
        if let Some(place) = written.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
            *place = bytes;
        }
    }

    /// Starts the header.
    #[inline]
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        self.large.clear();
        Writer { used: 0, header: self }
    }

    /// [`grow`](Self::grow) by value: a reference would make the compiler store the bytes even where they fit inline.
    #[cold]
    #[inline(never)]
    fn grow_by<const WIDTH: usize>(&mut self, used: usize, bytes: [u8; WIDTH]) -> usize {
        self.grow(used, &bytes)
    }

    /// Appends after the first `used` bytes when the inline buffer is full.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, used: usize, bytes: &[u8]) -> usize {
        if let Some(written) = self.inline.get(..used) {
            self.large.extend_from_slice(written);
        }
        self.large.extend_from_slice(bytes);
        self.large.len()
    }
}

/// Writes into a header. The bytes become part of it with [`finish`](Writer::finish).
///
/// The writer holds the number of bytes, so that the compiler keeps it in a register.
pub(crate) struct Writer<'h> {
    header: &'h mut Header,
    used: usize,
}

impl Writer<'_> {
    #[expect(clippy::inline_always, reason = "the few stores that it is take less than a call")]
    #[inline(always)]
    pub(crate) fn put<const WIDTH: usize>(&mut self, bytes: [u8; WIDTH]) {
        match self.header.inline.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut) {
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
        match self.header.inline.get_mut(self.used..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.used = end;
            }
            None => self.used = self.header.grow(self.used, bytes),
        }
    }

    /// Writes through a copy of the writer, whose address may be taken.
    #[inline]
    pub(crate) fn put_with<T>(&mut self, write: impl FnOnce(&mut Writer<'_>) -> T) -> T {
        let mut writer = Writer { used: self.used, header: self.header };
        let answer = write(&mut writer);
        self.used = writer.used;
        answer
    }

    #[inline]
    pub(crate) const fn finish(self) {
        self.header.used = self.used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_beyond_the_inline_buffer() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1000).collect();
        for step in 1..=300 {
            let mut header = Header::default();
            let mut writer = header.writer();
            for part in bytes.chunks(step) {
                match *part {
                    [a] => writer.put([a]),
                    [a, b, c] => writer.put([a, b, c]),
                    [_, _] => writer.put_with(|writer| writer.put_slice(part)),
                    _ => writer.put_slice(part),
                }
            }
            writer.put([]);
            writer.finish();
            assert_eq!((header.len(), header.as_bytes()), (bytes.len(), &bytes[..]));
            header.put_at(998, [9, 9]);
            assert_eq!(header.as_bytes()[997..], [bytes[997], 9, 9]);
        }
    }
}
