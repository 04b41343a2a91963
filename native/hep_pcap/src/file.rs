//! Capture files: their division into frames.

use pcap_parser::nom::{self, IResult};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Block, InterfaceDescriptionBlock, PcapError, PcapHeader, parse_block_be, parse_block_le,
    parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};
use thiserror::Error;

use crate::source::Source;

/// The largest frame, as in libpcap.
const MAX_FRAME: usize = 256 * 1024;
/// The largest pcapng block that is read. Other blocks are skipped, and may be larger.
const MAX_BLOCK: u32 = 1024 * 1024;
/// The maximum number of interfaces in a pcapng section.
const MAX_INTERFACES: usize = 4096;
const NANOSECONDS: u64 = 1_000_000_000;

/// The types of the pcapng blocks that are read.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// Obsolete since 2010, but still in archives.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// An error in a file, and its position. Offsets in a file in gzip count its unpacked bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("offset {offset}: {reason}")]
pub struct FileError {
    /// The start of the invalid header, frame or block.
    pub offset: u64,
    /// The reason.
    pub reason: Reason,
}

/// The reason of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// It begins neither like pcap nor like pcapng.
    #[error("not a capture file")]
    NotPcap,
    /// It ends inside a header, a frame or a block.
    #[error("the file is truncated")]
    Truncated,
    /// The gzip around it is corrupt or truncated.
    #[error("the gzip around the file is corrupt or truncated")]
    InvalidGzip,
    /// A frame or block is larger than the limit.
    #[error("a frame or block of {0} bytes is too large")]
    TooLarge(u32),
    /// A pcapng block contradicts itself.
    #[error("invalid block")]
    InvalidBlock,
    /// A frame of an interface without description.
    #[error("a frame of the unknown interface {0}")]
    UnknownInterface(u32),
    /// More interfaces than the limit.
    #[error("too many interfaces")]
    TooManyInterfaces,
}

/// A captured frame.
pub(crate) struct Frame {
    pub(crate) link: i32,
    /// In nanoseconds since the epoch.
    pub(crate) time: Option<u64>,
    pub(crate) data: Vec<u8>,
}

/// One step through a file.
pub(crate) enum Step {
    /// More bytes are needed.
    Incomplete,
    /// A header or a block without a frame was skipped.
    Passed,
    Frame(Frame),
}

/// The format of the file, and the data of its headers.
pub(crate) enum File {
    Unknown,
    Pcap(PcapHeader),
    Ng { big: bool, interfaces: Vec<Interface> },
}

pub(crate) struct Interface {
    link: i32,
    snaplen: u32,
    /// Ticks per second.
    resolution: Option<u64>,
    /// In seconds.
    offset: i64,
}

impl File {
    /// Reads the next header, frame or block.
    pub(crate) fn step(&mut self, source: &mut Source) -> Result<Step, Reason> {
        match self {
            Self::Unknown => self.begin(source),
            Self::Pcap(header) => pcap_frame(header, source),
            Self::Ng { big, interfaces } => ng_block(big, interfaces, source),
        }
    }

    fn begin(&mut self, source: &mut Source) -> Result<Step, Reason> {
        let Some(magic) = source.bytes().first_chunk::<4>() else { return Ok(Step::Incomplete) };
        if u32::from_be_bytes(*magic) == SECTION_HEADER {
            *self = Self::Ng { big: false, interfaces: Vec::new() };
            return Ok(Step::Passed);
        }
        match parse_pcap_header(source.bytes()) {
            Ok((_, header)) => {
                source.consume(header.size());
                *self = Self::Pcap(header);
                Ok(Step::Passed)
            }
            Err(nom::Err::Incomplete(_)) => Ok(Step::Incomplete),
            Err(_) => Err(Reason::NotPcap),
        }
    }
}

/// A record of pcap.
fn pcap_frame(header: &PcapHeader, source: &mut Source) -> Result<Step, Reason> {
    let bytes = source.bytes();
    let big = header.is_bigendian();
    let Some(&length) = bytes.get(8..).and_then(<[u8]>::first_chunk::<4>) else {
        return Ok(Step::Incomplete);
    };
    let length = number(big, length);
    if usize::try_from(length).map_or(true, |length| length > MAX_FRAME) {
        return Err(Reason::TooLarge(length));
    }
    let parse = match (header.is_modified_format(), big) {
        (true, _) => parse_pcap_frame_modified,
        (false, true) => parse_pcap_frame_be,
        (false, false) => parse_pcap_frame,
    };
    let Some((used, record)) = complete(bytes, parse(bytes))? else { return Ok(Step::Incomplete) };
    let unit = if header.is_nanosecond_precision() { 1 } else { 1000 };
    let time = u64::from(record.ts_sec)
        .saturating_mul(NANOSECONDS)
        .saturating_add(u64::from(record.ts_usec).saturating_mul(unit));
    // The upper bits are the length of a frame check sequence.
    let link = header.network.0 & 0xffff;
    let frame = Frame { link, time: Some(time), data: record.data.to_vec() };
    source.consume(used);
    Ok(Step::Frame(frame))
}

