//! Reading for tests; the fuzz target `pcap` uses it, too.

use hep_pcap::{FileError, Found, Next, Options, Reader};

/// Reads a file in parts of this size.
pub(crate) fn read(file: &[u8], part: usize) -> (Vec<Found>, Option<FileError>) {
    let mut reader = Reader::new(Options::default());
    let mut parts = file.chunks(part);
    let mut found = Vec::new();
    loop {
        match reader.read() {
            Next::Found(packet) => found.push(packet),
            Next::Incomplete => match parts.next() {
                Some(part) => reader.feed(part),
                None => reader.finish(),
            },
            Next::End => return (found, None),
            Next::Error(error) => return (found, Some(error)),
        }
    }
}
