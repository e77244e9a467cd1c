//! A file read through a memory map. The one module with `unsafe`.
//!
//! To copy a MiB out of a map takes about half of the processor time that reading it takes, as the pages of
//! the cache are mapped in large pieces; to copy a few KiB takes the same. What makes a map unsafe is that
//! the file belongs to others:
//!
//! - *Its bytes may change while we read.* So the map is never a slice: bytes are copied out through a raw
//!   pointer.
//! - *It may shrink, or the disk below it fail.* Touching such a page raises `SIGBUS`. Our handler looks the
//!   address up in a list of all maps; if it is ours, it puts a page of zeros in its place and marks the map
//!   broken, and the reader, who looks at the mark after each copy, reads from the file instead, as everybody
//!   does from then on: so the error is the one that tells what happened. A fault elsewhere goes to whoever
//!   handled `SIGBUS` before.
//!
//! Pages read stay resident until they are given back, so each map gives back what it has read every few MiB;
//! it stays in the page cache.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fs;
use std::io;
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence};
use std::sync::{Mutex, OnceLock, PoisonError};

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

use crate::file::FileDisk;
use crate::{BlockRead, Disk, Error, Extent, FileRange, Result};

const LAYER: &str = "mmap";

/// How much may be resident before it is given back, in bytes.
const WINDOW: usize = 2 << 20;

/// What the kernel maps around one fault, in bytes, at most (`fault_around_bytes`).
const FAULT_AROUND: usize = 64 << 10;

/// What it maps in one piece, in bytes, at most.
const HUGE_PAGE: usize = 2 << 20;

/// Opens the file or block device at `path` for reading: a regular file mapped, if its file system can do
/// that.
///
/// # Errors
/// As [`FileDisk::open`].
pub fn open_file(path: &Path) -> Result<Disk> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && let Ok(mapped) = MappedFile::open(path)
    {
        return Ok(mapped.disk());
    }
    FileDisk::open(path).map(FileDisk::disk)
}

/// A file mapped for reading. Holes of the file are `Zero` extents.
#[derive(Debug)]
pub struct MappedFile {
    file: FileDisk,
    map: MmapRaw,
    watch: &'static Watch,
    resident: Mutex<Resident>,
}

/// What was read of a map since its pages were given back.
#[derive(Debug, Default)]
struct Resident {
    /// How much at most, in bytes.
    len: usize,
    /// From the first of it to the end of the last.
    range: Range<usize>,
}

impl MappedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// `Io` if it cannot be opened or mapped, `Unsupported` if it is neither a regular file nor a block
    /// device.
    pub fn open(path: &Path) -> Result<Self> {
        let file = FileDisk::open(path)?;
        let failed = |e| Error::io(LAYER, "cannot map", e).in_file(path);
        install_handler().map_err(failed)?;
        let len = usize::try_from(file.size()).map_err(|e| failed(io::Error::other(e)))?;
        let map = MmapOptions::new().len(len).map_raw_read_only(file.as_file()).map_err(failed)?;
        let watch = Watch::start(map.as_ptr().addr(), map.len());
        Ok(Self { file, map, watch, resident: Mutex::default() })
    }

    /// This file as a readable device.
    pub fn disk(self) -> Disk {
        Disk::new(self)
    }

    /// Takes note that `range` was read, and gives all pages back if they are too many now. Only those
    /// between the first and the last that were read: to look for pages in all of a large disk takes its
    /// time.
    fn give_back(&self, range: Range<usize>) -> io::Result<()> {
        let range = {
            let mut resident = self.resident.lock().unwrap_or_else(PoisonError::into_inner);
            // What lies around was mapped, too.
            let around = range.start - range.start % HUGE_PAGE
                ..range.end.next_multiple_of(HUGE_PAGE).min(self.map.len());
            resident.range = match resident.len {
                0 => around,
                _ => resident.range.start.min(around.start)..resident.range.end.max(around.end),
            };
            resident.len = resident.len.saturating_add(range.len()).saturating_add(FAULT_AROUND);
            if resident.len < WINDOW {
                return Ok(());
            }
            mem::take(&mut *resident).range
        };
        // SAFETY: the range lies inside the map, and the pages of a file map are read from the file again
        // when they are touched next; nothing is lost, and concurrent readers notice nothing.
        unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // Before the map goes and its addresses become somebody else's.
        self.watch.live.store(false, Ordering::Release);
    }
}

