//! Tests on loopback, with both address families. A datagram has arrived when the send returns.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::{BATCH, DATAGRAM, Limits, Received, Receiver};

const ALL: Limits = Limits { datagrams: usize::MAX, bytes: usize::MAX };

/// A receiver on the address, and a socket that is connected to it.
fn pair(ip: impl Into<IpAddr>) -> (Receiver, UdpSocket) {
    pair_with_size(ip, DATAGRAM)
}

fn pair_with_size(ip: impl Into<IpAddr>, size: usize) -> (Receiver, UdpSocket) {
    let ip = ip.into();
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let sender = UdpSocket::bind((ip, 0)).unwrap();
    sender.connect(socket.local_addr().unwrap()).unwrap();
    (Receiver::with_size(socket, size).unwrap(), sender)
}

/// A received datagram: source, bytes, whether it was truncated.
fn receive(receiver: &mut Receiver, limits: Limits) -> (Vec<(SocketAddr, Vec<u8>, bool)>, Received) {
    let mut all = Vec::new();
    let read = receiver
        .receive(limits, |datagram| {
            all.push((datagram.source, datagram.bytes.to_vec(), datagram.is_truncated));
        })
        .unwrap();
    assert_eq!(read.datagrams, all.len());
    assert_eq!(read.bytes, all.iter().map(|(_, bytes, _)| bytes.len()).sum::<usize>());
    (all, read)
}

fn limits(datagrams: usize, bytes: usize) -> Limits {
    Limits { datagrams, bytes }
}

#[test]
fn an_empty_socket_returns_nothing() {
    let (mut receiver, _sender) = pair(Ipv4Addr::LOCALHOST);
    assert_eq!(receive(&mut receiver, ALL), (Vec::new(), Received::default()));
}

#[test]
fn datagrams_are_in_order_with_their_sources() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let (mut receiver, sender) = pair(ip);
        let other = UdpSocket::bind((ip, 0)).unwrap();
        other.connect(receiver.socket.local_addr().unwrap()).unwrap();
        let senders = [sender, other];
        let wanted: Vec<_> = (0_u8..100)
            .map(|number| {
                let sender = &senders[usize::from(number) % 2];
                let bytes = vec![number; usize::from(number)];
                sender.send(&bytes).unwrap();
                (sender.local_addr().unwrap(), bytes, false)
            })
            .collect();
        let (all, read) = receive(&mut receiver, ALL);
        assert_eq!(all, wanted);
        assert!(!read.is_full);
    }
}

#[test]
fn an_ipv4_sender_is_one_on_a_socket_of_both_families() {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    sender.send_to(b"hello", (Ipv4Addr::LOCALHOST, socket.local_addr().unwrap().port())).unwrap();
    let (all, _) = receive(&mut Receiver::new(socket).unwrap(), ALL);
    assert_eq!(all, [(sender.local_addr().unwrap(), b"hello".to_vec(), false)]);
}

#[test]
fn the_largest_datagrams_are_complete() {
    for (ip, largest) in
        [(IpAddr::from(Ipv4Addr::LOCALHOST), 65_507), (IpAddr::from(Ipv6Addr::LOCALHOST), 65_527)]
    {
        let (mut receiver, sender) = pair(ip);
        let bytes: Vec<u8> = (0_u8..=255).cycle().take(largest).collect();
        sender.send(&bytes).unwrap();
        sender.send(b"small").unwrap();
        let source = sender.local_addr().unwrap();
        let (all, _) = receive(&mut receiver, ALL);
        assert_eq!(all, [(source, bytes, false), (source, b"small".to_vec(), false)]);
    }
}

#[test]
fn an_empty_datagram_is_one() {
    let (mut receiver, sender) = pair(Ipv4Addr::LOCALHOST);
    for bytes in [b"".as_slice(), b"a", b""] {
        sender.send(bytes).unwrap();
    }
    let (all, _) = receive(&mut receiver, ALL);
    assert_eq!(all.iter().map(|(_, bytes, _)| bytes.len()).collect::<Vec<_>>(), [0, 1, 0]);
}

#[test]
fn a_truncated_datagram_is_marked() {
    let (mut receiver, sender) = pair_with_size(Ipv4Addr::LOCALHOST, 16);
    for size in [15, 16, 17] {
        sender.send(&vec![1; size]).unwrap();
    }
    let (all, _) = receive(&mut receiver, ALL);
    let found: Vec<_> = all.iter().map(|(_, bytes, is_truncated)| (bytes.len(), *is_truncated)).collect();
    // Without recvmmsg a datagram that fills the buffer counts as truncated.
    assert_eq!(found, [(15, false), (16, BATCH == 1), (16, true)]);
}

#[test]
fn the_limit_of_datagrams_ends_a_call_without_loss() {
    // One below the maximum of a system call, the maximum, one more, several calls.
    for most in [1, BATCH.saturating_sub(1).max(1), BATCH, BATCH + 1, 2 * BATCH + 3] {
        let (mut receiver, sender) = pair(Ipv4Addr::LOCALHOST);
        for number in 0..100_u8 {
            sender.send(&[number]).unwrap();
        }
        let mut all = Vec::new();
        while all.len() < 100 {
            let (some, read) = receive(&mut receiver, limits(most, usize::MAX));
            assert_eq!(some.len(), most.min(100 - all.len()));
            assert_eq!(read.is_full, some.len() == most);
            all.extend(some.into_iter().map(|(_, bytes, _)| bytes[0]));
        }
        assert_eq!(all, (0..100).collect::<Vec<u8>>());
    }
}

#[test]
fn the_limit_of_bytes_is_never_exceeded() {
    let (mut receiver, sender) = pair(Ipv4Addr::LOCALHOST);
    let bytes = vec![0; 60_000];
    for _ in 0..3 {
        sender.send(&bytes).unwrap();
    }
    // After two datagrams there is less room than one may need.
    let (all, read) = receive(&mut receiver, limits(100, 120_000 + DATAGRAM - 1));
    assert_eq!((all.len(), read.is_full), (2, true));
    let (all, read) = receive(&mut receiver, limits(100, 2 * DATAGRAM));
    assert_eq!((all.len(), read.is_full), (1, false));
}

#[test]
fn a_call_reads_at_least_one_datagram() {
    let (mut receiver, sender) = pair(Ipv4Addr::LOCALHOST);
    for _ in 0..3 {
        sender.send(&[0; 1000]).unwrap();
    }
    assert_eq!(receive(&mut receiver, limits(0, 0)).0.len(), 1);
    assert_eq!(receive(&mut receiver, limits(10, DATAGRAM - 1)).0.len(), 1);
    assert_eq!(receive(&mut receiver, limits(10, DATAGRAM)).0.len(), 1);
}

/// The system reports a closed port at the next read.
#[test]
#[cfg(target_os = "linux")]
fn an_error_is_returned_and_the_socket_stays_usable() {
    use std::io::ErrorKind::ConnectionRefused;

    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap();
    socket.connect(port).unwrap();
    let mut receiver = Receiver::new(socket).unwrap();
    drop(other);
    receiver.socket.send(b"nobody").unwrap();
    let error = receiver.receive(ALL, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ConnectionRefused);
    let other = UdpSocket::bind(port).unwrap();
    other.send_to(b"here", receiver.socket.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&mut receiver, ALL).0.len(), 1);
}

#[test]
#[cfg(unix)]
fn other_sockets_are_rejected() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    let socket = UdpSocket::from(OwnedFd::from(UnixDatagram::unbound().unwrap()));
    Receiver::new(socket).unwrap_err();
}
