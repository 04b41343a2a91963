//! Sends valid or hostile HEP to a collector under test at a given rate, and prints a summary in one line.
//!
//! It is a part of `make load`, not of the library.

mod hostile;
mod packet;
mod stream;
mod udp;

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fastrand::Rng;
use lexopt::{Arg, Parser, ValueExt};

use hostile::{Mix, Tally};
use packet::Template;
use udp::Pace;

const USAGE: &str = "\
usage: hep_load_generator udp ADDRESS PACKET [--rate N] [--packets N] [--sockets N] [--hostile PERCENT] [--stamp]
           [--seed N]
       hep_load_generator tcp ADDRESS PACKET [--connections N] [--packets N] [--seed N]
       hep_load_generator tls ADDRESS PACKET --trust FILE [--connections N] [--packets N] [--seed N]

PACKET is a file with one packet of version 3. Its capture id becomes a number: the datagram's on UDP, that
within its connection otherwise, and with --stamp its time that of sending. --packets is the sum over all sockets or connections.";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hep_load_generator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::read(Parser::from_env())?;
    let mut template = Template::read(&options.packet)?;
    template.is_stamped = options.is_stamped;
    let mut random = Rng::with_seed(options.seed);
    let (took, tally) = match options.transport {
        Transport::Udp => {
            let pace = Pace { rate: options.rate, packets: options.packets, sockets: options.sockets };
            let mut mix = Mix::new(template, options.hostile / 100.0, random)?;
            (udp::send(options.to, &pace, &mut mix)?, mix.tally)
        }
        Transport::Tcp | Transport::Tls => {
            let tls = options.trust.as_deref().map(stream::trust).transpose()?;
            let each = options.packets.checked_div(options.connections.try_into()?).unwrap_or_default();
            let start = Instant::now();
            let each = u32::try_from(each)?;
            stream::send(options.to, tls.as_ref(), &template, options.connections, each, &mut random)?;
            let valid = u64::from(each).saturating_mul(options.connections.try_into()?);
            (start.elapsed(), Tally { valid, ..Tally::default() })
        }
    };
    report(took, &tally);
    Ok(())
}

fn report(took: Duration, tally: &Tally) {
    println!("sent={} seconds={:.3} {tally}", tally.sum(), took.as_secs_f64());
}

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    Udp,
    Tcp,
    Tls,
}

struct Options {
    transport: Transport,
    to: SocketAddr,
    packet: PathBuf,
    rate: u64,
    packets: u64,
    sockets: usize,
    hostile: f64,
    is_stamped: bool,
    connections: usize,
    trust: Option<PathBuf>,
    seed: u64,
}

impl Options {
    fn read(mut arguments: Parser) -> Result<Self> {
        let mut options = Self {
            transport: Transport::Udp,
            to: SocketAddr::from(([127, 0, 0, 1], 9060)),
            packet: PathBuf::new(),
            rate: 100_000,
            packets: 100_000,
            sockets: 1,
            hostile: 0.0,
            is_stamped: false,
            connections: 4,
            trust: None,
            seed: 1,
        };
        let mut place: u8 = 0;
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("rate") => options.rate = arguments.value()?.parse()?,
                Arg::Long("packets") => options.packets = arguments.value()?.parse()?,
                Arg::Long("sockets") => options.sockets = arguments.value()?.parse()?,
                Arg::Long("hostile") => options.hostile = arguments.value()?.parse()?,
                Arg::Long("stamp") => options.is_stamped = true,
                Arg::Long("connections") => options.connections = arguments.value()?.parse()?,
                Arg::Long("trust") => options.trust = Some(arguments.value()?.into()),
                Arg::Long("seed") => options.seed = arguments.value()?.parse()?,
                Arg::Value(value) if place < 3 => {
                    match place {
                        0 => options.transport = value.parse_with(transport)?,
                        1 => options.to = value.parse()?,
                        _ => options.packet = value.into(),
                    }
                    place = place.saturating_add(1);
                }
                other => return Err(format!("{}\n{USAGE}", other.unexpected()).into()),
            }
        }
        let trusts = options.trust.is_some();
        if place < 3 || trusts != (options.transport == Transport::Tls) {
            return Err(USAGE.into());
        }
        Ok(options)
    }
}

fn transport(name: &str) -> std::result::Result<Transport, &'static str> {
    match name {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        "tls" => Ok(Transport::Tls),
        _ => Err("the transport is udp, tcp or tls"),
    }
}
