//! A server on loopback that refuses whatever it is asked for, and keeps it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context, Result};

/// What it says.
pub(super) const WHY: &str = "nobody is let in here";

pub(super) struct Refusing {
    pub(super) port: u16,
    heads: Receiver<String>,
}

impl Refusing {
    /// The head of the first request that it got.
    pub(super) fn heard(&self) -> Result<String> {
        self.heads.try_recv().context("the server was asked for nothing")
    }
}

/// Serves until the process ends.
pub(super) fn serve() -> Result<Refusing> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let (heard, heads) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that is gone asks no more.
            drop(refuse(&client, &heard));
        }
    });
    Ok(Refusing { port, heads })
}

fn refuse(mut client: &TcpStream, heard: &Sender<String>) -> Result<()> {
    let mut head = String::new();
    let mut lines = BufReader::new(client);
    while lines.read_line(&mut head)? > 2 {}
    heard.send(head)?;
    let body = format!(r#"{{"Message":"{WHY}","Reason":"UNAUTHORIZED_ACCOUNT"}}"#);
    let size = body.len();
    write!(client, "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n")?;
    write!(client, "x-amzn-ErrorType: AccessDeniedException\r\nConnection: close\r\n\r\n{body}")?;
    Ok(())
}
