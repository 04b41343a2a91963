//! The rules that read the clock, tested on both sides of each limit; how often the clock is read, and how often it is
//! right.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "tests may panic, and one reports a figure"
)]

mod common;

use std::cell::Cell;

use common::{NOW, now, unhex};
use hep::quirks::repaired_timestamp;
use hep::{
    Chunk, Clock, DecodeError, EncodeOptions, GzipError, Lengths, Options, Packet, Payload, Timestamp,
    TimestampRepair, V2Order, V2Style, Version,
};

const DAY: u32 = 86_400;
/// Seconds from 1900 to 1970.
const SINCE_1900: u32 = 2_208_988_800;

fn time(seconds: u32, microseconds: u32) -> Timestamp {
    Timestamp { seconds, microseconds }
}

fn at(seconds: u32) -> impl Clock {
    move || time(seconds, 0)
}

fn timestamp(bytes: &[u8], options: &Options, clock: impl Clock) -> Option<Timestamp> {
    hep::decode(bytes, options, clock).unwrap().timestamp
}

/// A packet of version 2.
fn v2(style: V2Style, timestamp: Timestamp, id: u16) -> Vec<u8> {
    let packet = Packet {
        protocol: Some(17),
        src_ip: Some([192, 0, 2, 1].into()),
        src_port: Some(5060),
        dst_ip: Some([192, 0, 2, 2].into()),
        dst_port: Some(5062),
        timestamp: Some(timestamp),
        capture_id: Some(id.into()),
        payload: Payload::Plain(b"x"),
        ..Packet::new(Version::V2)
    };
    hep::encode(&packet, &EncodeOptions { v2_style: style, ..EncodeOptions::default() }, now)
        .unwrap()
        .to_bytes()
}

/// The form of FreeSWITCH: the documented header length, little-endian.
fn freeswitch(timestamp: Timestamp, id: u16) -> Vec<u8> {
    let mut bytes = v2(V2Style::C, timestamp, id);
    bytes[1] = 28;
    bytes
}

fn v3(Timestamp { seconds, microseconds }: Timestamp) -> Vec<u8> {
    let header = b"HEP3\0\x1a\0\0\0\x09\0\x0a";
    let microseconds = [&b"\0\0\0\x0a\0\x0a"[..], &microseconds.to_be_bytes()].concat();
    [&header[..], &seconds.to_be_bytes(), &microseconds].concat()
}

#[test]
fn freeswitch_is_read_where_both_orders_are_plausible() {
    let bytes = unhex("021C021113C413C6C0000201C633640700F1536500030000C800000078");
    let packet = hep::decode(&bytes, &Options::default(), now).unwrap();
    assert_eq!((packet.timestamp, packet.capture_id), (Some(time(1_700_000_000, 768)), Some(200)));
    let big = Options { v2_order: V2Order::Big, ..Options::default() };
    let packet = hep::decode(&bytes, &big, now).unwrap();
    assert_eq!((packet.timestamp, packet.capture_id), (Some(time(0x00f1_5365, 0x30000)), Some(51200)));
}

#[test]
fn the_nearer_seconds_decide_on_both_sides_and_the_header_between() {
    // 2,000 s as big-endian, 3,489,071,104 s as little-endian: a clock in the middle is equally near.
    let (big, little) = (2000_u32, 2000_u32.swap_bytes());
    let middle = big + (little - big) / 2;
    assert_eq!(middle.abs_diff(big), middle.abs_diff(little));
    for style in [V2Style::Documented, V2Style::Forks] {
        let bytes = v2(style, time(big, 0x300), 1);
        let seconds = |clock| timestamp(&bytes, &Options::default(), at(clock)).unwrap().seconds;
        assert_eq!(seconds(middle - 1), big);
        assert_eq!(seconds(middle + 1), little);
        assert_eq!(seconds(middle), if style == V2Style::Documented { big } else { little });
    }
}

/// A clock that counts its calls.
struct Counting<'a>(&'a Cell<u32>);

impl Clock for Counting<'_> {
    fn now(&self) -> Timestamp {
        self.0.set(self.0.get() + 1);
        NOW
    }

    fn has_passed(&self, time: Timestamp) -> bool {
        time.seconds <= NOW.seconds
    }
}

#[test]
fn the_clock_is_read_only_where_it_decides() {
    let asked = |bytes: &[u8], options: &Options| {
        let count = Cell::new(0);
        hep::decode(bytes, options, Counting(&count)).unwrap();
        let decoded = count.replace(0);
        let _ = hep::parse(bytes, options, Counting(&count)).unwrap();
        (decoded, count.get())
    };
    let auto = Options::default();
    let keep = Options { timestamp: TimestampRepair::Keep, ..auto };
    let ambiguous = v2(V2Style::C, time(NOW.seconds, 0x300), 1);
    let clear = v2(V2Style::C, time(NOW.seconds, 999_999), 1);
    assert_eq!(asked(&ambiguous, &auto), (1, 1));
    assert_eq!(asked(&clear, &auto), (0, 0));
    for v2_order in [V2Order::Big, V2Order::Little] {
        assert_eq!(asked(&ambiguous, &Options { v2_order, ..auto }), (0, 0));
    }
    assert_eq!(asked(&v3(time(NOW.seconds + DAY, 1)), &auto), (0, 0));
    assert_eq!(asked(&v3(time(NOW.seconds + DAY + 1, 1)), &auto), (1, 0));
    assert_eq!(asked(&v3(time(NOW.seconds + DAY + 1, 1)), &keep), (0, 0));
    let neither = v2(V2Style::C, time(NOW.seconds, 0x4242_4242), 1);
    assert_eq!(asked(&neither, &auto), (0, 0));
}

