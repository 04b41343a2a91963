//! The packets in a file, one at a time.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::file::{File, FileError, Frame, Reason, Step};
use crate::fragments::Fragments;
use crate::inside::{self, Inside};
use crate::ip::{self, IpPacket, TCP, UDP};
use crate::link::{Content, content};
use crate::source::Source;
use crate::streams::{Path, Streams};

/// Options of a reader.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ports of HEP: all packets to or from them are HEP, and no others. Without them HEP is recognised on any port.
    pub ports: Option<Vec<u16>>,
}

/// Something found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its kind.
    pub inside: Inside,
    /// The capture time of its last frame, in nanoseconds since the epoch; some blocks of pcapng have no time.
    pub time: Option<u64>,
    /// IP protocol id: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The HEP packet or SIP message.
    pub bytes: Vec<u8>,
}

/// The next result.
#[derive(Debug)]
pub enum Next {
    /// A packet.
    Found(Found),
    /// More bytes of the file are needed, or its [end](Reader::finish).
    Incomplete,
    /// The file ended regularly.
    End,
    /// The file is corrupt or truncated. All packets before that were returned.
    Error(FileError),
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames.
    pub frames: u64,
    /// HEP packets found.
    pub hep: u64,
    /// SIP messages found without HEP.
    pub sip: u64,
    /// Datagrams with neither.
    pub other: u64,
    /// Frames without a complete header of UDP or TCP over IP.
    pub not_ip: u64,
    /// Frames of unsupported link types.
    pub unknown_link: u64,
    /// IP packets dropped because fragments were missing or contradictory.
    pub fragments_dropped: u64,
    /// Bytes missing in TCP streams.
    pub tcp_missing: u64,
    /// Messages in TCP streams dropped because a part was missing.
    pub tcp_incomplete: u64,
}

/// Finds HEP and SIP in the bytes of a capture file.
pub struct Reader {
    options: Options,
    source: Source,
    file: File,
    fragments: Fragments,
    streams: Streams,
    found: VecDeque<Found>,
    stats: Stats,
    /// Time of the last frame.
    time: Option<u64>,
    is_finished: bool,
    end: Option<Result<(), FileError>>,
}

