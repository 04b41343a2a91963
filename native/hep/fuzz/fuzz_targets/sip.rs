//! SIP: headers compared with a second reader of lines, and the summary compared with the headers.
#![no_main]

use hep_sip::{Message, Start, same_header, summary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let message = Message::read(input);
    let summary = summary(input);
    assert_eq!(message.err(), summary.as_ref().err().copied());
    let (Ok(message), Ok(summary)) = (message, summary) else { return };
    let lines = after_first_line(input);
    let headers: Vec<(Vec<u8>, Vec<u8>)> =
        message.headers().map(|header| (header.name.to_vec(), header.unfolded().into_owned())).collect();
    assert_eq!(headers, reference(lines));

    let first = |name: &[u8]| {
        headers.iter().find(|(found, _)| same_header(found, name)).map(|(_, value)| value.as_slice())
    };
    assert_eq!(summary.call_id.as_deref(), first(b"i"));
    assert_eq!(summary.content_type.as_deref(), first(b"Content-Type"));
    assert_eq!(summary.user_agent.as_deref(), first(b"USER-AGENT").or_else(|| first(b"Server")));
    assert_eq!(summary.from.is_some(), first(b"From").is_some());
    assert_eq!(summary.to.is_some(), first(b"t").is_some());
    for text in parts(&summary) {
        assert!(lies_within(text, input), "a part that is not of the message");
    }

    // Later bytes do not change earlier headers: the headers of a prefix are the first ones of the whole.
    let half = &input[..input.len() / 2];
    if let Ok(prefix) = Message::read(half) {
        // The last header of the prefix may be truncated or continued.
        let known = prefix.headers().count().saturating_sub(1);
        if half.len() > input.len() - lines.len() {
            for (header, (name, value)) in prefix.headers().take(known).zip(&headers) {
                assert_eq!((header.name, &*header.unfolded()), (&name[..], &value[..]));
            }
        }
    }
});

fn after_first_line(input: &[u8]) -> &[u8] {
    let first = input.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(input.len());
    let input = &input[first..];
    input.iter().position(|&byte| byte == b'\n').map_or(&[], |end| &input[end + 1..])
}

/// The headers by lines: simple and slow.
fn reference(lines: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut folded: Vec<Vec<u8>> = Vec::new();
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            break;
        }
        match folded.last_mut() {
            Some(header) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                header.extend_from_slice(line)
            }
            _ => folded.push(line.to_vec()),
        }
    }
    let split = |header: &Vec<u8>| {
        let colon = header.iter().position(|&byte| byte == b':')?;
        let value = header[colon + 1..].split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let value = value.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(&b' ');
        Some((header[..colon].trim_ascii().to_vec(), value)).filter(|(name, _)| !name.is_empty())
    };
    folded.iter().filter_map(split).collect()
}

/// The parts of the summary that are never unfolded.
fn parts<'a>(summary: &hep_sip::Summary<'a>) -> Vec<&'a [u8]> {
    let start = match summary.start {
        Start::Request { method, uri } => [method, uri],
        Start::Response { reason, .. } => [reason, reason],
    };
    let address = |address: hep_sip::Address<'a>| {
        [Some(address.uri), address.display, address.user, address.host, address.tag]
    };
    let addresses = [summary.from, summary.to].into_iter().flatten().flat_map(address).flatten();
    start
        .into_iter()
        .chain(addresses)
        .chain(summary.via_branch)
        .chain(summary.cseq.map(|(_, name)| name))
        .collect()
}

fn lies_within(part: &[u8], whole: &[u8]) -> bool {
    let whole = whole.as_ptr_range();
    let part = part.as_ptr_range();
    part.is_empty() || (whole.start <= part.start && part.end <= whole.end)
}
