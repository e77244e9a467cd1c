//! A disk that QEMU reads through us, over the network block device protocol (NBD) on a Unix socket.
//!
//! The fixed newstyle handshake and simple replies, for reading only, as the NBD project's `doc/proto.md` has
//! them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use libdisk::block::{self, Disk};

/// Requests of a connection that are answered at once: what is fetched from afar takes as long for many as
/// for one.
const AT_ONCE: usize = 16;
/// The longest read that is answered, in bytes; QEMU asks for no more.
const MOST: u32 = 32 << 20;
/// The longest option that is read, in bytes.
const LONGEST_OPTION: u32 = 64 << 10;

const HELLO: u64 = 0x4e42_444d_4147_4943; // "NBDMAGIC"
const OPTION: u64 = 0x4948_4156_454f_5054; // "IHAVEOPT"
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;

/// Fixed newstyle, and no zeros after the export.
const HANDSHAKE_FLAGS: u16 = 1 | 2;
/// With flags, read only, and the same on several connections.
const EXPORT_FLAGS: u16 = 1 | 1 << 1 | 1 << 8;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_UNSUPPORTED: u32 = 1 << 31 | 1;
const INFO_EXPORT: u16 = 0;
const CMD_READ: u16 = 0;
const CMD_DISCONNECT: u16 = 2;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

/// Serves a disk until this is dropped.
pub(crate) struct Server {
    socket: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    disk: Disk,
    /// Why a read could not be answered, the first time.
    failure: Mutex<Option<block::Error>>,
    stop: AtomicBool,
}

impl Server {
    /// Listens at `socket`, a new file.
    pub(crate) fn start(disk: Disk, socket: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(&socket)?;
        let shared = Arc::new(Shared { disk, failure: Mutex::default(), stop: AtomicBool::new(false) });
        let server = Self { socket, shared: shared.clone() };
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept()
                && !shared.stop.load(Ordering::Relaxed)
            {
                let shared = shared.clone();
                thread::spawn(move || {
                    if let Err(error) = shared.converse(stream) {
                        tracing::debug!(%error, "a connection of QEMU's ended");
                    }
                });
            }
        });
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Why the guest was told that its disk is broken, if it was.
    pub(crate) fn failure(&self) -> Option<block::Error> {
        lock(&self.shared.failure).take()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // So that it looks.
        drop(UnixStream::connect(&self.socket));
    }
}

impl Shared {
    fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        if !self.shake_hands(&mut stream)? {
            return Ok(());
        }
        let (requests, replies) = (Mutex::new(stream.try_clone()?), Mutex::new(stream));
        thread::scope(|scope| {
            let answer = || self.answer(&requests, &replies);
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(answer)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
        })
    }

    /// Tells of the disk. Whether requests follow.
    fn shake_hands(&self, stream: &mut UnixStream) -> io::Result<bool> {
        let mut hello = Vec::new();
        hello.extend(HELLO.to_be_bytes());
        hello.extend(OPTION.to_be_bytes());
        hello.extend(HANDSHAKE_FLAGS.to_be_bytes());
        stream.write_all(&hello)?;
        let client = u32::from_be_bytes(bytes(stream)?);
        loop {
            if u64::from_be_bytes(bytes(stream)?) != OPTION {
                return Err(ErrorKind::InvalidData.into());
            }
            let (option, len) = (u32::from_be_bytes(bytes(stream)?), u32::from_be_bytes(bytes(stream)?));
            if len > LONGEST_OPTION {
                return Err(ErrorKind::InvalidData.into());
            }
            io::copy(&mut stream.take(len.into()), &mut io::sink())?;
            let size = self.disk.size().to_be_bytes();
            let mut reply = |kind: u32, data: &[u8]| {
                let mut reply = Vec::new();
                reply.extend(OPTION_REPLY.to_be_bytes());
                reply.extend(option.to_be_bytes());
                reply.extend(kind.to_be_bytes());
                reply.extend((data.len() as u32).to_be_bytes());
                reply.extend(data);
                stream.write_all(&reply)
            };
            match option {
                OPT_EXPORT_NAME => {
                    let zeros = if client & 2 == 0 { 124 } else { 0 };
                    stream.write_all(&[&size[..], &EXPORT_FLAGS.to_be_bytes(), &vec![0; zeros]].concat())?;
                    return Ok(true);
                }
                OPT_GO | OPT_INFO => {
                    let export = [&INFO_EXPORT.to_be_bytes()[..], &size, &EXPORT_FLAGS.to_be_bytes()];
                    reply(REP_INFO, &export.concat())?;
                    reply(REP_ACK, &[])?;
                    if option == OPT_GO {
                        return Ok(true);
                    }
                }
                OPT_ABORT => {
                    reply(REP_ACK, &[])?;
                    return Ok(false);
                }
                _ => reply(REP_UNSUPPORTED, &[])?,
            }
        }
    }

    /// Answers one request after the other; so do others.
    fn answer(&self, requests: &Mutex<UnixStream>, replies: &Mutex<UnixStream>) -> io::Result<()> {
        while let Some(request) = Request::next(&mut lock(requests))? {
            let (error, data) = match request.kind {
                CMD_READ if request.len <= MOST => {
                    self.disk.read_vec(request.offset, request.len as usize).map_or_else(
                        |error| {
                            lock(&self.failure).get_or_insert(error);
                            (EIO, Vec::new())
                        },
                        |data| (0, data),
                    )
                }
                _ => (EINVAL, Vec::new()),
            };
            let mut reply = Vec::new();
            reply.extend(REPLY.to_be_bytes());
            reply.extend(error.to_be_bytes());
            reply.extend(request.cookie);
            let mut to = lock(replies);
            to.write_all(&reply)?;
            to.write_all(&data)?;
        }
        Ok(())
    }
}