impl Reader {
    /// A reader for a new file.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            source: Source::new(),
            file: File::Unknown,
            fragments: Fragments::new(),
            streams: Streams::new(),
            found: VecDeque::new(),
            stats: Stats::default(),
            time: None,
            is_finished: false,
            end: None,
        }
    }

    /// Adds the next bytes of the file. Their number is not limited, so call [`read`](Self::read) until it
    /// needs more.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.source.feed(bytes);
    }

    /// The file has no more bytes.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            fragments_dropped: self.fragments.dropped,
            tcp_missing: self.streams.counts.missing,
            tcp_incomplete: self.streams.counts.incomplete,
            ..self.stats
        }
    }

    /// Finds the next packet.
    pub fn read(&mut self) -> Next {
        loop {
            if let Some(found) = self.found.pop_front() {
                let count = match found.inside {
                    Inside::Hep => &mut self.stats.hep,
                    Inside::Sip => &mut self.stats.sip,
                };
                *count = count.saturating_add(1);
                return Next::Found(found);
            }
            match self.end {
                Some(Ok(())) => return Next::End,
                Some(Err(error)) => return Next::Error(error),
                None => {}
            }
            match self.step() {
                Ok(true) => {}
                Ok(false) => return Next::Incomplete,
                Err(reason) => self.end(Err(FileError { offset: self.source.offset(), reason })),
            }
        }
    }

    /// Processes one frame or block; false if more bytes of the file are needed.
    fn step(&mut self) -> Result<bool, Reason> {
        if self.source.is_past() {
            match self.file.step(&mut self.source)? {
                Step::Frame(frame) => {
                    self.frame(&frame);
                    return Ok(true);
                }
                Step::Passed => return Ok(true),
                Step::Incomplete => {}
            }
        }
        if self.source.unpack().map_err(|_| Reason::InvalidGzip)? {
            return Ok(true);
        }
        if !self.is_finished {
            return Ok(false);
        }
        let before = self.source.bytes().len();
        let result = self.source.finish();
        if self.source.bytes().len() > before {
            return Ok(true);
        }
        result.map_err(|_| Reason::InvalidGzip)?;
        if !self.source.bytes().is_empty() || !self.source.is_past() {
            return Err(Reason::Truncated);
        }
        if matches!(self.file, File::Unknown) {
            return Err(Reason::Truncated);
        }
        self.end(Ok(()));
        Ok(true)
    }

    fn end(&mut self, result: Result<(), FileError>) {
        self.end = Some(result);
        self.fragments.finish();
        let Self { streams, found, time, options, .. } = self;
        streams.finish(
            |path| options.takes_hep(path),
            |path, inside, bytes| found.push_back(Found::new(inside, *time, TCP, path, bytes)),
        );
    }

    fn frame(&mut self, frame: &Frame) {
        self.stats.frames = self.stats.frames.saturating_add(1);
        self.time = frame.time.or(self.time);
        match content(frame.link, &frame.data) {
            Content::Ip(packet) => match packet.fragment {
                Some(fragment) => {
                    if let Some(payload) = self.fragments.add(&packet, fragment) {
                        self.complete(IpPacket { payload: &payload, fragment: None, ..packet }, frame.time);
                    }
                }
                None => self.packet(&packet, frame.time),
            },
            Content::Other => self.stats.not_ip = self.stats.not_ip.saturating_add(1),
            Content::UnknownLink => self.stats.unknown_link = self.stats.unknown_link.saturating_add(1),
        }
    }

    /// A reassembled packet, whose first fragment may begin with further headers.
    fn complete(&mut self, packet: IpPacket<'_>, time: Option<u64>) {
        match packet.without_extensions() {
            Some(packet) if packet.fragment.is_none() => self.packet(&packet, time),
            _ => self.stats.not_ip = self.stats.not_ip.saturating_add(1),
        }
    }

    fn packet(&mut self, packet: &IpPacket<'_>, time: Option<u64>) {
        let path = |(source, destination)| {
            (SocketAddr::new(packet.source, source), SocketAddr::new(packet.destination, destination))
        };
        if packet.protocol == UDP
            && let Some(datagram) = ip::datagram(packet.payload)
        {
            self.datagram(path(datagram.ports), datagram.data, time);
        } else if packet.protocol == TCP
            && let Some(segment) = ip::segment(packet.payload)
        {
            let path = path(segment.ports);
            let Self { streams, found, options, .. } = self;
            streams.segment(
                path,
                &segment,
                |path| options.takes_hep(path),
                |path, inside, bytes| found.push_back(Found::new(inside, time, TCP, path, bytes)),
            );
        } else {
            self.stats.not_ip = self.stats.not_ip.saturating_add(1);
        }
    }

    /// Some senders put several packets into a datagram.
    fn datagram(&mut self, path: Path, mut bytes: &[u8], time: Option<u64>) {
        let Some(inside) = inside::datagram(bytes, self.options.takes_hep(path)) else {
            self.stats.other = self.stats.other.saturating_add(1);
            return;
        };
        while let Some((first, rest)) = inside::followed(bytes)
            .filter(|_| inside == Inside::Hep)
            .and_then(|at| bytes.split_at_checked(at))
        {
            self.found.push_back(Found::new(inside, time, UDP, path, first));
            bytes = rest;
        }
        self.found.push_back(Found::new(inside, time, UDP, path, bytes));
    }
}

impl Options {
    /// Whether all packets between these ports are HEP, or none is; `None` if HEP is recognised.
    fn takes_hep(&self, (source, destination): Path) -> Option<bool> {
        let ports = self.ports.as_ref()?;
        Some(ports.contains(&source.port()) || ports.contains(&destination.port()))
    }
}

impl Found {
    fn new(
        inside: Inside,
        time: Option<u64>,
        protocol: u8,
        (source, destination): Path,
        bytes: &[u8],
    ) -> Self {
        Self { inside, time, protocol, source, destination, bytes: bytes.to_vec() }
    }
}
