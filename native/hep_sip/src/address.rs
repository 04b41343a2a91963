//! Addresses in From, To and Contact, and parameters (RFC 3261, sections 20 and 25.1).

use memchr::memchr;
use nom::Parser;
use nom::bytes::complete::{tag, take_till, take_while};

/// An address: `"Display" <sip:user@host:port>;tag=...`, or without the angle brackets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address<'a> {
    /// The display name without quotation marks; escapes in it stay.
    pub display: Option<&'a [u8]>,
    /// The whole URI.
    pub uri: &'a [u8],
    /// The user, or the number of a `tel` URI.
    pub user: Option<&'a [u8]>,
    /// The host; an IPv6 address in its brackets.
    pub host: Option<&'a [u8]>,
    /// The port.
    pub port: Option<u16>,
    /// The parameter `tag`.
    pub tag: Option<&'a [u8]>,
}

impl<'a> Address<'a> {
    /// Reads the first address of a header's value. Missing and truncated parts are left out.
    #[must_use]
    pub fn read(value: &'a [u8]) -> Self {
        let (display, rest) = display(value);
        let (uri, params) = if let Some(inside) = rest.strip_prefix(b"<") {
            memchr(b'>', inside).map_or((inside, &[][..]), |end| split(inside, end))
        } else {
            let ends = |byte: &u8| matches!(byte, b';' | b',') || byte.is_ascii_whitespace();
            rest.split_at(rest.iter().position(ends).unwrap_or(rest.len()))
        };
        let uri = uri.trim_ascii();
        let (user, host, port) = parts(uri);
        Self { display, uri, user, host, port, tag: param(params, b"tag") }
    }
}

/// The display name, and what follows it.
fn display(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let value = value.trim_ascii_start();
    if let Some(quoted) = value.strip_prefix(b"\"") {
        let end = closing_quote(quoted);
        let (name, rest) = split(quoted, end);
        return (Some(name), rest.trim_ascii_start());
    }
    match memchr(b'<', value) {
        // An angle bracket after a semicolon belongs to a parameter's quoted value.
        Some(open) if memchr(b';', value.get(..open).unwrap_or_default()).is_none() => {
            let (name, rest) = value.split_at_checked(open).unwrap_or_default();
            (Some(name.trim_ascii()).filter(|name| !name.is_empty()), rest)
        }
        _ => (None, value),
    }
}

/// The end of a quoted string.
fn closing_quote(quoted: &[u8]) -> usize {
    let mut escaped = false;
    let end = quoted.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.unwrap_or(quoted.len())
}

/// The bytes before and after the byte at `end`.
fn split(bytes: &[u8], end: usize) -> (&[u8], &[u8]) {
    (bytes.get(..end).unwrap_or_default(), bytes.get(end.saturating_add(1)..).unwrap_or_default())
}

type Parts<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Option<u16>);

/// User, host and port of a URI.
fn parts(uri: &[u8]) -> Parts<'_> {
    let Some(colon) = memchr(b':', uri) else { return (None, None, None) };
    let (scheme, rest) = split(uri, colon);
    let until = |bytes: &'_ [u8], ends: &[u8]| {
        bytes.iter().position(|byte| ends.contains(byte)).unwrap_or(bytes.len())
    };
    if scheme.eq_ignore_ascii_case(b"tel") {
        return (rest.get(..until(rest, b";")).filter(|number| !number.is_empty()), None, None);
    }
    let (user, rest) = match memchr(b'@', rest) {
        Some(at) => {
            let (info, rest) = split(rest, at);
            (info.get(..until(info, b":")), rest)
        }
        // Other URIs, such as urn:service:sos, have no host.
        None if [&b"sip"[..], b"sips"].iter().any(|sip| scheme.eq_ignore_ascii_case(sip)) => (None, rest),
        None => return (None, None, None),
    };
    let end = match rest {
        [b'[', ..] => memchr(b']', rest).map_or(rest.len(), |end| end.saturating_add(1)),
        _ => until(rest, b":;?>"),
    };
    let (host, rest) = rest.split_at_checked(end).unwrap_or_default();
    let port = rest.strip_prefix(b":").and_then(number);
    (user, Some(host).filter(|host| !host.is_empty()), port)
}

/// The number at the start of the bytes.
pub(crate) fn number<N: TryFrom<u64>>(bytes: &[u8]) -> Option<N> {
    let (_, digits) = digits(bytes).ok()?;
    let value = digits.iter().try_fold(0_u64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
    })?;
    N::try_from(value).ok().filter(|_| !digits.is_empty())
}

