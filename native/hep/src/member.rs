//! One gzip member (RFC 1952), read incrementally: a member states no length, so only inflating it finds its end.

use std::borrow::Cow;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use thiserror::Error;

use crate::error::DecodeError;
use crate::options::Options;
use crate::quirks;

/// The fixed part of a member's header.
const HEADER: usize = 10;
/// The checksum and the length of the data, after the deflate stream.
const TRAILER: usize = 8;
/// More than a header with a file name and a comment needs.
const MAX_HEADER: usize = 1024;
/// What deflate adds to bytes that it cannot compress is far below this.
const OVERHEAD: usize = 1024;
/// The step by which the output grows: its size cannot be derived from the input's.
const STEP: usize = 4096;

const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// The largest unpacked member: a packet's largest total length.
pub const MAX_PACKET: usize = u16::MAX as usize;

/// Why a member cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GzipError {
    /// It ends before the end of its checksum.
    #[error("truncated")]
    Truncated,
    /// Its header, its data or its checksum is wrong.
    #[error("corrupt")]
    Corrupt,
    /// It unpacks to more bytes than its limit.
    #[error("inflates beyond the limit")]
    TooLarge,
}

/// Unpacks a packet in gzip, once, to at most 65,535 bytes (rule Q11); returns any other packet unchanged. Bytes after
/// the member are ignored, like those after a total length.
///
/// # Errors
/// [`DecodeError::InvalidGzip`]
#[inline]
pub fn unpack<'a>(input: &'a [u8], options: &Options) -> Result<Cow<'a, [u8]>, DecodeError> {
    if quirks::is_gzip(input) {
        unpack_gzip(input, options).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(input))
    }
}

#[cold]
fn unpack_gzip(input: &[u8], options: &Options) -> Result<Vec<u8>, DecodeError> {
    match Member::new(options.max_inflated.min(MAX_PACKET)).feed(input) {
        Ok(Unpacked::Complete { data, .. }) => Ok(data),
        Ok(Unpacked::Partial) => Err(DecodeError::InvalidGzip(GzipError::Truncated)),
        Err(error) => Err(DecodeError::InvalidGzip(error)),
    }
}

/// The state of a member after its next bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpacked {
    /// More bytes are needed.
    Partial,
    /// It is complete.
    Complete {
        /// The unpacked data.
        data: Vec<u8>,
        /// How many of the last bytes belong to the member.
        used: usize,
    },
}

/// A gzip member that is being read.
#[derive(Debug)]
pub struct Member {
    limit: usize,
    /// Compressed bytes that may still come.
    room: usize,
    stage: Stage,
    data: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Header(Vec<u8>),
    Body(Decompress),
    Trailer(Vec<u8>),
}

impl Member {
    /// A member that unpacks to at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        let room = limit.saturating_add(MAX_HEADER).saturating_add(OVERHEAD);
        Self { limit, room, stage: Stage::Header(Vec::new()), data: Vec::new() }
    }

    /// Reads the next bytes. Bytes after the member are ignored.
    ///
    /// # Errors
    /// [`GzipError`] if it is corrupt or too large; the member cannot be used afterwards.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Unpacked, GzipError> {
        let mut rest = bytes;
        loop {
            let before = rest.len();
            let is_complete = self.step(&mut rest)?;
            let used = before.checked_sub(rest.len()).ok_or(GzipError::Corrupt)?;
            self.room = self.room.checked_sub(used).ok_or(GzipError::TooLarge)?;
            if is_complete {
                let used = bytes.len().checked_sub(rest.len()).ok_or(GzipError::Corrupt)?;
                return Ok(Unpacked::Complete { data: core::mem::take(&mut self.data), used });
            }
            if rest.is_empty() {
                return Ok(Unpacked::Partial);
            }
        }
    }

    /// Takes the bytes that the current stage needs from `rest`; `true` if the member is complete.
    fn step(&mut self, rest: &mut &[u8]) -> Result<bool, GzipError> {
        match &mut self.stage {
            Stage::Header(header) => {
                // Adding single bytes would parse the header as often; surplus bytes go back.
                let known = header.len();
                let most = MAX_HEADER.saturating_add(1).saturating_sub(known);
                header.extend_from_slice(rest.get(..most).unwrap_or(rest));
                match header_length(header)? {
                    Some(length) => {
                        *rest = length
                            .checked_sub(known)
                            .and_then(|used| rest.get(used..))
                            .ok_or(GzipError::Corrupt)?;
                        self.stage = Stage::Body(Decompress::new(false));
                    }
                    None if header.len() > MAX_HEADER => return Err(GzipError::Corrupt),
                    None => *rest = &[],
                }
                Ok(false)
            }
            Stage::Body(stream) => {
                if inflate(stream, rest, &mut self.data, self.limit)? {
                    self.stage = Stage::Trailer(Vec::with_capacity(TRAILER));
                }
                Ok(false)
            }
            Stage::Trailer(trailer) => {
                let missing = TRAILER.saturating_sub(trailer.len()).min(rest.len());
                let (taken, behind) = rest.split_at_checked(missing).ok_or(GzipError::Corrupt)?;
                trailer.extend_from_slice(taken);
                *rest = behind;
                if trailer.len() < TRAILER {
                    return Ok(false);
                }
                if trailer[..] == checksum(&self.data) { Ok(true) } else { Err(GzipError::Corrupt) }
            }
        }
    }
}

