//! Inflates compressed payloads (chunk 0x10), up to a limit.

use std::io::Read;

use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::quirks::{self, Compression};

/// The step by which the output grows: its size cannot be derived from the input's.
const STEP: usize = 16 * 1024;

/// Inflates `data` to at most `limit` bytes; `None` if the stream is corrupt, truncated or too large.
///
/// Bytes after the end of the stream are ignored.
pub(crate) fn inflate(data: &[u8], limit: usize) -> Option<Vec<u8>> {
    match quirks::sniff_compression(data) {
        Compression::Gzip => gunzip(data, limit),
        Compression::Zlib => run(Decompress::new(true), data, limit),
        Compression::Raw => run(Decompress::new(false), data, limit),
    }
}

fn gunzip(data: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let beyond = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(data).take(beyond).read_to_end(&mut inflated).ok()?;
    (inflated.len() <= limit).then_some(inflated)
}

/// zlib and raw deflate, step by step: flate2's readers accept a truncated stream as complete.
fn run(mut stream: Decompress, data: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    loop {
        if inflated.len() == inflated.capacity() {
            // One byte above the limit, so that a stream of exactly that size can end.
            let room = limit.saturating_add(1).checked_sub(inflated.len())?;
            inflated.reserve_exact(room.min(STEP.max(inflated.len())));
        }
        let before = (stream.total_in(), inflated.len());
        let rest = data.get(usize::try_from(stream.total_in()).ok()?..)?;
        let status = stream.decompress_vec(rest, &mut inflated, FlushDecompress::None).ok()?;
        if inflated.len() > limit {
            return None;
        }
        match status {
            Status::StreamEnd => return Some(inflated),
            _ if before == (stream.total_in(), inflated.len()) => return None,
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::inflate;

    fn packed(data: &[u8]) -> [Vec<u8>; 3] {
        let mut gzip = GzEncoder::new(Vec::new(), Level::best());
        let mut zlib = ZlibEncoder::new(Vec::new(), Level::best());
        let mut raw = DeflateEncoder::new(Vec::new(), Level::best());
        gzip.write_all(data).unwrap();
        zlib.write_all(data).unwrap();
        raw.write_all(data).unwrap();
        [gzip.finish().unwrap(), zlib.finish().unwrap(), raw.finish().unwrap()]
    }

    #[test]
    fn all_three_forms_inflate() {
        for size in [0, 1, 100, 16 * 1024, 70_000] {
            let data: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
            for stream in packed(&data) {
                assert_eq!(inflate(&stream, data.len()).as_ref(), Some(&data));
                assert_eq!(inflate(&stream, data.len() + 1).as_ref(), Some(&data));
                let padded = [&stream[..], &[0; 8]].concat();
                assert_eq!(inflate(&padded, data.len()).as_ref(), Some(&data));
            }
        }
    }

    #[test]
    fn one_byte_above_the_limit_is_rejected() {
        for size in [1, 100, 16 * 1024, 16 * 1024 + 1, 70_000] {
            for stream in packed(&vec![b'x'; size]) {
                assert_eq!(inflate(&stream, size - 1), None, "{size}");
            }
        }
    }

    #[test]
    fn a_truncated_stream_is_rejected_at_every_byte() {
        for stream in packed(b"OPTIONS sip:a@192.0.2.2 SIP/2.0\r\nCall-ID: x1\r\n\r\n") {
            for end in 0..stream.len() {
                assert_eq!(inflate(&stream[..end], 1024), None, "{end} of {}", stream.len());
            }
        }
    }

    #[test]
    fn a_wrong_checksum_is_rejected() {
        let [mut gzip, mut zlib, _] = packed(b"INVITE sip:bob");
        let crc = gzip.len() - 8;
        gzip[crc] ^= 1;
        assert_eq!(inflate(&gzip, 1024), None);
        *zlib.last_mut().unwrap() ^= 1;
        assert_eq!(inflate(&zlib, 1024), None);
    }

    #[test]
    fn output_never_grows_beyond_the_limit() {
        let bomb = &packed(&vec![0; 10_000_000])[1];
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(bomb, 1024 * 1024), None);
        let exact = &packed(&vec![0; 1024 * 1024])[1];
        assert!(inflate(exact, 1024 * 1024).unwrap().capacity() <= 1024 * 1024 + 1);
    }
}
