//! Frames: a length, a number, and items. An item is a length and a term.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

/// The length of a frame's number.
pub(crate) const NUMBER: usize = 8;
/// The length of an item's length.
pub(crate) const LENGTH: usize = 4;

/// Larger buffers are freed after their frame.
pub(crate) const KEPT: usize = 1024 * 1024;

/// The items of a frame; `None` if they do not fill it exactly.
pub(crate) fn items(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (&length, behind) = bytes.split_first_chunk::<LENGTH>()?;
        let (item, rest) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(length)).ok()?)?;
        items.push(item);
        bytes = rest;
    }
    Some(items)
}

/// The frames of an input.
pub(crate) struct Frames<R> {
    input: BufReader<R>,
    longest: u32,
    frame: Vec<u8>,
}

impl<R: Read> Frames<R> {
    pub(crate) fn new(input: BufReader<R>, longest: u32) -> Self {
        Self { input, longest, frame: Vec::new() }
    }

    /// Whether all received bytes have been consumed.
    pub(crate) fn is_drained(&self) -> bool {
        self.input.buffer().is_empty()
    }

    /// The next frame's number and items; `None` at the end of the input.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > self.longest {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("a frame of {length} bytes is too long"),
            ));
        }
        // The buffer grows with the received bytes, not by the stated length.
        self.frame.clear();
        self.frame.shrink_to(KEPT);
        let read = self.input.by_ref().take(length.into()).read_to_end(&mut self.frame)?;
        match self.frame.split_first_chunk::<NUMBER>() {
            Some((&number, items)) if u32::try_from(read) == Ok(length) => {
                Ok(Some((u64::from_be_bytes(number), items)))
            }
            _ => Err(io::Error::new(ErrorKind::UnexpectedEof, "the input ends inside a frame")),
        }
    }
}

/// Writes a frame.
pub(crate) fn write_frame(output: &mut impl Write, number: u64, items: &[u8]) -> io::Result<()> {
    let length = u32::try_from(items.len().saturating_add(NUMBER)).unwrap_or(u32::MAX);
    output.write_all(&length.to_be_bytes())?;
    output.write_all(&number.to_be_bytes())?;
    output.write_all(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: u32 = 1000;

    #[test]
    fn frames_are_read_back_unchanged() -> io::Result<()> {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, 7, b"first")?;
        write_frame(&mut bytes, u64::MAX, b"")?;
        let mut frames = Frames::new(BufReader::new(&bytes[..]), LONGEST);
        assert_eq!(frames.next()?, Some((7, &b"first"[..])));
        assert_eq!(frames.next()?, Some((u64::MAX, &b""[..])));
        assert_eq!(frames.next()?, None);
        Ok(())
    }

    #[test]
    fn a_truncated_or_too_long_frame_is_an_error() -> io::Result<()> {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, 7, b"first")?;
        for end in 1..bytes.len() {
            let cut = bytes.get(..end).unwrap_or_default();
            assert!(Frames::new(BufReader::new(cut), LONGEST).next().is_err(), "{end}");
        }
        let mut long = LONGEST.saturating_add(1).to_be_bytes().to_vec();
        long.resize(2000, 0);
        assert!(Frames::new(BufReader::new(&long[..]), LONGEST).next().is_err());
        assert!(Frames::new(BufReader::new(&long[..]), LONGEST.saturating_add(1)).next().is_ok());
        assert!(Frames::new(BufReader::new(&[0, 0, 0, 3, 1, 2, 3][..]), LONGEST).next().is_err());
        Ok(())
    }
}
