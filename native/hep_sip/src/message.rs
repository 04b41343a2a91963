//! The start line and the headers (RFC 3261, section 7).

use core::iter::FusedIterator;
use std::borrow::Cow;

use memchr::{memchr, memrchr};
use thiserror::Error;

/// Why bytes are not a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SipError {
    /// Only line breaks, which some endpoints send as a keep-alive.
    #[error("the message is empty")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("not a SIP message: the first line is neither a request line nor a status line")]
    NotSip,
    /// The message ends inside its first line.
    #[error("truncated: the message ends inside its first line")]
    Truncated,
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request line (section 7.1).
    Request {
        /// The method.
        method: &'a [u8],
        /// The request URI.
        uri: &'a [u8],
    },
    /// A status line (section 7.2).
    Response {
        /// The status code.
        status: u16,
        /// The reason phrase; it may be empty.
        reason: &'a [u8],
    },
}

/// A SIP message: its first line, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The first line.
    pub start: Start<'a>,
    /// The headers and the body.
    rest: &'a [u8],
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, as written.
    pub name: &'a [u8],
    /// The value without surrounding white space; still folded if the sender folded it.
    pub value: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the first line. Line breaks before it are skipped (section 7.5).
    ///
    /// # Errors
    /// [`SipError`] describes the error.
    pub fn read(input: &'a [u8]) -> Result<Self, SipError> {
        let first = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(SipError::Empty)?;
        let input = input.get(first..).unwrap_or_default();
        let end = memchr(b'\n', input);
        let line = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
        let rest = end.map_or(&[][..], |end| behind(input, end));
        match start(line.trim_ascii_end()) {
            Some(start) => Ok(Self { start, rest }),
            None if end.is_none() && may_begin_sip(line) => Err(SipError::Truncated),
            None => Err(SipError::NotSip),
        }
    }

    /// The headers, in order. Lines without a colon are skipped.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        Headers { rest: self.rest }
    }

    /// The body; `None` if the message ends before the empty line.
    #[must_use]
    pub fn body(&self) -> Option<&'a [u8]> {
        let mut lines = self.rest;
        loop {
            let (line, rest) = line(lines)?;
            if is_empty_line(line) {
                return Some(rest);
            }
            lines = rest;
        }
    }
}

impl<'a> Header<'a> {
    /// The unfolded value: a line break and the white space around it become one space (section 7.3.1).
    #[must_use]
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }
}

pub(crate) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let lines = value.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    Cow::Owned(lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b' '))
}

/// The headers of a [`Message`].
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        loop {
            let lines = self.rest;
            let end = match memchr(b'\n', lines) {
                Some(end) if is_empty_line(lines.get(..end)?) => {
                    self.rest = &[];
                    return None;
                }
                Some(end) => folded_end(lines, end),
                None if lines.is_empty() => return None,
                None => lines.len(),
            };
            self.rest = behind(lines, end);
            let line = lines.get(..end)?;
            if let Some(colon) = memchr(b':', line) {
                let name = line.get(..colon)?.trim_ascii();
                if !name.is_empty() {
                    return Some(Header { name, value: behind(line, colon).trim_ascii() });
                }
            }
        }
    }
}

impl FusedIterator for Headers<'_> {}

/// The end of the header whose first line ends at `end`: following lines that begin with white space belong to it.
fn folded_end(lines: &[u8], mut end: usize) -> usize {
    while let [b' ' | b'\t', ..] = behind(lines, end) {
        let line = behind(lines, end);
        match memchr(b'\n', line) {
            Some(length) => end = end.saturating_add(1).saturating_add(length),
            None => return lines.len(),
        }
    }
    end
}

/// A line, and the rest.
fn line(lines: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', lines)?;
    Some((lines.get(..end)?, behind(lines, end)))
}

fn is_empty_line(line: &[u8]) -> bool {
    matches!(line, [] | [b'\r'])
}

/// The bytes after `offset`.
fn behind(bytes: &[u8], offset: usize) -> &[u8] {
    bytes.get(offset.saturating_add(1)..).unwrap_or_default()
}

fn start(line: &[u8]) -> Option<Start<'_>> {
    if is_version(line.get(..line.len().min(VERSION))?) { status_line(line) } else { request_line(line) }
}

/// The length of `SIP/2.0`.
const VERSION: usize = 7;

/// `SIP/2.0`, in any case, or another version.
fn is_version(text: &[u8]) -> bool {
    match text {
        [name @ .., major, b'.', minor] => {
            name.eq_ignore_ascii_case(b"SIP/") && major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

fn status_line(line: &[u8]) -> Option<Start<'_>> {
    let text = line.get(VERSION..)?;
    let digits = text.strip_prefix(b" ")?.trim_ascii_start();
    let (code, reason) = digits.split_at_checked(3)?;
    let separate = matches!(reason, [] | [b' ' | b'\t', ..]);
    let status = code.iter().try_fold(0_u16, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.wrapping_sub(b'0'))?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })?;
    (separate && status >= 100).then(|| Start::Response { status, reason: reason.trim_ascii() })
}