#[test]
fn a_time_up_to_a_day_ahead_stays() {
    // Swapped, its seconds are in the past, and its microseconds are plausible.
    let seconds = 0x7000_0001;
    let ahead = time(seconds, 0x300);
    let swapped = time(seconds.swap_bytes(), 0x30000);
    assert_eq!(repaired_timestamp(ahead, &at(seconds - DAY)), ahead);
    assert_eq!(repaired_timestamp(ahead, &at(seconds - DAY - 1)), swapped);
    let keep = Options { timestamp: TimestampRepair::Keep, ..Options::default() };
    assert_eq!(timestamp(&v3(ahead), &Options::default(), at(seconds - DAY - 1)), Some(swapped));
    assert_eq!(timestamp(&v3(ahead), &keep, at(seconds - DAY - 1)), Some(ahead));
}

#[test]
fn a_reading_counts_up_to_a_day_ahead() {
    let clock = 1_700_000_000;
    // Byte-swapped.
    let swapped = |seconds: u32| time(seconds.swap_bytes(), 0x300);
    assert_eq!(repaired_timestamp(swapped(clock + DAY), &at(clock)), time(clock + DAY, 0x30000));
    let beyond = swapped(clock + DAY + 1);
    assert_ne!(repaired_timestamp(beyond, &at(clock)).seconds, clock + DAY + 1);
    // Counted from 1900.
    let since = |seconds: u32| time(seconds + SINCE_1900, 999_999);
    assert_eq!(repaired_timestamp(since(clock + DAY), &at(clock)), time(clock + DAY, 999_999));
    assert_eq!(repaired_timestamp(since(clock + DAY + 1), &at(clock)), since(clock + DAY + 1));
    assert_eq!(repaired_timestamp(since(0), &at(clock)), time(0, 999_999));
    assert_eq!(repaired_timestamp(time(SINCE_1900 - 1, 1), &at(clock)), time(SINCE_1900 - 1, 1));
}

#[test]
fn swapped_microseconds_are_below_a_second() {
    let clock = 1_700_000_000_u32;
    let ahead = |microseconds: u32| time(clock.swap_bytes() | 0xff, microseconds.swap_bytes());
    let seconds = (clock.swap_bytes() | 0xff).swap_bytes();
    let clock = at(seconds);
    assert_eq!(repaired_timestamp(ahead(999_999), &clock), time(seconds, 999_999));
    assert_ne!(repaired_timestamp(ahead(1_000_000), &clock).seconds, seconds);
}

#[test]
fn one_option_disables_all_repairs_of_time() {
    let keep = Options { timestamp: TimestampRepair::Keep, ..Options::default() };
    let swapped = time(1_756_196_017_u32.swap_bytes(), 501_968_u32.swap_bytes());
    assert_eq!(timestamp(&v3(swapped), &Options::default(), now), Some(time(1_756_196_017, 501_968)));
    assert_eq!(timestamp(&v3(swapped), &keep, now), Some(swapped));
}

/// JSON keeps a decoded time unchanged: reading it repairs nothing.
#[test]
fn json_keeps_a_time_that_is_ahead() {
    let keep = Options { timestamp: TimestampRepair::Keep, ..Options::default() };
    for kept in [time(u32::MAX, 0x300), time(3_905_227_234, 1), time(5, u32::MAX)] {
        let bytes = v3(kept);
        let packet = hep::decode(&bytes, &keep, now).unwrap();
        let Ok(hep::OneOrMany::One(again)) = hep::from_json(&hep::to_json(&packet)) else { unreachable!() };
        assert_eq!(again.packet().timestamp, Some(kept));
    }
}

