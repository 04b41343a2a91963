//! The codec as a separate program, for users who do not want native code in their VM.
//!
//! It reads frames from standard input and writes one frame for each to standard output: a length of 32 bits, a number
//! of 64 bits that is returned unchanged, and requests, each a length of 32 bits and a term in the external term
//! format. The answer has as many terms, in the same order. Error messages go to standard error. The program
//! ends at the end of its input.
//!
//! Its only argument is the maximum length of a frame that is read or written, in bytes; by default the largest
//! number of 32 bits.
//!
//! Memory: the frame that is read, what one request inflates (at most its `max_inflated`), the terms made for its
//! answer, and the frame that is written. Requests are handled one at a time, and are not copied to be read.
//!
//! The requests are those of `hep_port_term.erl`; see [`serve`](serve::serve).

#![forbid(unsafe_code)]

mod frames;
mod input;
mod limit;
mod serve;
mod tag;
mod terms;

use std::io::{self, BufReader, ErrorKind};
use std::process::ExitCode;

use frames::{Frames, write_frame};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hep_port: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let longest = longest(std::env::args().nth(1))?;
    let mut frames = Frames::new(BufReader::with_capacity(64 * 1024, io::stdin().lock()), longest);
    let mut output = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    while let Some((number, requests)) = frames.next()? {
        let answers = serve::serve(requests, longest).ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidData, format!("the requests of frame {number} do not fit it"))
        })?;
        write_frame(&mut output, number, &answers)?;
        // Flushes only when no input is pending, so that answers to several frames are written together.
        if frames.is_drained() {
            io::Write::flush(&mut output)?;
        }
    }
    io::Write::flush(&mut output)
}

fn longest(argument: Option<String>) -> io::Result<u32> {
    let wrong = |_| io::Error::other("the argument must be the length of the longest frame, in bytes");
    argument.map_or(Ok(u32::MAX), |bytes| bytes.parse().map_err(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_frame_is_the_argument() {
        assert_eq!(longest(None).ok(), Some(u32::MAX));
        assert_eq!(longest(Some("1000".into())).ok(), Some(1000));
        for wrong in ["", "x", "-1", "4294967296"] {
            assert!(longest(Some(wrong.into())).is_err(), "{wrong}");
        }
    }
}
