//! The frame of version 3: the header and the chunks.

use core::iter::FusedIterator;

use nom::branch::alt;
use nom::bytes::complete::{tag, take};
use nom::number::complete::be_u16;
use nom::{IResult, Parser};

use crate::error::DecodeError;
use crate::registry::{EEP_MAGIC, GenericChunk, MAGIC};

/// The length of a frame's header, and of a chunk's header.
pub(crate) const HEADER: u16 = 6;

/// One chunk, borrowed from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Vendor id; 0 is generic.
    pub vendor: u16,
    /// Chunk id, per vendor.
    pub id: u16,
    /// The value, without the chunk's header.
    pub value: &'a [u8],
}

/// A frame of version 3 with a valid total length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    chunks: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads magic and total length. Ignores bytes after the total length.
    pub(crate) fn read(input: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = DecodeError::Truncated { offset: input.len() };
        let Ok((rest, _magic)) = magic(input) else {
            let is_prefix = MAGIC.starts_with(input) || EEP_MAGIC.starts_with(input);
            return Err(if is_prefix && !input.is_empty() { truncated } else { DecodeError::NotHep });
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

/// The chunks of a frame.
#[derive(Clone, Debug)]
pub(crate) struct FrameChunks<'a> {
    size: usize,
    rest: &'a [u8],
}

impl FrameChunks<'_> {
    /// Where the next chunk begins in the packet.
    fn offset(&self) -> usize {
        self.size.saturating_sub(self.rest.len()).saturating_add(HEADER.into())
    }

    /// The offset of the last chunk's value.
    pub(crate) fn offset_of_value(&self, chunk: &Chunk<'_>) -> usize {
        self.offset().saturating_sub(chunk.value.len())
    }
}

impl<'a> Iterator for FrameChunks<'a> {
    type Item = Result<Chunk<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match chunk(self.rest) {
            Ok((rest, chunk)) => {
                self.rest = rest;
                Some(Ok(chunk))
            }
            Err(_) => Some(Err(self.refuse())),
        }
    }
}

impl FrameChunks<'_> {
    /// Ends the iteration with the error of the current chunk.
    #[cold]
    fn refuse(&mut self) -> DecodeError {
        let offset = self.offset();
        match chunk_header(core::mem::take(&mut self.rest)) {
            Ok((_, (_vendor, _id, length))) => DecodeError::InvalidChunkLength { offset, length },
            Err(_) => DecodeError::TruncatedChunk { offset },
        }
    }
}

impl FusedIterator for FrameChunks<'_> {}

/// The chunks of a frame with wrong lengths, as far as they can be read, each with the offset of its value.
///
/// A chunk beyond the total length is complete if the datagram contains all of it (siphon-sip states a total that is
/// 24 bytes short), and so are the chunks after it. A payload beyond the datagram is truncated (sofia-sip, sipsorcery).
/// Any other chunk beyond it, and a chunk with a length below 6, ends the frame.
pub(crate) struct CutChunks<'a> {
    input: &'a [u8],
    /// Where the next chunk begins.
    offset: usize,
    /// Where the frame ends by its total length.
    total: usize,
}

impl<'a> CutChunks<'a> {
    /// `None` where the input has no total length, or one below 6.
    pub(crate) fn read(input: &'a [u8]) -> Option<Self> {
        let (rest, _magic) = magic(input).ok()?;
        let (_, length) = be_u16::<_, ()>(rest).ok()?;
        let total = usize::from(length);
        if length < HEADER {
            return None;
        }
        // If another packet begins at the total length, the total length is right.
        let is_followed = input.get(total..).is_some_and(|next| magic(next).is_ok());
        let input = if is_followed { input.get(..total)? } else { input };
        Some(Self { input, offset: HEADER.into(), total })
    }
}

impl<'a> Iterator for CutChunks<'a> {
    type Item = (usize, Chunk<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let begin = core::mem::replace(&mut self.offset, self.input.len());
        let input = self.input.get(begin..)?;
        // Another packet may follow after the total length.
        if begin == self.total || begin > self.total && magic(input).is_ok() {
            return None;
        }
        let (rest, (vendor, id, length)) = chunk_header(input).ok()?;
        let width = usize::from(length.checked_sub(HEADER)?);
        let value = match rest.get(..width) {
            Some(value) => {
                self.offset = begin.checked_add(length.into())?;
                value
            }
            None if vendor == 0 && GenericChunk::from(id) == GenericChunk::Payload => rest,
            None => return None,
        };
        Some((begin.checked_add(HEADER.into())?, Chunk { vendor, id, value }))
    }
}

fn magic(input: &[u8]) -> IResult<&[u8], &[u8], ()> {
    alt((tag(&MAGIC[..]), tag(&EEP_MAGIC[..]))).parse(input)
}

#[inline]
fn chunk(input: &[u8]) -> IResult<&[u8], Chunk<'_>, ()> {
    let (rest, (vendor, id, length)) = chunk_header(input)?;
    let width = length.checked_sub(HEADER).ok_or(nom::Err::Error(()))?;
    let (value, rest) = rest.split_at_checked(width.into()).ok_or(nom::Err::Error(()))?;
    Ok((rest, Chunk { vendor, id, value }))
}

/// Vendor id, chunk id, length: the six bytes at once, since they are read for every chunk of every packet.
#[inline]
fn chunk_header(input: &[u8]) -> IResult<&[u8], (u16, u16, u16), ()> {
    let Some((&[v0, v1, i0, i1, l0, l1], rest)) = input.split_first_chunk() else {
        return Err(nom::Err::Error(()));
    };
    let [vendor, id, length] = [[v0, v1], [i0, i1], [l0, l1]].map(u16::from_be_bytes);
    Ok((rest, (vendor, id, length)))
}
