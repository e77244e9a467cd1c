//! Whether a machine took the address that it was given, and answers on port 22.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Error, Result};

/// What the network of a boot showed. The card is not Hyper-V's: this proves the guest's configuration, not
/// its driver `hv_netvsc`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Network {
    /// QEMU's card: "virtio-net-pci".
    pub card: &'static str,
    /// The card's address, of the range that the target's cards have.
    pub mac: String,
    /// The machine answers at the address that QEMU's DHCP server gives.
    pub address: bool,
    /// An SSH server answers there.
    pub answered: bool,
    /// What it said first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
    /// The seconds after the start of the machine at which that was known, to a tenth.
    pub seconds: f64,
}

/// How long port 22 is asked after the login prompt: on an emulated processor, services still start then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long one connection is listened to; a server on an emulated processor is slow.
const ATTEMPT: Duration = Duration::from_secs(20);
/// How often something else is done meanwhile.
const TICK: Duration = Duration::from_millis(300);
/// The longest banner, in bytes (RFC 4253, section 4.2).
const LONGEST: usize = 255;

/// A port of this machine's that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(Error::Port)?.port())
}

/// What a port said.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// The first line of an SSH server.
    Banner(String),
    /// The connection was closed: somebody is there, and no SSH server.
    Closed,
    /// Nothing.
    Silence,
}

/// Asks a port of this machine's, which QEMU forwards to the guest, until it answers as an SSH server or the
/// time is over; `meanwhile` is called now and then.
///
/// QEMU takes every connection, and closes it when the guest refuses it. A guest without the address answers
/// nothing at all.
pub(crate) fn ask(port: u16, patience: Duration, mut meanwhile: impl FnMut() -> Result<()>) -> Result<Heard> {
    let until = Instant::now() + patience;
    let mut heard = Heard::Silence;
    while Instant::now() < until {
        match attempt(port, until.min(Instant::now() + ATTEMPT), &mut meanwhile)? {
            Heard::Silence => {}
            Heard::Closed => heard = Heard::Closed,
            banner => return Ok(banner),
        }
        meanwhile()?;
        std::thread::sleep(TICK);
    }
    Ok(heard)
}

fn attempt(port: u16, until: Instant, meanwhile: &mut impl FnMut() -> Result<()>) -> Result<Heard> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, TICK) else { return Ok(Heard::Silence) };
    stream.set_read_timeout(Some(TICK)).map_err(Error::Port)?;
    let mut line = Vec::new();
    while Instant::now() < until {
        let mut bytes = [0; LONGEST];
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(Heard::Closed),
            Ok(count) => line.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => meanwhile()?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(Heard::Closed),
        }
        if line.contains(&b'\n') || line.len() >= LONGEST {
            line.truncate(LONGEST);
            let text = String::from_utf8_lossy(&line);
            let first = text.lines().next().unwrap_or_default().trim_end();
            // Another server than that of SSH is somebody, too.
            return Ok(match first.starts_with("SSH-") {
                true => Heard::Banner(first.to_owned()),
                false => Heard::Closed,
            });
        }
    }
    Ok(Heard::Silence)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use super::*;

    /// A server that does this with each connection.
    fn server(mut each: impl FnMut(TcpStream) + Send + 'static) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || listener.incoming().flatten().for_each(&mut each));
        port
    }

    fn asked(port: u16) -> (Heard, usize) {
        let mut ticks = 0;
        let heard = ask(port, Duration::from_secs(2), || {
            ticks += 1;
            Ok(())
        });
        (heard.unwrap(), ticks)
    }

    #[test]
    fn a_banner_is_heard_even_in_pieces_and_late() {
        let mut refusals = 0;
        let port = server(move |mut stream| {
            refusals += 1;
            if refusals > 2 {
                stream.write_all(b"SSH-2.0-Open").unwrap();
                thread::sleep(Duration::from_millis(400));
                stream.write_all(b"SSH_9.2p1\r\nmore").unwrap();
            }
        });
        assert_eq!(asked(port).0, Heard::Banner("SSH-2.0-OpenSSH_9.2p1".into()));
    }

    #[test]
    fn who_says_nothing_and_who_says_something_else() {
        let mut kept = Vec::new();
        let (heard, ticks) = asked(server(move |stream| kept.push(stream)));
        assert!(heard == Heard::Silence && ticks > 3, "{heard:?}, {ticks} times");
        assert_eq!(asked(server(drop)).0, Heard::Closed);
        assert_eq!(asked(server(|mut stream| stream.write_all(&[b'x'; 4096]).unwrap())).0, Heard::Closed);
        assert_eq!(asked(free_port().unwrap()).0, Heard::Silence);
    }

    #[test]
    fn who_is_told_to_stop_stops_at_once() {
        let mut kept = Vec::new();
        let port = server(move |stream| kept.push(stream));
        let start = Instant::now();
        let told = ask(port, Duration::from_secs(60), || Err(Error::Cancelled));
        assert!(matches!(told, Err(Error::Cancelled)) && start.elapsed() < Duration::from_secs(5));
    }
}