impl BlockRead for MappedFile {
    fn layer(&self) -> &'static str {
        LAYER
    }

    fn size(&self) -> u64 {
        self.file.size()
    }

    fn sector_size(&self) -> u32 {
        self.file.sector_size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let failed = |e| Error::io(LAYER, "cannot read", e).at(offset);
        let start = usize::try_from(offset).map_err(|e| failed(io::Error::other(e)))?;
        assert!(
            start.checked_add(buf.len()).is_some_and(|end| end <= self.map.len()),
            "the caller checked the range"
        );
        // SAFETY: the range lies inside the map, which lives as long as `self`; `buf` is ours alone, so they
        // do not overlap. Should another process change the file meanwhile, the bytes are a mixture,
        // as they would be with a read.
        unsafe { ptr::copy_nonoverlapping(self.map.as_ptr().add(start), buf.as_mut_ptr(), buf.len()) };
        // The handler runs on this thread: the processor keeps the order, the compiler has to be told.
        compiler_fence(Ordering::SeqCst);
        if self.watch.broken.load(Ordering::SeqCst) {
            return self.file.read_at(buf, offset);
        }
        // A file cut in the middle of a page raises nothing for the rest of that page.
        if self.file.is_truncated() {
            return Err(self.file.truncated(offset));
        }
        self.give_back(start..start.saturating_add(buf.len())).map_err(failed)
    }

    fn extent_at(&self, range: Range<u64>) -> Result<Extent> {
        self.file.extent_at(range)
    }

    fn file_range(&self, range: Range<u64>) -> Result<Option<FileRange<'_>>> {
        self.file.file_range(range)
    }
}

/// The addresses of one map, for the signal handler: an entry of a list without locks. It is never freed, as
/// a handler may be reading it on another thread; that is 48 bytes for each file opened.
#[derive(Debug)]
struct Watch {
    start: usize,
    len: usize,
    live: AtomicBool,
    broken: AtomicBool,
    next: AtomicPtr<Watch>,
}

/// The newest entry.
static WATCHES: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());

impl Watch {
    /// Adds an entry.
    fn start(start: usize, len: usize) -> &'static Self {
        let watch: &'static Self = Box::leak(Box::new(Self {
            start,
            len,
            live: AtomicBool::new(true),
            broken: AtomicBool::new(false),
            next: AtomicPtr::default(),
        }));
        let this = ptr::from_ref(watch).cast_mut();
        // The closure may run several times, until nobody else was faster; the update publishes the entry.
        let _ = WATCHES.fetch_update(Ordering::AcqRel, Ordering::Acquire, |newest| {
            watch.next.store(newest, Ordering::Relaxed);
            Some(this)
        });
        watch
    }

    /// The entry of the live map that holds `address`. Safe to call from a signal handler: it only loads.
    fn find(address: usize) -> Option<&'static Self> {
        let mut next = WATCHES.load(Ordering::Acquire);
        loop {
            // SAFETY: entries are never freed, and only `start` above makes them, whole before they are
            // published.
            let watch = unsafe { next.as_ref() }?;
            if watch.live.load(Ordering::Acquire) && address.wrapping_sub(watch.start) < watch.len {
                return Some(watch);
            }
            next = watch.next.load(Ordering::Relaxed);
        }
    }
}

/// Who handled `SIGBUS` before us, and the page size.
struct Installed {
    previous: libc::sigaction,
    page: usize,
}

static INSTALLED: OnceLock<io::Result<Installed>> = OnceLock::new();