/// A block of pcapng.
fn ng_block(big: &mut bool, interfaces: &mut Vec<Interface>, source: &mut Source) -> Result<Step, Reason> {
    let bytes = source.bytes();
    let Some((&kind, rest)) = bytes.split_first_chunk::<4>() else { return Ok(Step::Incomplete) };
    let Some((&length, rest)) = rest.split_first_chunk::<4>() else { return Ok(Step::Incomplete) };
    let is_section = u32::from_be_bytes(kind) == SECTION_HEADER;
    if is_section {
        // A section may have another byte order than the previous one.
        let Some(magic) = rest.first_chunk::<4>() else { return Ok(Step::Incomplete) };
        *big = *magic == BYTE_ORDER_MAGIC;
    }
    let (kind, length) = (number(*big, kind), number(*big, length));
    if length < 12 || !length.is_multiple_of(4) {
        return Err(Reason::InvalidBlock);
    }
    if !is_section && !matches!(kind, INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
        source.skip(length);
        return Ok(Step::Passed);
    }
    if length > MAX_BLOCK {
        return Err(Reason::TooLarge(length));
    }
    if kind == PACKET {
        return packet_block(*big, length, interfaces, source);
    }
    let parse = if *big { parse_block_be } else { parse_block_le };
    let Some((used, block)) = complete(bytes, parse(bytes))? else { return Ok(Step::Incomplete) };
    let step = match block {
        Block::SectionHeader(_) => {
            interfaces.clear();
            Step::Passed
        }
        Block::InterfaceDescription(block) => {
            if interfaces.len() >= MAX_INTERFACES {
                return Err(Reason::TooManyInterfaces);
            }
            interfaces.push(Interface::of(&block));
            Step::Passed
        }
        Block::EnhancedPacket(block) => {
            let interface = interface(interfaces, block.if_id)?;
            let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
            frame(interface, interface.time(ticks), block.packet_data())?
        }
        Block::SimplePacket(block) => {
            let interface = interface(interfaces, 0)?;
            let limit = if interface.snaplen == 0 {
                usize::MAX
            } else {
                usize::try_from(interface.snaplen).unwrap_or(usize::MAX)
            };
            let data = block.packet_data();
            frame(interface, None, data.get(..limit).unwrap_or(data))?
        }
        _ => Step::Passed,
    };
    source.consume(used);
    Ok(step)
}

/// The obsolete packet block, which `pcap_parser` does not read: type, length, interface (16 bits), drops (16 bits), time,
/// captured length, length on the wire, data, options, length.
fn packet_block(
    big: bool,
    length: u32,
    interfaces: &[Interface],
    source: &mut Source,
) -> Result<Step, Reason> {
    let length = usize::try_from(length).map_err(|_| Reason::InvalidBlock)?;
    let Some(block) = source.bytes().get(..length) else { return Ok(Step::Incomplete) };
    let field =
        |at: usize| block.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|&bytes| number(big, bytes));
    let fields = [8, 12, 16, 20, length.saturating_sub(4)].map(field);
    let [Some(id), Some(high), Some(low), Some(captured), Some(trailer)] = fields else {
        return Err(Reason::InvalidBlock);
    };
    let data = usize::try_from(captured)
        .ok()
        .and_then(|captured| block.get(28..length.saturating_sub(4))?.get(..captured));
    let Some(data) = data.filter(|_| usize::try_from(trailer) == Ok(length)) else {
        return Err(Reason::InvalidBlock);
    };
    let interface = interface(interfaces, if big { id >> 16 } else { id & 0xffff })?;
    let step = frame(interface, interface.time(u64::from(high) << 32 | u64::from(low)), data)?;
    source.consume(length);
    Ok(step)
}

fn frame(interface: &Interface, time: Option<u64>, data: &[u8]) -> Result<Step, Reason> {
    if data.len() > MAX_FRAME {
        return Err(Reason::TooLarge(u32::try_from(data.len()).unwrap_or(u32::MAX)));
    }
    Ok(Step::Frame(Frame { link: interface.link, time, data: data.to_vec() }))
}

fn interface(interfaces: &[Interface], id: u32) -> Result<&Interface, Reason> {
    let found = usize::try_from(id).ok().and_then(|id| interfaces.get(id));
    found.ok_or(Reason::UnknownInterface(id))
}

/// The number of bytes read, and their value; `None` if more are needed.
fn complete<'a, T>(
    bytes: &[u8],
    result: IResult<&'a [u8], T, PcapError<&'a [u8]>>,
) -> Result<Option<(usize, T)>, Reason> {
    match result {
        Ok((rest, value)) => Ok(Some((bytes.len().saturating_sub(rest.len()), value))),
        Err(nom::Err::Incomplete(_)) => Ok(None),
        Err(_) => Err(Reason::InvalidBlock),
    }
}

const fn number(big: bool, bytes: [u8; 4]) -> u32 {
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        Self {
            link: block.linktype.0,
            snaplen: block.snaplen,
            resolution: block.ts_resolution(),
            offset: block.ts_offset(),
        }
    }

    /// In nanoseconds; `None` if the resolution is not plausible.
    fn time(&self, ticks: u64) -> Option<u64> {
        let resolution = u128::from(self.resolution.filter(|&resolution| resolution > 0)?);
        let nanoseconds = u128::from(ticks).saturating_mul(NANOSECONDS.into()).checked_div(resolution)?;
        let offset = i128::from(self.offset).saturating_mul(NANOSECONDS.into());
        u64::try_from(i128::try_from(nanoseconds).ok()?.saturating_add(offset)).ok()
    }
}
