//! The packet that is sent repeatedly, with a number in it.

use std::ops::Range;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, io};

/// Magic and total length.
const FRAME_HEADER: usize = 6;
/// Vendor, chunk id and length.
const CHUNK_HEADER: usize = 6;
/// The capture id of version 3: 32 bits, which contain the number.
const CAPTURE_ID: &[u8] = &[0, 0, 0, 12, 0, 10];
/// Seconds and microseconds of the time.
const SECONDS: &[u8] = &[0, 0, 0, 9, 0, 10];
const MICROSECONDS: &[u8] = &[0, 0, 0, 10, 0, 10];

/// A packet of version 3 with a capture id.
#[derive(Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// The offsets of the chunks.
    chunks: Vec<usize>,
    /// The position of the capture id.
    number: Range<usize>,
    /// The position of the time.
    seconds: Option<usize>,
    microseconds: Option<usize>,
    /// Whether the time is set to that of sending.
    pub(crate) is_stamped: bool,
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
        let mut seconds = None;
        let mut microseconds = None;
        let mut at = FRAME_HEADER;
        while at < bytes.len() {
            let value = at.checked_add(CHUNK_HEADER)?;
            let header = bytes.get(at..value)?;
            let length = usize::from(u16::from_be_bytes(*header.last_chunk()?));
            let end = at.checked_add(length.max(CHUNK_HEADER))?;
            if header == CAPTURE_ID {
                number = Some(value..end);
            } else if header == SECONDS {
                seconds = Some(value);
            } else if header == MICROSECONDS {
                microseconds = Some(value);
            }
            chunks.push(at);
            at = end;
        }
        let number = number?;
        bytes.get(number.clone())?;
        let is_packet = bytes.starts_with(b"HEP3") && at == bytes.len();
        is_packet.then_some(Self { bytes, chunks, number, seconds, microseconds, is_stamped: false })
    }

    /// Adds the packet with this number.
    pub(crate) fn append(&self, number: u32, to: &mut Vec<u8>) {
        let start = to.len();
        let (before, _) = self.bytes.split_at(self.number.start);
        let (_, after) = self.bytes.split_at(self.number.end);
        to.extend_from_slice(before);
        to.extend_from_slice(&number.to_be_bytes());
        to.extend_from_slice(after);
        if self.is_stamped {
            self.stamp(to.split_at_mut(start).1);
        }
    }

    fn stamp(&self, packet: &mut [u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        for (at, value) in [(self.seconds, seconds), (self.microseconds, now.subsec_micros())] {
            let Some(at) = at else { continue };
            for (byte, new) in packet.iter_mut().skip(at).zip(value.to_be_bytes()) {
                *byte = new;
            }
        }
    }

    /// The offsets of the chunks.
    pub(crate) fn chunks(&self) -> &[usize] {
        &self.chunks
    }

    /// Addresses, ports and times without the payload: the start of a packet with another payload.
    pub(crate) fn without_payload(&self) -> &[u8] {
        let payload = self.chunks.iter().find(|at| self.bytes.split_at(**at).1.starts_with(&[0, 0, 0, 15]));
        self.bytes.split_at(payload.copied().unwrap_or(self.bytes.len())).0
    }
}
