//! A name server on loopback that knows one name.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};

/// Bytes of the head of a message (RFC 1035, 4.1.1).
const HEAD: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

/// How often it was asked for its name.
pub(super) struct Asked(Arc<AtomicU64>);

impl Asked {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves until the process ends: `name` is this machine, and no other is known.
pub(super) fn serve(name: &str) -> Result<Asked> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).context("port 53 of loopback is taken")?;
    let mut wanted = Vec::new();
    for label in name.split('.') {
        wanted.push(u8::try_from(label.len())?);
        wanted.extend(label.bytes());
    }
    wanted.push(0);
    let count = Arc::new(AtomicU64::new(0));
    let asked = Asked(Arc::clone(&count));
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((size, client)) = socket.recv_from(&mut message) {
            let Some(answer) = answer(&message[..size], &wanted, &count) else { continue };
            // A client that is gone asks no more.
            drop(socket.send_to(&answer, client));
        }
    });
    Ok(asked)
}

/// The answer to a query of one question; `None` for what is none.
fn answer(query: &[u8], wanted: &[u8], count: &AtomicU64) -> Option<Vec<u8>> {
    let question = query.get(HEAD..)?;
    let known = question.starts_with(wanted);
    let end = HEAD + question.iter().position(|byte| *byte == 0)? + 1 + 4;
    let is_a = query.get(end - 4..end - 2)? == TYPE_A;
    count.fetch_add(u64::from(known), Ordering::Relaxed);
    // A response, recursion available; 3 is NXDOMAIN. One question, and its answer if there is one.
    let answers = u8::from(known && is_a);
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, answers, 0, 0, 0, 0]);
    answer.extend(query.get(HEAD..end)?);
    if answers == 1 {
        // The name of the question, A, IN, for a second, four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
