//! A page blob that keeps nothing: it takes what is put as fast as the kernel hands it over.
//!
//! It knows the disk that is sent, so it need not keep it: every [`CHECKED`]th put is compared with that disk, all
//! others are dropped as they come; what is read back comes from the disk's file. Like this a sender on the same cores
//! is measured, and not the sink.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail, ensure};
use block::ranges::{inside, merged};

/// Of so many puts one is compared with the disk.
const CHECKED: u64 = 16;
/// The largest put, and what is read of one that is dropped at once, in bytes: it stays in the cache of a core.
const MAX_PUT: usize = 4 << 20;
const DROPPED: usize = 256 << 10;
const FOOTER: u64 = 512;
const MAX_HEAD: usize = 64 << 10;

/// What the sink has taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// Put Page requests.
    pub puts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Puts that were compared with the disk.
    pub checked: u64,
}

/// A running sink of one blob; dropping it stops it.
#[derive(Debug)]
pub struct Discard {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// The VHD that is sent.
    disk: File,
    size: u64,
    blob: Mutex<Blob>,
    puts: AtomicU64,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Blob {
    /// Its size, once it is made.
    size: Option<u64>,
    taken: Taken,
    put: Vec<Range<u64>>,
    footer: Vec<u8>,
    wrong: Option<String>,
}

impl Discard {
    /// Starts on a free port of 127.0.0.1, with no blob: `disk` is what will be sent.
    ///
    /// # Errors
    /// If there is no port, or no disk.
    pub fn start(disk: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let disk = File::open(disk).with_context(|| format!("cannot open {}", disk.display()))?;
        let size = disk.metadata()?.len();
        let (blob, puts, stopped) = Default::default();
        let shared = Arc::new(Shared { disk, size, blob, puts, stopped });
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new().name("sink".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || {
                    let mut stream = stream;
                    // Known before the client sees that it goes no further.
                    if let Err(error) = shared.serve(&mut stream) {
                        shared.lock().wrong.get_or_insert(format!("{error:#}"));
                    }
                });
            }
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// The URL of the blob, without a signature.
    pub fn url(&self) -> String {
        format!("http://{}/account/container/disk.vhd", self.address)
    }

    /// What was taken.
    ///
    /// # Errors
    /// If something was put that is not what the disk has, or not all of it.
    pub fn taken(&self) -> Result<Taken> {
        let blob = self.shared.lock();
        if let Some(wrong) = &blob.wrong {
            bail!("the sink: {wrong}");
        }
        ensure!(blob.footer.starts_with(b"conectix"), "no footer was put");
        Ok(blob.taken)
    }
}

impl Drop for Discard {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // It looks at that when somebody comes.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The head of a request.
struct Head {
    line: String,
    headers: HashMap<String, String>,
}

impl Head {
    /// The next one of a connection; `None` where that ends.
    fn read(stream: &mut TcpStream) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(bytes.len() < MAX_HEAD, "a request has no end");
            // A look at what is there, for the body after it is not to be read.
            let mut buf = [0; 4096];
            let there = stream.peek(&mut buf)?;
            if there == 0 {
                return Ok(None);
            }
            let before = bytes.len();
            bytes.extend_from_slice(&buf[..there]);
            let from = before.saturating_sub(3);
            let end = bytes[from..].windows(4).position(|four| four == b"\r\n\r\n");
            let taken = end.map_or(there, |end| from + end + 4 - before);
            stream.read_exact(&mut buf[..taken])?;
            bytes.truncate(before + taken);
        };
        let text = String::from_utf8(bytes[..end].to_vec())?;
        let mut lines = text.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Ok(Some(Self { line, headers: headers.collect() }))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    fn range(&self) -> Option<Range<u64>> {
        let text = self.header("x-ms-range").or_else(|| self.header("range"))?;
        let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        Some(start.parse().ok()?..last.parse::<u64>().ok()? + 1)
    }

