//! The frame of version 3: the header and the chunks.

use core::iter::FusedIterator;

use nom::branch::alt;
use nom::bytes::complete::{tag, take};
use nom::number::complete::be_u16;
use nom::{IResult, Parser};

use crate::DecodeError;

/// The magic of version 3.
pub(crate) const MAGIC: &[u8] = b"HEP3";
/// The magic under the protocol's newer name: the same frame.
pub(crate) const EEP_MAGIC: &[u8] = b"EEP3";
/// The length of the frame's header, and of a chunk's.
pub(crate) const HEADER: u16 = 6;

/// One chunk, borrowed from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Vendor id; 0 is generic.
    pub vendor: u16,
    /// Chunk id, within the vendor's.
    pub id: u16,
    /// The value, without the chunk's header.
    pub value: &'a [u8],
}

/// A frame of version 3 whose total length holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    chunks: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads magic and total length. Bytes behind the total length are left alone.
    pub(crate) fn read(input: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = DecodeError::Truncated { offset: input.len() };
        let Ok((rest, _magic)) = magic(input) else {
            let begun = MAGIC.starts_with(input) || EEP_MAGIC.starts_with(input);
            return Err(if begun && !input.is_empty() { truncated } else { DecodeError::NotHep });
        };
        let (rest, length) = be_u16::<_, ()>(rest).map_err(|_| truncated)?;
        let size = length.checked_sub(HEADER).ok_or(DecodeError::InvalidTotalLength { length })?;
        let (_behind, chunks) = take::<_, _, ()>(size)(rest).map_err(|_| truncated)?;
        Ok(Self { chunks })
    }

    pub(crate) const fn chunks(self) -> FrameChunks<'a> {
        FrameChunks { size: self.chunks.len(), rest: self.chunks }
    }
}

/// The chunks of a frame, each with the offset at which it begins.
#[derive(Clone, Debug)]
pub(crate) struct FrameChunks<'a> {
    size: usize,
    rest: &'a [u8],
}

impl<'a> Iterator for FrameChunks<'a> {
    type Item = Result<(usize, Chunk<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.size.saturating_sub(self.rest.len()).saturating_add(HEADER.into());
        let rest = core::mem::take(&mut self.rest);
        let Ok((rest, (vendor, id, length))) = chunk_header(rest) else {
            return Some(Err(DecodeError::TruncatedChunk { offset }));
        };
        let value = length.checked_sub(HEADER).and_then(|width| rest.split_at_checked(width.into()));
        let Some((value, rest)) = value else {
            return Some(Err(DecodeError::InvalidChunkLength { offset, length }));
        };
        self.rest = rest;
        Some(Ok((offset, Chunk { vendor, id, value })))
    }
}

impl FusedIterator for FrameChunks<'_> {}

fn magic(input: &[u8]) -> IResult<&[u8], &[u8], ()> {
    alt((tag(MAGIC), tag(EEP_MAGIC))).parse(input)
}

fn chunk_header(input: &[u8]) -> IResult<&[u8], (u16, u16, u16), ()> {
    (be_u16, be_u16, be_u16).parse(input)
}
