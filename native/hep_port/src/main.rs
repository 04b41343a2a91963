//! The codec as a program of its own, for those who will not load native code into their VM.
//!
//! It reads frames from standard input and writes one for each to standard output: a length of 32 bits
//! (Erlang's `{packet, 4}`), a number of 64 bits that comes back as it went in, and a term in the external
//! term format. What it has to say to people goes to standard error. It ends when its input does.
//!
//! The requests are those of `hep_port.erl`; see [`serve`](serve::serve).

#![forbid(unsafe_code)]

mod frames;
mod serve;
mod terms;

use std::io::{self, BufReader};
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
    let mut frames = Frames::new(BufReader::with_capacity(64 * 1024, io::stdin().lock()));
    let mut output = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    while let Some((number, request)) = frames.next()? {
        write_frame(&mut output, number, &serve::serve(request))?;
        // Answers to requests that came together go out together.
        if frames.is_drained() {
            io::Write::flush(&mut output)?;
        }
    }
    io::Write::flush(&mut output)
}
