//! Connections with frames that are split at random.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::packet::Template;

/// How long the peer may take to close after all was sent.
const CLOSING: Duration = Duration::from_secs(30);
/// The name in the peer's certificate.
const SERVER_NAME: &str = "localhost";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Opens the connections and sends `packets` on each of them, numbered from 0.
pub(crate) fn send(
    to: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    template: &Template,
    connections: usize,
    packets: u32,
    random: &mut Rng,
) -> Result<()> {
    thread::scope(|scope| {
        let senders: Vec<_> = (0..connections)
            .map(|_| {
                let random = random.fork();
                scope.spawn(move || send_on_one(to, tls, template, packets, random))
            })
            .collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| "a sender panicked")?)
    })
}

/// Trusts only the certificates in the file.
pub(crate) fn trust(file: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

fn send_on_one(
    to: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    template: &Template,
    packets: u32,
    random: Rng,
) -> Result<()> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    if let Some(config) = tls {
        let mut session = ClientConnection::new(Arc::clone(config), ServerName::try_from(SERVER_NAME)?)?;
        write_frames(&mut Stream::new(&mut session, &mut socket), template, packets, random)?;
        session.send_close_notify();
        while session.wants_write() {
            session.write_tls(&mut socket)?;
        }
    } else {
        write_frames(&mut socket, template, packets, random)?;
    }
    close(&socket)
}

/// Writes of 1 byte to 64 KiB, with a logarithmic distribution: some split a frame, some
/// contain many frames.
fn write_frames(to: &mut impl Write, template: &Template, packets: u32, mut random: Rng) -> io::Result<()> {
    let mut numbers = 0..packets;
    let mut frames = Vec::new();
    loop {
        let largest = 1 << random.u8(0..=16);
        let size = random.usize(1..=largest);
        while frames.len() < size {
            let Some(number) = numbers.next() else { break };
            template.append(number, &mut frames);
        }
        if frames.is_empty() {
            return Ok(());
        }
        let size = size.min(frames.len());
        to.write_all(frames.split_at(size).0)?;
        to.flush()?;
        frames.drain(..size);
    }
}

/// Waits until the peer has closed, too. Closing a socket with unread data resets it, and
/// data on its way would be lost.
fn close(mut socket: &TcpStream) -> Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(CLOSING))?;
    let mut unread = [0; 4096];
    while socket.read(&mut unread)? > 0 {}
    Ok(())
}
