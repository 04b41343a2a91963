//! The packet that is sent again and again, with a number in it.

use std::ops::Range;
use std::path::Path;
use std::{fs, io};

/// Magic and total length.
const FRAME_HEADER: usize = 6;
/// Vendor, chunk id and length.
const CHUNK_HEADER: usize = 6;
/// The capture id of version 3: 32 bits that hold the number.
const CAPTURE_ID: &[u8] = &[0, 0, 0, 12, 0, 10];

/// A packet of version 3 with a capture id.
#[derive(Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where each chunk begins.
    chunks: Vec<usize>,
    /// Where the capture id stands.
    number: Range<usize>,
}

impl Template {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        Self::new(bytes).ok_or_else(|| {
            let message = format!("{}: no packet of version 3 with a capture id", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    fn new(bytes: Vec<u8>) -> Option<Self> {
        let mut chunks = Vec::new();
        let mut number = None;
        let mut at = FRAME_HEADER;
        while at < bytes.len() {
            let value = at.checked_add(CHUNK_HEADER)?;
            let header = bytes.get(at..value)?;
            let length = usize::from(u16::from_be_bytes(*header.last_chunk()?));
            let end = at.checked_add(length.max(CHUNK_HEADER))?;
            if header == CAPTURE_ID {
                number = Some(value..end);
            }
            chunks.push(at);
            at = end;
        }
        let number = number?;
        bytes.get(number.clone())?;
        (bytes.starts_with(b"HEP3") && at == bytes.len()).then_some(Self { bytes, chunks, number })
    }

    /// Adds the packet with this number.
    pub(crate) fn append(&self, number: u32, to: &mut Vec<u8>) {
        let (before, _) = self.bytes.split_at(self.number.start);
        let (_, after) = self.bytes.split_at(self.number.end);
        to.extend_from_slice(before);
        to.extend_from_slice(&number.to_be_bytes());
        to.extend_from_slice(after);
    }

    /// Where each chunk begins.
    pub(crate) fn chunks(&self) -> &[usize] {
        &self.chunks
    }

    /// The addresses, ports and times, without the payload: what a packet with another payload begins with.
    pub(crate) fn without_payload(&self) -> &[u8] {
        let payload = self.chunks.iter().find(|at| self.bytes.split_at(**at).1.starts_with(&[0, 0, 0, 15]));
        self.bytes.split_at(payload.copied().unwrap_or(self.bytes.len())).0
    }
}