fn digits(bytes: &[u8]) -> Result<(&[u8], &[u8]), nom::Err<()>> {
    take_while(|byte: u8| byte.is_ascii_digit()).parse(bytes)
}

/// The value of a parameter: `;name=value`, with optional white space anywhere. Quotation marks are removed.
/// A comma ends the parameters.
pub(crate) fn param<'a>(mut params: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        let (rest, (found, value)) = next_param(params)?;
        if found.eq_ignore_ascii_case(name) {
            return value;
        }
        params = rest;
    }
}

type Param<'a> = (&'a [u8], Option<&'a [u8]>);

fn next_param(params: &[u8]) -> Option<(&[u8], Param<'_>)> {
    let rest = params.trim_ascii_start().strip_prefix(b";")?.trim_ascii_start();
    let (rest, name) = word(rest).ok()?;
    let rest = rest.trim_ascii_start();
    let Ok((rest, _)) = tag::<_, _, ()>(&b"="[..]).parse(rest) else { return Some((rest, (name, None))) };
    let rest = rest.trim_ascii_start();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let (value, rest) = split(quoted, closing_quote(quoted));
        Some((rest, (name, Some(value))))
    } else {
        let (rest, value) = word(rest).ok()?;
        Some((rest, (name, Some(value))))
    }
}

fn word(bytes: &[u8]) -> Result<(&[u8], &[u8]), nom::Err<()>> {
    take_till(|byte: u8| matches!(byte, b';' | b',' | b'=' | b'"') || byte.is_ascii_whitespace()).parse(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &[u8]) -> Address<'_> {
        Address::read(value)
    }

    #[test]
    fn addresses() {
        let alice = Address {
            display: Some(b"Alice \\\"A\\\" <x>"),
            uri: b"sip:alice:pw@example.com:5062;transport=tcp?a=b",
            user: Some(b"alice"),
            host: Some(b"example.com"),
            port: Some(5062),
            tag: Some(b"19"),
        };
        let text =
            b"\"Alice \\\"A\\\" <x>\" <sip:alice:pw@example.com:5062;transport=tcp?a=b> ; x ; Tag = 19;y=2";
        assert_eq!(read(text), alice);
        let bare = read(b"sip:bob@[2001:db8::1]:5060;tag=7");
        assert_eq!(
            (bare.user, bare.host, bare.port, bare.tag),
            (Some(&b"bob"[..]), Some(&b"[2001:db8::1]"[..]), Some(5060), Some(&b"7"[..]))
        );
        let host = read(b"Bob Q <sips:example.org>");
        assert_eq!(
            (host.display, host.user, host.host, host.tag),
            (Some(&b"Bob Q"[..]), None, Some(&b"example.org"[..]), None)
        );
        let tel = read(b"<tel:+4930123;phone-context=x>;tag=a");
        assert_eq!((tel.user, tel.host, tel.tag), (Some(&b"+4930123"[..]), None, Some(&b"a"[..])));
        assert_eq!(read(b"sip:a@b;x=\"<>;tag=no\";tag=yes").tag, Some(&b"yes"[..]));
        let backslashes = read(b"\"a\\\\\" <sip:b@c>;tag=d");
        assert_eq!((backslashes.display, backslashes.user), (Some(&b"a\\\\"[..]), Some(&b"b"[..])));
        assert_eq!(read(b"<sip:a@b:99999>").port, None);
        assert_eq!(read(b"<SIPS:example.org:5061>").host, Some(&b"example.org"[..]));
        let emergency = read(b"<urn:service:sos>;tag=a");
        assert_eq!(
            (emergency.uri, emergency.host, emergency.tag),
            (&b"urn:service:sos"[..], None, Some(&b"a"[..]))
        );
        let presence = read(b"pres:alice@example.org");
        assert_eq!((presence.user, presence.host), (Some(&b"alice"[..]), Some(&b"example.org"[..])));
    }

    #[test]
    fn truncated_addresses() {
        let whole = b"\"A\" <sip:alice@example.com>;tag=1928";
        for end in 0..whole.len() {
            let address = read(&whole[..end]);
            assert!(address.tag.is_none_or(|tag| b"1928".starts_with(tag)), "{end}");
            assert!(address.user.is_none_or(|user| user == b"alice"), "{end}");
        }
        assert_eq!(read(b""), Address::default());
    }

    #[test]
    fn parameters_end_with_a_comma() {
        assert_eq!(param(b";a=1, b;branch=no", b"branch"), None);
        assert_eq!(param(b"; a ; branch=z9 ;c", b"BRANCH"), Some(&b"z9"[..]));
        assert_eq!(param(b";branch", b"branch"), None);
    }
}
