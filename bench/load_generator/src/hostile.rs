//! Hostile packets.

use std::fmt;
use std::io::{self, Write};

use fastrand::Rng;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::packet::Template;

/// Far above what hep inflates by default.
const INFLATED: usize = 4 * 1024 * 1024;

/// The number of packets of each kind.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) valid: u64,
    /// Some bytes have other values. Most of these packets are still valid.
    pub(crate) mutated: u64,
    /// The end is missing. None is valid.
    pub(crate) truncated: u64,
    /// The length of the frame or of a chunk is too small, or longer than the datagram. None is valid.
    pub(crate) wrong_length: u64,
    /// Inflates beyond the limit. None is valid.
    pub(crate) bomb: u64,
}

impl Tally {
    pub(crate) fn sum(&self) -> u64 {
        [self.valid, self.mutated, self.truncated, self.wrong_length, self.bomb].iter().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { valid, mutated, truncated, wrong_length, bomb } = self;
        write!(
            f,
            "valid={valid} mutated={mutated} truncated={truncated} wrong_length={wrong_length} bomb={bomb}"
        )
    }
}

/// Valid packets with a share of hostile ones.
pub(crate) struct Mix {
    template: Template,
    bombs: Vec<Vec<u8>>,
    share: f64,
    random: Rng,
    number: u32,
    pub(crate) tally: Tally,
}

impl Mix {
    /// `share` is between 0 (all are valid) and 1 (none is).
    pub(crate) fn new(template: Template, share: f64, random: Rng) -> io::Result<Self> {
        let bombs = bombs(&template)?;
        Ok(Self { template, bombs, share, random, number: 0, tally: Tally::default() })
    }

    /// Writes the next packet into the buffer.
    pub(crate) fn write(&mut self, packet: &mut Vec<u8>) {
        packet.clear();
        self.template.append(self.number, packet);
        self.number = self.number.wrapping_add(1);
        if self.share > 0.0 && self.random.f64() < self.share {
            self.spoil(packet);
        } else {
            count(&mut self.tally.valid);
        }
    }

    fn spoil(&mut self, packet: &mut Vec<u8>) {
        match self.random.u8(..4) {
            0 => {
                for _ in 0..self.random.u8(1..=8) {
                    if let Some(byte) = self.random.choice(packet.iter_mut()) {
                        *byte = self.random.u8(..);
                    }
                }
                count(&mut self.tally.mutated);
            }
            1 => {
                packet.truncate(self.random.usize(..packet.len()));
                count(&mut self.tally.truncated);
            }
            2 => {
                self.write_wrong_length(packet);
                count(&mut self.tally.wrong_length);
            }
            _ => {
                if let Some(bomb) = self.random.choice(&self.bombs) {
                    packet.clone_from(bomb);
                }
                count(&mut self.tally.bomb);
            }
        }
    }

    /// Below 6 or beyond the end of the datagram, in the frame or in a chunk.
    fn write_wrong_length(&mut self, packet: &mut [u8]) {
        let length = if self.random.bool() {
            self.random.u16(..6)
        } else {
            self.random.u16(u16::try_from(packet.len()).unwrap_or(u16::MAX)..).saturating_add(1)
        };
        // Both lengths are the last two bytes of a header of six.
        let header = if self.random.bool() {
            0
        } else {
            self.random.choice(self.template.chunks()).copied().unwrap_or_default()
        };
        for (byte, wrong) in packet.iter_mut().skip(header).skip(4).zip(length.to_be_bytes()) {
            *byte = wrong;
        }
    }
}

fn count(kind: &mut u64) {
    *kind = kind.saturating_add(1);
}

/// Packets whose payload inflates beyond the limit, in each compression that senders use.
fn bombs(template: &Template) -> io::Result<Vec<Vec<u8>>> {
    let zeros = vec![0; INFLATED];
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    raw.write_all(&zeros)?;
    zlib.write_all(&zeros)?;
    gzip.write_all(&zeros)?;
    [raw.finish()?, zlib.finish()?, gzip.finish()?]
        .iter()
        .map(|deflated| bomb(template.without_payload(), deflated).map_err(io::Error::other))
        .collect()
}

fn bomb(packet: &[u8], deflated: &[u8]) -> Result<Vec<u8>, std::num::TryFromIntError> {
    let chunk_length = u16::try_from(deflated.len().saturating_add(6))?;
    let total_length = u16::try_from(packet.len().saturating_add(usize::from(chunk_length)))?;
    let mut bomb = packet.to_vec();
    bomb.extend_from_slice(&[0, 0, 0, 0x10]);
    bomb.extend_from_slice(&chunk_length.to_be_bytes());
    bomb.extend_from_slice(deflated);
    for (byte, length) in bomb.iter_mut().skip(4).zip(total_length.to_be_bytes()) {
        *byte = length;
    }
    Ok(bomb)
}