/// The length of a header, if it is complete.
fn header_length(header: &[u8]) -> Result<Option<usize>, GzipError> {
    const START: [u8; 3] = [0x1f, 0x8b, 8];
    if !START.iter().zip(header).all(|(expected, found)| expected == found) {
        return Err(GzipError::Corrupt);
    }
    let Some((&[_, _, _, flags, ..], mut rest)) = header.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    if flags & RESERVED != 0 {
        return Err(GzipError::Corrupt);
    }
    if flags & FEXTRA != 0 {
        let Some((&length, behind)) = rest.split_first_chunk() else { return Ok(None) };
        let Some(behind) = behind.get(usize::from(u16::from_le_bytes(length))..) else { return Ok(None) };
        rest = behind;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let mut parts = rest.splitn(2, |&byte| byte == 0);
            let (Some(_), Some(behind)) = (parts.next(), parts.next()) else { return Ok(None) };
            rest = behind;
        }
    }
    let checked = header.len().saturating_sub(rest.len());
    if flags & FHCRC == 0 {
        return Ok(Some(checked));
    }
    let Some((&stated, _)) = rest.split_first_chunk() else { return Ok(None) };
    let mut crc = Crc::new();
    crc.update(header.get(..checked).unwrap_or_default());
    let [low, high, ..] = crc.sum().to_le_bytes();
    if stated == [low, high] { Ok(Some(checked.saturating_add(2))) } else { Err(GzipError::Corrupt) }
}

