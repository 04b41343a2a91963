//! The summary of a message for capture tools.

use std::borrow::Cow;

use memchr::memchr2;

use crate::address::{Address, number, param};
use crate::message::{Header, Message, SipError, Start, unfold};
use crate::name::expand;

/// The summary of a SIP message. The first of several headers with the same name counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary<'a> {
    /// Method and URI, or status and reason.
    pub start: Start<'a>,
    /// Call-ID.
    pub call_id: Option<Cow<'a, [u8]>>,
    /// `CSeq`: the number and the method.
    pub cseq: Option<(u32, &'a [u8])>,
    /// From.
    pub from: Option<Address<'a>>,
    /// To.
    pub to: Option<Address<'a>>,
    /// The branch of the topmost Via.
    pub via_branch: Option<&'a [u8]>,
    /// User-Agent, or else Server.
    pub user_agent: Option<Cow<'a, [u8]>>,
    /// Content-Type.
    pub content_type: Option<Cow<'a, [u8]>>,
    /// Content-Length.
    pub content_length: Option<u32>,
}

/// Reads the summary of a message.
///
/// # Errors
/// [`SipError`] describes why the bytes are not a SIP message. Parts missing after the first line are not an error.
pub fn summary(input: &[u8]) -> Result<Summary<'_>, SipError> {
    let message = Message::read(input)?;
    let mut summary = Summary {
        start: message.start,
        call_id: None,
        cseq: None,
        from: None,
        to: None,
        via_branch: None,
        user_agent: None,
        content_type: None,
        content_length: None,
    };
    let mut server = None;
    let mut has_via = false;
    for header in message.headers() {
        match Known::of(header.name) {
            Some(Known::CallId) => first(&mut summary.call_id, || Some(text(&header))),
            Some(Known::CSeq) => first(&mut summary.cseq, || cseq(header.value)),
            Some(Known::From) => first(&mut summary.from, || Some(Address::read(header.value))),
            Some(Known::To) => first(&mut summary.to, || Some(Address::read(header.value))),
            Some(Known::Via) if !has_via => {
                has_via = true;
                summary.via_branch = branch(header.value);
            }
            Some(Known::Via) | None => {}
            Some(Known::UserAgent) => first(&mut summary.user_agent, || Some(text(&header))),
            Some(Known::Server) => first(&mut server, || Some(text(&header))),
            Some(Known::ContentType) => first(&mut summary.content_type, || Some(text(&header))),
            Some(Known::ContentLength) => first(&mut summary.content_length, || number(header.value)),
        }
    }
    summary.user_agent = summary.user_agent.or(server);
    Ok(summary)
}

/// The headers that the summary reads.
#[derive(Clone, Copy)]
enum Known {
    CallId,
    CSeq,
    ContentLength,
    ContentType,
    From,
    Server,
    To,
    UserAgent,
    Via,
}

impl Known {
    /// Compares lengths first, since most headers of a message are irrelevant.
    fn of(name: &[u8]) -> Option<Self> {
        let (known, long): (_, &[u8]) = match expand(name).len() {
            2 => (Self::To, b"To"),
            3 => (Self::Via, b"Via"),
            4 if matches!(name, [b'c' | b'C', ..]) => (Self::CSeq, b"CSeq"),
            4 => (Self::From, b"From"),
            6 => (Self::Server, b"Server"),
            7 => (Self::CallId, b"Call-ID"),
            10 => (Self::UserAgent, b"User-Agent"),
            12 => (Self::ContentType, b"Content-Type"),
            14 => (Self::ContentLength, b"Content-Length"),
            _ => return None,
        };
        expand(name).eq_ignore_ascii_case(long).then_some(known)
    }
}

fn first<T>(fact: &mut Option<T>, read: impl FnOnce() -> Option<T>) {
    if fact.is_none() {
        *fact = read();
    }
}

fn text<'a>(header: &Header<'a>) -> Cow<'a, [u8]> {
    unfold(header.value)
}