struct Request {
    kind: u16,
    cookie: [u8; 8],
    offset: u64,
    len: u32,
}

impl Request {
    /// The next one; `None` at the end.
    fn next(stream: &mut UnixStream) -> io::Result<Option<Self>> {
        let magic = match bytes(stream) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            magic => u32::from_be_bytes(magic?),
        };
        let _flags: [u8; 2] = bytes(stream)?;
        let kind = u16::from_be_bytes(bytes(stream)?);
        let cookie = bytes(stream)?;
        let (offset, len) = (u64::from_be_bytes(bytes(stream)?), u32::from_be_bytes(bytes(stream)?));
        // A write would be followed by its data; nobody may write.
        if magic != REQUEST || kind == CMD_DISCONNECT || kind == 1 {
            stream.shutdown(Shutdown::Read)?;
            return Ok(None);
        }
        Ok(Some(Self { kind, cookie, offset, len }))
    }
}

fn bytes<const N: usize>(stream: &mut UnixStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use libdisk::block::{BlockRead, Error, Extent, Memory};
    use testimages::judge;

    use super::*;

    /// As `qemu-img` and `qemu-io` name it.
    fn address(server: &Server) -> String {
        format!("nbd+unix:///?socket={}", server.socket().display())
    }

    #[test]
    fn qemu_reads_what_is_on_the_disk_and_writes_nothing() {
        if !judge::need_all(&["qemu-img", "qemu-io"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut content = vec![0; (9 << 20) + 512];
        for (number, sector) in content.chunks_mut(512).enumerate().step_by(3) {
            sector.fill(number as u8);
        }
        let disk = Disk::new(Memory::new(content.clone()));
        let server = Server::start(disk, folder.path().join("disk.sock")).unwrap();
        let copy = folder.path().join("copy.raw");
        for _ in 0..2 {
            let mut convert = judge::tool("qemu-img");
            convert.args(["convert", "-f", "raw", "-O", "raw"]).arg(address(&server)).arg(&copy);
            judge::run(&mut convert);
            assert!(std::fs::read(&copy).unwrap() == content);
        }
        let mut write = judge::tool("qemu-io");
        let written = write.args(["-f", "raw", "-c", "write 0 512"]).arg(address(&server)).output().unwrap();
        assert!(!written.status.success(), "{written:?}");
        assert!(server.failure().is_none());
    }

    /// A disk of which the second MiB cannot be read.
    #[derive(Debug)]
    struct Broken(AtomicUsize);

    impl BlockRead for Broken {
        fn layer(&self) -> &'static str {
            "broken"
        }

        fn size(&self) -> u64 {
            2 << 20
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if offset + buf.len() as u64 > 1 << 20 {
                return Err(Error::unsupported("broken", "this cannot be read"));
            }
            buf.fill(7);
            Ok(())
        }

        fn extent_at(&self, range: std::ops::Range<u64>) -> block::Result<Extent> {
            Ok(Extent::data(range.end - range.start))
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_to_both_sides() {
        if !judge::need_all(&["qemu-io"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(Broken(AtomicUsize::default()));
        let server = Server::start(disk, folder.path().join("disk.sock")).unwrap();
        let read = |at: &str| {
            let mut read = judge::tool("qemu-io");
            let read = read.args(["-r", "-f", "raw", "-c"]).arg(format!("read -P 7 {at} 4k"));
            let output = read.arg(address(&server)).output().unwrap();
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        assert!(read("64k").contains("read 4096/4096"), "{}", read("64k"));
        assert!(server.failure().is_none());
        assert!(read("1536k").contains("Input/output error"), "{}", read("1536k"));
        assert!(server.failure().unwrap().to_string().contains("this cannot be read"));
    }

    #[test]
    fn what_is_no_client_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(Memory::new(vec![0; 512]));
        let server = Server::start(disk, folder.path().join("disk.sock")).unwrap();
        for said in [&[0u8; 64][..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096]] {
            let mut stream = UnixStream::connect(server.socket()).unwrap();
            stream.write_all(said).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // An answer or a reset, and an end.
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.len() <= 18, "{answer:?}");
        }
    }
}