fn request_line(line: &[u8]) -> Option<Start<'_>> {
    let (first, last) = (memchr(b' ', line)?, memrchr(b' ', line)?);
    let (method, version) = (line.get(..first)?, line.get(last.saturating_add(1)..)?);
    let uri = line.get(first..last)?.trim_ascii();
    (is_token(method) && is_version(version) && !uri.is_empty()).then_some(Start::Request { method, uri })
}

/// Whether this truncated line may be the start of a message.
fn may_begin_sip(line: &[u8]) -> bool {
    match memchr(b' ', line) {
        Some(space) => line.get(..space).is_some_and(|word| is_token(word) || is_version(word)),
        None => is_token(line) || b"SIP/2.0".get(..line.len()).is_some_and(|part| part == line),
    }
}

/// A token (section 25.1).
fn is_token(word: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"-.!%*_+`'~".contains(byte);
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(input: &[u8]) -> Vec<(&[u8], Vec<u8>)> {
        let message = Message::read(input).unwrap();
        message.headers().map(|header| (header.name, header.unfolded().into_owned())).collect()
    }

    #[test]
    fn start_lines() {
        let start = |input| Message::read(input).map(|message| message.start);
        let request = |method, uri| Ok(Start::Request { method, uri });
        let response = |status, reason| Ok(Start::Response { status, reason });
        assert_eq!(start(b"OPTIONS sip:a SIP/2.0\r\n\r\n"), request(b"OPTIONS", b"sip:a"));
        assert_eq!(start(b"\r\n\r\nX-1 sip:a b  sip/2.0\n"), request(b"X-1", b"sip:a b"));
        assert_eq!(start(b"SIP/2.0 200 OK\r\n"), response(200, b"OK"));
        assert_eq!(start(b"SIP/2.0 180"), response(180, b""));
        assert_eq!(start(b"SIP/2.0 100 Trying"), response(100, b"Trying"));
        assert_eq!(start(b"aZ09-.!%*_+`'~ sip:a SIP/2.0"), request(b"aZ09-.!%*_+`'~", b"sip:a"));
        assert_eq!(start(b"IN/VITE sip:a SIP/2.0\r\n"), Err(SipError::NotSip));
        assert_eq!(start(b"SIP/2.0 404 Not  Found \r\n"), response(404, b"Not  Found"));
        assert_eq!(start(b"SIP/2.0 2000 OK\r\n"), Err(SipError::NotSip));
        assert_eq!(start(b"SIP/2.0 099 OK\r\n"), Err(SipError::NotSip));
        assert_eq!(start(b"GET / HTTP/1.1\r\n\r\n"), Err(SipError::NotSip));
        assert_eq!(start(b"\x80\x00"), Err(SipError::NotSip));
        assert_eq!(start(b"\r\n\r\n"), Err(SipError::Empty));
        assert_eq!(start(b""), Err(SipError::Empty));
        for cut in [&b"INV"[..], b"INVITE sip:bo", b"INVITE sip:bob SIP/2.", b"SIP/2", b"SIP/2.0 20"] {
            assert_eq!(start(cut), Err(SipError::Truncated), "{cut:?}");
        }
    }

    #[test]
    fn folded_headers_and_bare_line_feeds() {
        let input = b"ACK sip:a SIP/2.0\nSubject : one\r\n two\n\t three\r\nno colon\nl:0\n\nBody: x\n";
        assert_eq!(headers(input), [(&b"Subject"[..], b"one two three".to_vec()), (b"l", b"0".to_vec())]);
        assert_eq!(Message::read(input).unwrap().body(), Some(&b"Body: x\n"[..]));
    }

    /// A line of white space continues the header.
    #[test]
    fn a_line_of_white_space_is_not_the_end() {
        let input = b"ACK sip:a SIP/2.0\r\nSubject: one\r\n \r\n\t two\r\ni: a\r\n\r\nbody";
        assert_eq!(headers(input), [(&b"Subject"[..], b"one two".to_vec()), (b"i", b"a".to_vec())]);
        assert_eq!(Message::read(input).unwrap().body(), Some(&b"body"[..]));
    }

    #[test]
    fn a_truncated_header_counts() {
        assert_eq!(headers(b"ACK sip:a SIP/2.0\r\nCall-ID: abc"), [(&b"Call-ID"[..], b"abc".to_vec())]);
        assert_eq!(
            headers(b"ACK sip:a SIP/2.0\r\nCall-ID: abc\r\n d"),
            [(&b"Call-ID"[..], b"abc d".to_vec())]
        );
        assert_eq!(Message::read(b"ACK sip:a SIP/2.0\r\nCall-ID: abc\r\n").unwrap().body(), None);
    }
}