/// Inflates the available part of the stream; `true` if it has ended.
fn inflate(
    stream: &mut Decompress,
    rest: &mut &[u8],
    data: &mut Vec<u8>,
    limit: usize,
) -> Result<bool, GzipError> {
    loop {
        if data.len() == data.capacity() {
            // One byte above the limit, so that a stream of exactly that size can end.
            let room = limit.saturating_add(1).checked_sub(data.len()).ok_or(GzipError::TooLarge)?;
            data.reserve_exact(room.min(STEP.max(data.len())));
        }
        let before = (stream.total_in(), data.len());
        let status =
            stream.decompress_vec(rest, data, FlushDecompress::None).map_err(|_| GzipError::Corrupt)?;
        let used = stream.total_in().checked_sub(before.0).and_then(|used| usize::try_from(used).ok());
        *rest = used.and_then(|used| rest.get(used..)).ok_or(GzipError::Corrupt)?;
        if data.len() > limit {
            return Err(GzipError::TooLarge);
        }
        match status {
            Status::StreamEnd => return Ok(true),
            _ if before == (stream.total_in(), data.len()) => return Ok(false),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// The expected trailer of the data.
fn checksum(data: &[u8]) -> [u8; TRAILER] {
    let mut crc = Crc::new();
    crc.update(data);
    (u64::from(crc.sum()) | u64::from(crc.amount()) << 32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn packed(builder: GzBuilder, data: &[u8], level: Compression) -> Vec<u8> {
        let mut writer = builder.write(Vec::new(), level);
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    fn plain(data: &[u8]) -> Vec<u8> {
        packed(GzBuilder::new(), data, Compression::best())
    }

    fn complete(data: &[u8], used: usize) -> Unpacked {
        Unpacked::Complete { data: data.to_vec(), used }
    }

    /// With the checksum of a header that has one.
    fn with_header_checksum(member: &[u8]) -> Vec<u8> {
        let mut head = member[..HEADER].to_vec();
        head[3] |= FHCRC;
        let mut crc = Crc::new();
        crc.update(&head);
        head.extend_from_slice(&crc.sum().to_le_bytes()[..2]);
        [&head[..], &member[HEADER..]].concat()
    }

    /// Found by the fuzz target: one that came in one piece was not refused.
    #[test]
    fn a_header_is_too_long_however_it_is_split() {
        for name in [MAX_HEADER - HEADER - 1, MAX_HEADER - HEADER, MAX_HEADER - HEADER + 1, 3 * MAX_HEADER] {
            let member = packed(GzBuilder::new().filename(vec![b'x'; name]), b"data", Compression::best());
            let feed = |size: usize| {
                let mut reader = Member::new(100);
                let mut results = member.chunks(size).map(|part| reader.feed(part));
                results.find(|result| *result != Ok(Unpacked::Partial)).map(|result| result.is_ok())
            };
            let is_short = HEADER + name <= MAX_HEADER;
            for size in [1, 500, MAX_HEADER, MAX_HEADER + 1, member.len()] {
                assert_eq!(feed(size), Some(is_short), "a name of {name} bytes, in parts of {size}");
            }
        }
    }

    #[test]
    fn split_anywhere_it_unpacks_to_the_same_bytes() {
        let data = b"HEP3 OPTIONS sip:a@192.0.2.2 SIP/2.0";
        let named = GzBuilder::new().filename("a name").comment("a comment").extra(*b"extra");
        for member in
            [plain(data), packed(named, data, Compression::none()), with_header_checksum(&plain(data))]
        {
            let bytes = [&member[..], b"behind"].concat();
            assert_eq!(Member::new(100).feed(&bytes), Ok(complete(data, member.len())));
            for cut in 0..member.len() {
                let mut reader = Member::new(100);
                assert_eq!(reader.feed(&bytes[..cut]), Ok(Unpacked::Partial), "{cut}");
                assert_eq!(reader.feed(&bytes[cut..]), Ok(complete(data, member.len() - cut)), "{cut}");
            }
            let mut reader = Member::new(100);
            for byte in &member[..member.len() - 1] {
                assert_eq!(reader.feed(&[*byte]), Ok(Unpacked::Partial));
            }
            assert_eq!(reader.feed(&member[member.len() - 1..]), Ok(complete(data, 1)));
        }
    }

    #[test]
    fn the_limit_is_exact() {
        for size in [1, 100, 4096, 4097, 65_535] {
            let data = vec![b'x'; size];
            for level in [Compression::none(), Compression::best()] {
                let member = packed(GzBuilder::new(), &data, level);
                assert_eq!(Member::new(size).feed(&member), Ok(complete(&data, member.len())));
                assert_eq!(Member::new(size - 1).feed(&member), Err(GzipError::TooLarge));
            }
        }
    }

    #[test]
    fn a_member_without_an_end_is_rejected() {
        // Stored blocks of no bytes.
        let mut reader = Member::new(100);
        let head = &plain(b"")[..HEADER];
        assert_eq!(reader.feed(head), Ok(Unpacked::Partial));
        let block = [0, 0, 0, 0xff, 0xff];
        let refused = (0..1000).position(|_| reader.feed(&block).is_err());
        assert!((400..500).contains(&refused.unwrap()));
    }

    #[test]
    fn a_header_without_an_end_is_rejected() {
        let mut reader = Member::new(100);
        assert_eq!(reader.feed(&[0x1f, 0x8b, 8, FNAME, 0, 0, 0, 0, 0, 0]), Ok(Unpacked::Partial));
        assert_eq!(reader.feed(&[b'x'; MAX_HEADER - HEADER]), Ok(Unpacked::Partial));
        assert_eq!(reader.feed(b"x"), Err(GzipError::Corrupt));
    }

    #[test]
    fn broken_members_are_rejected() {
        let member = plain(b"INVITE sip:bob");
        let mut bits = 0;
        for at in [0, 1, 2, member.len() - 8, member.len() - 1] {
            let mut broken = member.clone();
            broken[at] ^= 1;
            assert_eq!(Member::new(100).feed(&broken), Err(GzipError::Corrupt), "{at}");
            bits += 1;
        }
        assert_eq!(bits, 5);
        let mut reserved = member.clone();
        reserved[3] = 0x20;
        assert_eq!(Member::new(100).feed(&reserved), Err(GzipError::Corrupt));
        let mut checked = with_header_checksum(&member);
        checked[HEADER] ^= 1;
        assert_eq!(Member::new(100).feed(&checked), Err(GzipError::Corrupt));
    }
}
