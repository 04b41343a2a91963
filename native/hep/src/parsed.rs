//! The chunk view: every chunk, in order and unchanged.

use core::iter::FusedIterator;

use crate::clock::Clock;
use crate::error::DecodeError;
use crate::fixed::FixedPacket;
use crate::frame::{Chunk, Frame, FrameChunks};
use crate::options::Options;
use crate::registry::{GenericChunk, PayloadType};
use crate::types::{Family, Version};

/// Parses a packet into a list of chunks. A packet in gzip must be [unpacked](crate::unpack()) first.
///
/// The clock supplies the time for packets of version 1, which carry none, and decides if the byte order of version 2's
/// time is ambiguous. Lengths are always checked strictly, whatever the options.
///
/// # Errors
/// [`DecodeError`] describes the error and its place; errors of chunks are returned by [`Parsed::chunks`].
pub fn parse<'a>(input: &'a [u8], options: &Options, clock: impl Clock) -> Result<Parsed<'a>, DecodeError> {
    Parsed::read(input, options, &clock)
}

/// A packet as a list of chunks.
///
/// A packet of version 1 or 2 becomes the chunks of the equivalent packet of version 3.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'a> {
    /// HEP version.
    pub version: Version,
    body: Body<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Body<'a> {
    Fixed(FixedPacket<'a>, Integers),
    Frame(Frame<'a>),
}

/// The integers of a fixed header, in the bytes of version 3.
#[derive(Clone, Copy, Debug)]
struct Integers {
    family: [u8; 1],
    seconds: [u8; 4],
    microseconds: [u8; 4],
    payload_type: [u8; 1],
    capture_id: Option<[u8; 4]>,
}

impl<'a> Parsed<'a> {
    #[inline]
    fn read(input: &'a [u8], options: &Options, clock: &impl Clock) -> Result<Self, DecodeError> {
        match Version::of_fixed_header(input) {
            Some(version) => {
                let fixed = FixedPacket::read(version, input, options, clock)?;
                let timestamp = fixed.time.map_or_else(|| clock.now(), |time| time.timestamp);
                let integers = Integers {
                    family: [fixed.family.number()],
                    seconds: timestamp.seconds.to_be_bytes(),
                    microseconds: timestamp.microseconds.to_be_bytes(),
                    payload_type: [PayloadType::Sip.into()],
                    capture_id: fixed.time.map(|time| u32::from(time.capture_id).to_be_bytes()),
                };
                Ok(Self { version, body: Body::Fixed(fixed, integers) })
            }
            None => Ok(Self { version: Version::V3, body: Body::Frame(Frame::read(input)?) }),
        }
    }

    /// The chunks, in order. A chunk with a wrong length ends them with an error.
    #[must_use]
    #[inline]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks(match &self.body {
            Body::Fixed(fixed, integers) => Source::Fixed(fixed_chunks(fixed, integers).into_iter()),
            Body::Frame(frame) => Source::Frame(frame.chunks()),
        })
    }
}

/// The chunks of a [`Parsed`] packet.
#[derive(Clone, Debug)]
pub struct Chunks<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Fixed(std::vec::IntoIter<Chunk<'a>>),
    Frame(FrameChunks<'a>),
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Fixed(chunks) => chunks.next().map(Ok),
            Source::Frame(chunks) => chunks.next(),
        }
    }
}

impl FusedIterator for Chunks<'_> {}

fn fixed_chunks<'a>(fixed: &FixedPacket<'a>, integers: &'a Integers) -> Vec<Chunk<'a>> {
    let (source, destination) = match fixed.family {
        Family::Ipv4 => (GenericChunk::Ipv4Source, GenericChunk::Ipv4Destination),
        Family::Ipv6 => (GenericChunk::Ipv6Source, GenericChunk::Ipv6Destination),
    };
    let chunk = |id: GenericChunk, value: &'a [u8]| Chunk { vendor: 0, id: id.into(), value };
    let mut chunks = vec![
        chunk(GenericChunk::ProtocolFamily, &integers.family),
        chunk(GenericChunk::Protocol, fixed.protocol),
        chunk(source, fixed.src_ip),
        chunk(destination, fixed.dst_ip),
        chunk(GenericChunk::SourcePort, fixed.src_port),
        chunk(GenericChunk::DestinationPort, fixed.dst_port),
        chunk(GenericChunk::Seconds, &integers.seconds),
        chunk(GenericChunk::Microseconds, &integers.microseconds),
        chunk(GenericChunk::PayloadType, &integers.payload_type),
    ];
    if let Some(id) = &integers.capture_id {
        chunks.push(chunk(GenericChunk::CaptureId, id));
    }
    chunks.push(chunk(GenericChunk::Payload, fixed.payload));
    chunks
}
