//! Properties of any bytes, and of messages with changed parts.

use hep_sip::{Address, Message, summary};
use proptest::prelude::*;

const MESSAGE: &[u8] = b"INVITE sip:bob@example.org SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK776\r\n\
    f: \"Alice\" <sip:alice@example.com>;tag=1928\r\n\
    t: <sip:bob@example.org>\r\n\
    i: a84b\r\n 4c76\r\n\
    CSeq: 314159 INVITE\r\n\r\nbody";

/// Whether `part` lies in `whole`.
fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr())
}

proptest! {
    #[test]
    fn any_bytes(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = summary(&input);
        let _ = Address::read(&input);
        if let Ok(message) = Message::read(&input) {
            prop_assert!(message.headers().all(|header| !header.name.is_empty() && lies_in(header.value, &input)));
        }
    }

    #[test]
    fn changed_messages(changes in proptest::collection::vec((0..MESSAGE.len(), any::<u8>()), 0..8), end in 0..=MESSAGE.len()) {
        let mut input = MESSAGE.to_vec();
        for (offset, byte) in changes {
            if let Some(place) = input.get_mut(offset) {
                *place = byte;
            }
        }
        input.truncate(end);
        if let (Ok(message), Ok(summary)) = (Message::read(&input), summary(&input)) {
            prop_assert_eq!(message.start, summary.start);
            let lines = input.split(|&byte| byte == b'\n').count();
            prop_assert!(message.headers().count() <= lines);
            prop_assert!(message.body().is_none_or(|body| input.ends_with(body)));
        }
    }
}