    /// Method, component of the blob, and what is done with pages.
    fn what(&self) -> (&str, Option<&str>, Option<&str>) {
        let (method, rest) = self.line.split_once(' ').unwrap_or_default();
        let query = rest.split(' ').next().unwrap_or_default().split_once('?').unwrap_or_default().1;
        let component = query.split('&').find_map(|part| part.strip_prefix("comp="));
        (method, component, self.header("x-ms-page-write"))
    }
}

/// An answer with these headers, and this body.
fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let len = match headers.contains("content-length") {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nx-ms-version: 2019-12-12\r\nx-ms-request-id: 0\r\n{len}{headers}\r\n")
            .into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Blob> {
        self.blob.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &mut TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut buf = vec![0; MAX_PUT];
        loop {
            match Head::read(stream) {
                Ok(Some(head)) => self.request(stream, &head, &mut buf)?,
                Ok(None) => return Ok(()),
                Err(error) if is_end(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn request(&self, stream: &mut TcpStream, head: &Head, buf: &mut Vec<u8>) -> Result<()> {
        if head.header("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let len = head.number("content-length").unwrap_or(0) as usize;
        let made = self.lock().size;
        let known =
            "x-ms-blob-type: PageBlob\r\netag: \"0x1\"\r\nlast-modified: Sun, 29 Nov 2026 09:00:00 GMT\r\n";
        match head.what() {
            ("PUT", Some("page"), Some("update")) => {
                let range = head.range().context("a put has no range")?;
                ensure!(range.end - range.start == len as u64 && len <= MAX_PUT, "a put of {len} bytes");
                self.put(stream, range, buf)?;
                answer(stream, "201 Created", known, &[])?;
            }
            ("PUT", Some("page" | "properties"), _) => answer(stream, "200 OK", known, &[])?,
            ("PUT", None, _) => {
                self.lock().size = head.number("x-ms-blob-content-length");
                answer(stream, "201 Created", known, &[])?;
            }
            ("HEAD" | "GET", ..) if made.is_none() => {
                answer(stream, "404 Not Found", "x-ms-error-code: BlobNotFound\r\n", &[])?;
            }
            ("HEAD", None, _) => {
                let size = made.unwrap_or_default();
                answer(stream, "200 OK", &format!("{known}content-length: {size}\r\n"), &[])?;
            }
            ("GET", Some("pagelist"), _) => {
                let all = std::slice::from_ref(&head.range().unwrap_or(0..u64::MAX)).to_vec();
                let put = inside(&all, &merged(self.lock().put.clone()));
                let list = put.iter().map(|range| {
                    format!(
                        "<PageRange><Start>{}</Start><End>{}</End></PageRange>",
                        range.start,
                        range.end - 1
                    )
                });
                let body = format!("<PageList>{}</PageList>", list.collect::<String>());
                answer(stream, "200 OK", known, body.as_bytes())?;
            }
            ("GET", None, _) => {
                let range = head.range().context("a read of all")?;
                self.read(&range, buf)?;
                answer(stream, "206 Partial Content", known, &buf[..(range.end - range.start) as usize])?;
            }
            _ => bail!("a request that is not known: {}", head.line.split('?').next().unwrap_or_default()),
        }
        Ok(())
    }

    fn put(&self, stream: &mut TcpStream, range: Range<u64>, buf: &mut [u8]) -> Result<()> {
        let bytes = &mut buf[..(range.end - range.start) as usize];
        let is_footer = range.end == self.size && range.end - range.start == FOOTER;
        let is_checked = self.puts.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKED);
        if is_footer {
            stream.read_exact(bytes)?;
        } else if is_checked {
            stream.read_exact(bytes)?;
            let mut held = vec![0; bytes.len()];
            // azcopy sends the footer with what is before it.
            self.disk.read_exact_at(&mut held, range.start)?;
            ensure!(held == bytes, "what was put at byte {:#x} is not what the disk has", range.start);
        } else {
            let mut left = bytes.len();
            while left > 0 {
                let taken = stream.read(&mut bytes[..left.min(DROPPED)])?;
                ensure!(taken > 0, "a put breaks off");
                left -= taken;
            }
        }
        let mut blob = self.lock();
        if range.end == self.size {
            blob.footer = match is_footer {
                true => bytes.to_vec(),
                false => {
                    let mut footer = vec![0; FOOTER as usize];
                    self.disk.read_exact_at(&mut footer, range.end - FOOTER)?;
                    footer
                }
            };
        }
        blob.taken.puts += 1;
        blob.taken.bytes += range.end - range.start;
        blob.taken.checked += u64::from(is_checked && !is_footer);
        blob.put.push(range);
        Ok(())
    }

    fn read(&self, range: &Range<u64>, buf: &mut Vec<u8>) -> Result<()> {
        let len = (range.end - range.start) as usize;
        if buf.len() < len {
            buf.resize(len, 0);
        }
        if *range == (self.size - FOOTER..self.size) {
            buf[..len].copy_from_slice(&self.lock().footer);
            return Ok(());
        }
        Ok(self.disk.read_exact_at(&mut buf[..len], range.start)?)
    }
}

/// Whether a client has gone.
fn is_end(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(stream: &mut TcpStream, offset: u64, bytes: &[u8]) {
        let last = offset + bytes.len() as u64 - 1;
        let head = format!(
            "PUT /account/container/disk.vhd?comp=page&sig=x HTTP/1.1\r\nx-ms-page-write: update\r\n\
             Range: bytes={offset}-{last}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
        // A put that is wrong has no answer.
        drop(stream.read(&mut [0; 1024]));
    }

    #[test]
    fn what_is_not_the_disk_is_seen_and_what_is_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (path, size) = (folder.path().join("disk.vhd"), (1 << 20) + FOOTER);
        let disk = File::create(&path).unwrap();
        disk.set_len(size).unwrap();
        disk.write_all_at(&[7; 4096], 8192).unwrap();
        let mut footer = [1; FOOTER as usize];
        footer[..8].copy_from_slice(b"conectix");
        for (byte, is_right) in [(7, true), (8, false)] {
            let sink = Discard::start(&path).unwrap();
            let mut stream = TcpStream::connect(sink.address).unwrap();
            put(&mut stream, 8192, &[byte; 4096]);
            assert!(sink.taken().is_err(), "there is no footer yet");
            let mut stream = TcpStream::connect(sink.address).unwrap();
            put(&mut stream, size - FOOTER, &footer);
            let taken = sink.taken();
            assert_eq!(taken.is_ok(), is_right, "{taken:?}");
            if let Ok(Taken { puts, bytes, checked }) = taken {
                assert_eq!((puts, bytes, checked), (2, 4096 + FOOTER, 1));
            }
        }
    }
}