/// The values of a xorshift generator.
fn random(mut state: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

/// The number of misread packets among a million of version 2, sent up to `seconds` before the clock.
fn misread(write: fn(Timestamp, u16) -> Vec<u8>, seconds: u64) -> u32 {
    let mut numbers = random(0x9e37_79b9_7f4a_7c15);
    let mut below = |limit: u64| u32::try_from(numbers.next().unwrap() % limit).unwrap();
    let mut count = 0;
    for _ in 0..1_000_000 {
        let sent = time(NOW.seconds - below(seconds), below(1_000_000));
        let bytes = write(sent, 2001);
        let packet = hep::decode(&bytes, &Options::default(), now).unwrap();
        if (packet.timestamp, packet.capture_id) != (Some(sent), Some(2001)) {
            count += 1;
        }
    }
    count
}

#[test]
fn of_a_million_times_of_freeswitch_and_of_the_forks_few_are_misread() {
    let forks = |timestamp, id| v2(V2Style::Forks, timestamp, id);
    // Both orders are plausible in 1 of 3,906. The wrong one is chosen if its seconds are nearer to the clock, which
    // needs years between packet and clock.
    for (age, seconds, bound) in [("an hour", 3600, 0), ("ten years", 10 * 365 * 86_400, 30)] {
        for (name, write) in [("FreeSWITCH", freeswitch as fn(_, _) -> _), ("the forks", forks)] {
            let misread = misread(write, seconds);
            println!("{name}, up to {age} old: {misread} of 1,000,000 misread");
            assert!(misread <= bound, "{name}: {misread}");
        }
    }
}

#[test]
fn a_chunk_of_another_width_is_written_unchanged() {
    let value = [0, 0, 0, 0, 0, 0, 0, 0x5d, 1];
    for width in 1..=value.len() {
        for id in [0x0d, 0x12, 0x14, 0x17, 0x21, 0x23] {
            let chunks = [Chunk { vendor: 0, id, value: &value[..width] }];
            let packet = Packet { chunks: chunks.into_iter().collect(), ..Packet::new(Version::V3) };
            let bytes = hep::encode(&packet, &EncodeOptions::default(), now).unwrap().to_bytes();
            let again = hep::decode(&bytes, &Options::default(), now).unwrap();
            assert_eq!(again.chunks[..], chunks);
            let Ok(hep::OneOrMany::One(again)) = hep::from_json(&hep::to_json(&again)) else {
                unreachable!()
            };
            assert_eq!(again.packet().chunks[..], chunks);
        }
    }
}

#[test]
fn a_wrong_width_is_an_error_under_lenient_lengths_too() {
    let bytes = b"HEP3\x03\xe7\0\0\0\x07\0\x09\x01\x02\x03";
    let lenient = Options { lengths: Lengths::Lenient, ..Options::default() };
    let wrong = DecodeError::InvalidChunk { vendor: 0, id: 7, offset: 12, length: 3 };
    assert_eq!(hep::decode(bytes, &lenient, now), Err(wrong));
    assert_eq!(hep::decode(bytes, &Options::default(), now), Err(DecodeError::Truncated { offset: 15 }));
}

/// Every truncation has the chunks before its end, and the payload up to it.
#[test]
fn a_packet_may_be_truncated_anywhere() {
    let lenient = Options { lengths: Lengths::Lenient, ..Options::default() };
    let packet = Packet {
        src_port: Some(5060),
        timestamp: Some(NOW),
        payload: Payload::Plain(b"INVITE sip:a@b"),
        chunks: [Chunk { vendor: 9, id: 15, value: b"vendor" }].into_iter().collect(),
        ..Packet::new(Version::V3)
    };
    let encoded = hep::encode(&packet, &EncodeOptions::default(), now).unwrap();
    let (bytes, header) = (encoded.to_bytes(), encoded.header.as_bytes().len());
    for end in 0..bytes.len() {
        let strict = hep::decode(&bytes[..end], &Options::default(), now).unwrap_err();
        let cut = hep::decode(&bytes[..end], &lenient, now);
        if end < 6 {
            assert_eq!(cut, Err(strict));
            continue;
        }
        let cut = cut.unwrap();
        assert_eq!(cut.cut, Some(strict));
        assert_eq!(cut.src_port, (end >= 14).then_some(5060));
        let came = bytes.get(header..end.max(header)).unwrap_or_default();
        assert_eq!(cut.payload.as_bytes(), &came[..came.len().min(14)]);
        assert!(cut.chunks.is_empty());
    }
    let whole = hep::decode(&bytes, &lenient, now).unwrap();
    assert_eq!((whole.cut, whole.payload.as_bytes()), (None, packet.payload.as_bytes()));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_unpacked_to_the_largest_datagram() {
    let options = Options::default();
    let packet = vec![1; 65_535];
    assert_eq!(hep::unpack(&gzip(&packet), &options).unwrap(), packet);
    let limit =
        |max_inflated| hep::unpack(&gzip(&packet[..100]), &Options { max_inflated, ..options }).is_ok();
    assert_eq!([limit(99), limit(100), limit(70_000)], [false, true, true]);
    let too_large = DecodeError::InvalidGzip(GzipError::TooLarge);
    assert_eq!(hep::unpack(&gzip(&vec![1; 65_536]), &options), Err(too_large));
    let large = Options { max_inflated: usize::MAX, ..options };
    assert_eq!(hep::unpack(&gzip(&vec![1; 65_536]), &large), Err(too_large));
}

#[test]
fn every_truncation_of_gzip_is_reported() {
    let whole = gzip(b"HEP3\0\x06");
    for end in 2..whole.len() {
        let truncated = DecodeError::InvalidGzip(GzipError::Truncated);
        assert_eq!(hep::unpack(&whole[..end], &Options::default()), Err(truncated), "{end}");
    }
    // Bytes without the whole magic are not gzip.
    assert_eq!(hep::unpack(&whole[..1], &Options::default()).unwrap(), &whole[..1]);
}
