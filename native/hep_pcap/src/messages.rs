//! The messages of a stream with its bytes in order.

use memchr::{memchr_iter, memchr3_iter, memrchr};

use crate::inside::{Begin, Inside, Needed, begin, has_magic};

/// How many bytes without a message are kept: they may contain the start of a first line, or of a magic.
const MAX_TAIL: usize = 1024;
/// The methods of the SIP standards.
const METHODS: [&[u8]; 14] = [
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"INFO",
    b"INVITE",
    b"MESSAGE",
    b"NOTIFY",
    b"OPTIONS",
    b"PRACK",
    b"PUBLISH",
    b"REFER",
    b"REGISTER",
    b"SUBSCRIBE",
    b"UPDATE",
];
/// The length of a magic.
const MAGIC: usize = 4;
/// A part of every first line of SIP.
const SIP_VERSION: &[u8] = b"SIP/2.0";

/// The bytes of the next message.
#[derive(Default)]
pub(crate) struct Messages {
    buffer: Vec<u8>,
    /// The bytes that the first message needs.
    needed: Option<Needed>,
    /// The next bytes may be inside a message whose start is missing.
    is_lost: bool,
    /// The number of bytes searched for the empty line.
    searched: usize,
}

impl Messages {
    pub(crate) const fn len(&self) -> usize {
        self.buffer.len()
    }

    /// For a stream whose start was not captured.
    pub(crate) fn lost() -> Self {
        Self { is_lost: true, ..Self::default() }
    }

    /// Adds the next bytes, and passes each complete message to the function.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        takes_hep: Option<bool>,
        mut found: impl FnMut(Inside, &[u8]),
    ) {
        self.buffer.extend_from_slice(bytes);
        if !self.is_worth_a_look() {
            return;
        }
        let mut read = 0_usize;
        // After the evidence that a message may begin before it: checked at once.
        let mut behind = 0_usize;
        self.needed = None;
        loop {
            if self.is_lost {
                let rest = self.rest(read);
                let Some((begin, end)) = find_begin(rest) else {
                    read = read.saturating_add(rest.len().saturating_sub(MAX_TAIL));
                    break;
                };
                behind = read.saturating_add(end);
                read = read.saturating_add(begin);
                self.is_lost = false;
            }
            // Line breaks between messages are keep-alives (RFC 5626).
            let is_break = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            read = read.saturating_add(self.rest(read).iter().take_while(is_break).count());
            let rest = self.rest(read);
            if rest.is_empty() {
                break;
            }
            match begin(rest, takes_hep) {
                Begin::Partial(needed) => {
                    self.searched = rest.len();
                    self.needed = Some(needed);
                    break;
                }
                Begin::Whole(inside, length) => {
                    found(inside, rest.get(..length).unwrap_or(rest));
                    read = read.saturating_add(length);
                }
                Begin::Neither => {
                    self.is_lost = true;
                    read = read.saturating_add(1).max(behind);
                }
            }
        }
        self.buffer.drain(..read.min(self.buffer.len()));
        // Many streams may wait, so the memory of a large segment is returned.
        if self.buffer.capacity() > self.buffer.len().saturating_mul(2).saturating_add(MAX_TAIL) {
            self.buffer.shrink_to_fit();
        }
    }

    /// The next bytes do not follow the earlier ones. Returns whether a part of a message was dropped.
    pub(crate) fn interrupt(&mut self) -> bool {
        self.buffer = Vec::new();
        self.is_lost = true;
        self.needed.take().is_some()
    }

    fn rest(&self, read: usize) -> &[u8] {
        self.buffer.get(read..).unwrap_or_default()
    }

    fn is_worth_a_look(&mut self) -> bool {
        match self.needed {
            None => true,
            Some(Needed::Bytes(length)) => self.buffer.len() >= length,
            Some(Needed::EmptyLine(length)) => {
                let from = self.searched.saturating_sub(2);
                self.searched = self.buffer.len();
                self.buffer.len() >= length || has_empty_line(self.rest(from))
            }
        }
    }
}

fn has_empty_line(bytes: &[u8]) -> bool {
    memchr_iter(b'\n', bytes).any(|at| {
        let rest = bytes.get(at.saturating_add(1)..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}

/// The position where a message may begin, among bytes that may be the end of another one, and the end of the evidence.
fn find_begin(bytes: &[u8]) -> Option<(usize, usize)> {
    memchr3_iter(b'H', b'E', b'S', bytes).find_map(|at| {
        let (before, here) = bytes.split_at_checked(at)?;
        if has_magic(here) {
            return Some((at, at.saturating_add(MAGIC)));
        }
        let end = at.saturating_add(SIP_VERSION.len());
        match here.strip_prefix(SIP_VERSION)?.first()? {
            b' ' => Some((at, end)),
            b'\r' | b'\n' => Some((begin_of_request(before), end)),
            _ => None,
        }
    })
}

/// The start of the request line whose method and URI end here. After a body without a final line break, it
/// begins inside a line, with the name of a method.
fn begin_of_request(before: &[u8]) -> usize {
    let begin = memrchr(b'\n', before).map_or(0, |end| end.saturating_add(1));
    let line = before.get(begin..).unwrap_or_default();
    let method = line.trim_ascii_end().rsplitn(2, |&byte| byte == b' ').nth(1).unwrap_or_default();
    let known = METHODS.iter().filter(|known| method.ends_with(known)).map(|known| known.len()).max();
    known.map_or(begin, |known| begin.saturating_add(method.len().saturating_sub(known)))
}
