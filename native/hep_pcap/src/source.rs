//! The bytes of a file, unpacked if it is in gzip.

use std::io::Write;

use flate2::write::MultiGzDecoder;

/// The first bytes of gzip with deflate (RFC 1952).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// The number of compressed bytes per step: deflate unpacks them to at most 4 MiB.
const STEP: usize = 4096;

/// A corrupt or truncated gzip member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidGzip;

/// Bytes that were added but not read yet.
pub(crate) struct Source {
    /// Unpacked bytes; the first `read` of them have been read.
    plain: Vec<u8>,
    read: usize,
    /// Offset of the first unread byte in the unpacked file.
    offset: u64,
    /// The number of bytes to skip that have not arrived yet.
    skipped: usize,
    form: Form,
}

enum Form {
    Unknown,
    Plain,
    Gzip {
        decoder: Box<MultiGzDecoder<Vec<u8>>>,
        packed: Vec<u8>,
        unpacked: usize,
    },
    /// Invalid gzip: the bytes unpacked before are still read.
    Invalid,
}

impl Source {
    pub(crate) const fn new() -> Self {
        Self { plain: Vec::new(), read: 0, offset: 0, skipped: 0, form: Form::Unknown }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if let Form::Gzip { packed, unpacked, .. } = &mut self.form {
            packed.drain(..*unpacked);
            *unpacked = 0;
            packed.extend_from_slice(bytes);
            return;
        }
        self.plain.drain(..self.read);
        self.read = 0;
        self.plain.extend_from_slice(bytes);
        if matches!(self.form, Form::Unknown) && self.plain.len() >= GZIP.len() {
            self.form = if self.plain.starts_with(&GZIP) {
                let packed = std::mem::take(&mut self.plain);
                Form::Gzip { decoder: Box::new(MultiGzDecoder::new(Vec::new())), packed, unpacked: 0 }
            } else {
                Form::Plain
            };
        }
    }

    /// The bytes that can be read.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.plain.get(self.read..).unwrap_or_default()
    }

    /// Their offset in the unpacked file.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Skips bytes.
    pub(crate) fn consume(&mut self, length: usize) {
        let length = length.min(self.bytes().len());
        self.read = self.read.saturating_add(length);
        self.offset = self.offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// Skips bytes that need not have arrived yet.
    pub(crate) fn skip(&mut self, length: u32) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.skipped = length.saturating_sub(self.bytes().len());
        self.consume(length);
    }

    /// Skips those that have arrived since; false while some are missing.
    pub(crate) fn is_past(&mut self) -> bool {
        let length = self.skipped.min(self.bytes().len());
        self.skipped = self.skipped.saturating_sub(length);
        self.consume(length);
        self.skipped == 0
    }

    /// Unpacks the next part; false if there is nothing to unpack.
    pub(crate) fn unpack(&mut self) -> Result<bool, InvalidGzip> {
        let (decoder, step) = match &mut self.form {
            Form::Unknown | Form::Plain => return Ok(false),
            Form::Invalid => return Err(InvalidGzip),
            Form::Gzip { decoder, packed, unpacked } => {
                let end = unpacked.saturating_add(STEP).min(packed.len());
                let step = packed.get(*unpacked..end).unwrap_or_default();
                *unpacked = end;
                (decoder, step)
            }
        };
        if step.is_empty() {
            return Ok(false);
        }
        let is_valid = decoder.write_all(step).is_ok();
        self.take_unpacked();
        if !is_valid {
            self.form = Form::Invalid;
        }
        Ok(true)
    }

    /// Unpacks the data that the decoder holds back, at the end of the file.
    pub(crate) fn finish(&mut self) -> Result<(), InvalidGzip> {
        let Form::Gzip { decoder, .. } = &mut self.form else { return Ok(()) };
        let result = decoder.try_finish();
        self.take_unpacked();
        result.map_err(|_| InvalidGzip)
    }

    fn take_unpacked(&mut self) {
        if let Form::Gzip { decoder, .. } = &mut self.form {
            self.plain.drain(..self.read);
            self.read = 0;
            self.plain.append(decoder.get_mut());
        }
    }
}