/// Installs the handler, once in the life of the process.
fn install_handler() -> io::Result<()> {
    let installed = INSTALLED.get_or_init(|| {
        let mut previous = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: a `sigaction` of zeros is a valid value: the default action, no flags, an empty mask.
        let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
        action.sa_sigaction = on_sigbus as *const () as libc::sighandler_t;
        // On the thread's signal stack, as the handler of Rust's own runtime that we replace and call.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: both pointers are valid, and the handler only does what a handler may.
        if unsafe { libc::sigaction(libc::SIGBUS, &action, previous.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has filled it.
        Ok(Installed { previous: unsafe { previous.assume_init() }, page: rustix::param::page_size() })
    });
    match installed {
        Ok(_) => Ok(()),
        Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
    }
}

/// Repairs a fault in one of our maps, and leaves every other to the handler before us.
extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `siginfo_t`, and for `SIGBUS` it holds an address.
    let address = unsafe { (*info).si_addr() }.addr();
    let Some(Ok(installed)) = INSTALLED.get() else {
        // No map exists before this is set.
        return take_default_action();
    };
    if let Some(watch) = Watch::find(address) {
        // Before the zeros can be seen, by other threads too.
        watch.broken.store(true, Ordering::SeqCst);
        let page = ptr::without_provenance_mut(address - address % installed.page);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the page lies inside a live map of ours that only `read_at` uses, and it can lose nothing,
        // as it cannot be read. The system call is safe in a handler; `errno` belongs to the code
        // that was interrupted.
        let mapped = unsafe {
            let errno = *libc::__errno_location();
            let mapped = libc::mmap(page, installed.page, libc::PROT_READ, flags, -1, 0);
            *libc::__errno_location() = errno;
            mapped
        };
        if mapped != libc::MAP_FAILED {
            return;
        }
    }
    let previous = &installed.previous;
    match previous.sa_sigaction {
        // A fault cannot be ignored; the kernel would not either.
        libc::SIG_DFL | libc::SIG_IGN => take_default_action(),
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: it was installed as a handler of this type.
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: as above.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

/// Makes the next `SIGBUS` end the process: returning repeats the access that failed.
fn take_default_action() {
    // SAFETY: `signal` may be called from a handler.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;
    use crate::ErrorKind;

    const MIB: usize = 1 << 20;

    fn file(len: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), (0..len).map(|i| (i % 253) as u8).collect::<Vec<_>>()).unwrap();
        file
    }

    fn truncate(path: &Path, len: usize) {
        File::options().write(true).open(path).unwrap().set_len(len as u64).unwrap();
    }

    #[test]
    fn it_reads_what_the_file_holds() {
        let file = file(3 * MIB + 77);
        let bytes = fs::read(file.path()).unwrap();
        let disk = MappedFile::open(file.path()).unwrap().disk();
        assert_eq!(disk.size(), bytes.len() as u64);
        assert!(disk.read_vec(0, bytes.len()).unwrap() == bytes);
        assert_eq!(disk.read_vec(4095, 3).unwrap(), bytes[4095..4098]);
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(MappedFile::open(empty.path()).unwrap().size(), 0);
    }

    #[test]
    fn a_truncated_file_is_an_error_and_not_a_crash() {
        // To a page and to the middle of one; read across the cut, far behind it, and from several threads.
        for len in [MIB, MIB + 100] {
            let file = file(2 * MIB);
            let disk = MappedFile::open(file.path()).unwrap().disk();
            disk.read_vec(0, 2 * MIB).unwrap();
            truncate(file.path(), len);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for at in [MIB + 50, 2 * MIB - 5000, MIB - 200] {
                            let error = disk.read_vec(at as u64, 5000).unwrap_err();
                            assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
                        }
                    });
                }
            });
            let left = disk.read_vec((MIB - 5000) as u64, 5000).unwrap();
            assert!(left == fs::read(file.path()).unwrap()[MIB - 5000..MIB], "the file itself is read");
        }
        // Another map, and one over the same addresses, is whole.
        let file = file(2 * MIB);
        MappedFile::open(file.path()).unwrap().disk().read_vec(0, 2 * MIB).unwrap();
    }

    #[test]
    fn what_cannot_be_mapped_is_read() {
        assert_eq!(open_file(file(5).path()).unwrap().layer(), LAYER);
        assert_eq!(open_file("/proc/self/maps".as_ref()).unwrap().layer(), "file");
        assert_eq!(open_file("/dev/null".as_ref()).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(open_file("/proc/self/nowhere".as_ref()).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn pages_are_given_back() {
        let file = file(32 * MIB);
        let mapped = MappedFile::open(file.path()).unwrap();
        let start = format!("{:x}-", mapped.map.as_ptr().addr());
        let disk = mapped.disk();
        for at in (0..32).map(|mib| mib * MIB) {
            disk.read_vec(at as u64, MIB).unwrap();
            let maps = fs::read_to_string("/proc/self/smaps").unwrap();
            let map = maps.lines().skip_while(|line| !line.starts_with(&start));
            let rss = map
                .map_while(|line| line.strip_prefix("Rss:").map_or(Some(None), |rss| Some(Some(rss))))
                .flatten()
                .next();
            let kib: usize = rss.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
            assert!(kib << 10 <= WINDOW + 2 * MIB, "{kib} KiB are resident");
        }
    }

    #[test]
    fn a_fault_elsewhere_still_ends_the_process() {
        const CHILD: &str = "BLOCK_TEST_FOREIGN_FAULT";
        if std::env::var_os(CHILD).is_none() {
            // Once more, alone in a process that may die.
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "mmap::tests::a_fault_elsewhere_still_ends_the_process"])
                .env(CHILD, "1")
                .output()
                .unwrap();
            assert_eq!(child.status.signal(), Some(libc::SIGBUS), "{child:?}");
            return;
        }
        let (ours, theirs) = (file(MIB), file(MIB));
        let _ours = MappedFile::open(ours.path()).unwrap();
        let map = MmapOptions::new().map_raw_read_only(theirs.as_file()).unwrap();
        truncate(theirs.path(), 0);
        // SAFETY: the address is inside the map; the fault is what is tested.
        let byte = unsafe { ptr::read_volatile(map.as_ptr()) };
        unreachable!("read {byte}");
    }
}