/// `314159 INVITE`
fn cseq(value: &[u8]) -> Option<(u32, &[u8])> {
    let digits = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    let method = value.get(digits..)?.trim_ascii();
    number(value).map(|number| (number, method))
}

/// `SIP/2.0/UDP host:port;branch=...`, the first of several.
fn branch(value: &[u8]) -> Option<&[u8]> {
    // A comma ends the first: it has no parameters then.
    param(value.get(memchr2(b';', b',', value)?..)?, b"branch")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
        Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9, SIP/2.0/UDP x;branch=other\r\n\
        Via: SIP/2.0/UDP y;branch=third\r\n\
        Max-Forwards: 70\r\n\
        From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
        To: Bob <sip:bob@biloxi.example.com>\r\n\
        Call-ID: 3848276298220188511@atlanta.example.com\r\n\
        CSeq: 1 INVITE\r\n\
        Contact: <sip:alice@client.atlanta.example.com;transport=tcp>\r\n\
        Server: not me\r\n\
        User-Agent: phone/1.0\r\n\
        \x20 (beta)\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: 151\r\n\r\nv=0\r\nFrom: <sip:no>\r\n";

    #[test]
    fn an_invite() {
        let summary = summary(INVITE).unwrap();
        assert_eq!(summary.start, Start::Request { method: b"INVITE", uri: b"sip:bob@biloxi.example.com" });
        assert_eq!(summary.call_id.as_deref(), Some(&b"3848276298220188511@atlanta.example.com"[..]));
        assert_eq!(summary.cseq, Some((1, &b"INVITE"[..])));
        let from = summary.from.unwrap();
        assert_eq!(
            (from.display, from.user, from.tag),
            (Some(&b"Alice"[..]), Some(&b"alice"[..]), Some(&b"9fxced76sl"[..]))
        );
        assert_eq!(summary.to.unwrap().tag, None);
        assert_eq!(summary.via_branch, Some(&b"z9hG4bK74bf9"[..]));
        assert_eq!(summary.user_agent.as_deref(), Some(&b"phone/1.0 (beta)"[..]));
        assert_eq!(summary.content_type.as_deref(), Some(&b"application/sdp"[..]));
        assert_eq!(summary.content_length, Some(151));
    }

    #[test]
    fn a_truncated_message_is_read_up_to_its_end() {
        let whole = summary(INVITE).unwrap();
        let first_line = INVITE.iter().position(|&byte| byte == b'\n').unwrap();
        for end in first_line..INVITE.len() {
            let cut = summary(&INVITE[..end]).unwrap();
            assert_eq!(cut.start, whole.start);
            assert!(cut.call_id.is_none_or(|id| whole.call_id.as_deref().unwrap().starts_with(&id)), "{end}");
        }
        for end in 1..first_line.saturating_sub(1) {
            assert_eq!(summary(&INVITE[..end]), Err(SipError::Truncated), "{end}");
        }
    }

    #[test]
    fn without_a_user_agent_the_server_counts() {
        let input =
            b"SIP/2.0 200 OK\r\nserver: s\r\nCSEQ:  7\t BYE \r\nv: SIP/2.0/UDP x\r\nv: y;branch=z\r\n\r\n";
        let summary = summary(input).unwrap();
        assert_eq!(summary.user_agent.as_deref(), Some(&b"s"[..]));
        assert_eq!(summary.cseq, Some((7, &b"BYE"[..])));
        assert_eq!(summary.via_branch, None);
    }

    #[test]
    fn the_branch_is_that_of_the_first_via_in_a_list() {
        let branch = |via: &str| {
            let input = format!("ACK sip:a SIP/2.0\r\nVia: {via}\r\n\r\n");
            summary(input.as_bytes()).unwrap().via_branch.map(<[u8]>::to_vec)
        };
        assert_eq!(branch("SIP/2.0/UDP a, SIP/2.0/UDP b;branch=z9b"), None);
        assert_eq!(branch("SIP/2.0/UDP a;branch=z9a, SIP/2.0/UDP b;branch=z9b"), Some(b"z9a".to_vec()));
    }
}
