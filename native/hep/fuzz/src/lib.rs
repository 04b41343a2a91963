//! Shared by the fuzz targets: a fixed clock, options chosen by the input, and the expected packet
//! after a round trip.

use hep::{
    CaptureId, Chunk, Compress, EncodeOptions, HeaderLength, Lengths, Options, Packet, Timestamp,
    TimestampRepair, V2Order, V2Style, Version, quirks,
};

/// The time of every call.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp { seconds: 1_700_000_000, microseconds: 123_456 }
}

/// A number computed from the whole input, so that fixtures can be used as inputs unchanged.
#[must_use]
pub fn pick(input: &[u8]) -> usize {
    input.iter().fold(0, |sum: usize, &byte| sum.rotate_left(5).wrapping_add(byte.into()))
}

/// One of all combinations of decoding options.
#[must_use]
pub fn options(pick: usize) -> Options {
    Options {
        header_length: [HeaderLength::Strict, HeaderLength::Ignore][pick % 2],
        v2_order: [V2Order::Auto, V2Order::Big, V2Order::Little][pick / 2 % 3],
        capture_id: [CaptureId::Keep, CaptureId::Repair][pick / 6 % 2],
        max_inflated: [Options::MAX_INFLATED, 100][pick / 12 % 2],
        timestamp: [TimestampRepair::Repair, TimestampRepair::Keep][pick / 24 % 2],
        lengths: [Lengths::Strict, Lengths::Lenient][pick / 48 % 2],
    }
}

/// The options that leave every time unchanged.
#[must_use]
pub fn reading_back(style: V2Style) -> Options {
    Options {
        v2_order: if style == V2Style::C { V2Order::Little } else { V2Order::Big },
        timestamp: TimestampRepair::Keep,
        ..Options::default()
    }
}

/// One of all combinations of encoding options.
#[must_use]
pub fn encode_options<'a>(pick: usize, version: Version, key: &'a [u8]) -> EncodeOptions<'a> {
    let compress = [Compress::None, Compress::Zlib, Compress::Gzip][pick / 2 % 3];
    EncodeOptions {
        v2_style: [V2Style::Documented, V2Style::C, V2Style::Forks][pick / 12 % 3],
        compress: if version == Version::V3 { compress } else { Compress::None },
        auth_key: (pick / 6 % 2 == 1).then_some(key),
    }
}

/// The expected packet after encoding and decoding this one: the time is set, the generic chunks are
/// sorted and precede those of vendors.
#[must_use]
pub fn round_tripped<'a>(packet: &Packet<'a>, style: V2Style) -> Packet<'a> {
    let mut back = packet.clone();
    back.timestamp = match packet.version {
        // It carries none.
        Version::V1 => Some(now()),
        version => written(packet.timestamp.unwrap_or_else(now), version, style),
    };
    if packet.version == Version::V2 {
        back.capture_id = Some(packet.capture_id.unwrap_or(0));
    }
    let (mut generic, vendors): (Vec<Chunk<'a>>, Vec<Chunk<'a>>) =
        packet.chunks.iter().partition(|chunk| chunk.vendor == 0);
    generic.sort_by_key(|chunk| chunk.id);
    back.chunks = generic.into_iter().chain(vendors).collect();
    back
}

/// The time as written; `None` if it cannot be written.
#[must_use]
pub fn written(timestamp: Timestamp, version: Version, style: V2Style) -> Option<Timestamp> {
    if version == Version::V2 && style == V2Style::Forks {
        quirks::carried_over(timestamp)
    } else {
        quirks::unswappable_timestamp(timestamp)
    }
}

/// The time that the default options return for this time of version 3: the rules of guides/codec.md, written a second
/// time, so that an error in the library's rules is found.
#[must_use]
pub fn repaired(time: Timestamp) -> Timestamp {
    let swap = |value: u32| u32::from_str_radix(&hex(value.to_le_bytes()), 16).expect("eight digits");
    let limit = u64::from(now().seconds) + 24 * 3600;
    let since_1900 = 25_567 * 24 * 3600;
    let Timestamp { seconds, microseconds } = time;
    let swapped = Timestamp { seconds: swap(seconds), microseconds: swap(microseconds) };
    let is_below_a_second = |time: Timestamp| time.microseconds <= 999_999;
    let time = if !is_below_a_second(time) && is_below_a_second(swapped) { swapped } else { time };
    let swapped = Timestamp { seconds: swap(time.seconds), microseconds: swap(time.microseconds) };
    if u64::from(time.seconds) <= limit {
        time
    } else if is_below_a_second(swapped) && u64::from(swapped.seconds) <= limit {
        swapped
    } else if u64::from(time.seconds) >= since_1900 && u64::from(time.seconds) - since_1900 <= limit {
        let seconds = u32::try_from(u64::from(time.seconds) - since_1900).expect("not above the limit");
        Timestamp { seconds, ..time }
    } else {
        time
    }
}

fn hex(bytes: [u8; 4]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Panics if the written time is another one, or if a reader would take it for a byte-swapped time.
///
/// # Panics
/// See above.
pub fn assert_written(time: Timestamp, back: Timestamp) {
    let total = |time: Timestamp| u64::from(time.seconds) * 1_000_000 + u64::from(time.microseconds);
    assert_eq!(total(time), total(back), "{time:?} is written as {back:?}");
    let is_swapped = back.microseconds > 999_999 && back.microseconds.swap_bytes() <= 999_999;
    assert!(!is_swapped, "{back:?} reads like a swapped time");
}

/// Panics with the first field in which the packets differ.
///
/// # Panics
/// See above.
pub fn assert_same(expected: &Packet<'_>, found: &Packet<'_>) {
    macro_rules! same {
        ($($field:ident),*) => { $( assert_eq!(expected.$field, found.$field, stringify!($field)); )* };
    }
    same!(version, family, protocol, src_ip, src_port, dst_ip, dst_port, timestamp, capture_id, payload_type);
    assert_eq!(expected.payload.as_bytes(), found.payload.as_bytes(), "payload");
    assert_eq!(expected.chunks[..], found.chunks[..], "chunks");
}
