//! Changing an image in place, and putting it back.
//!
//! | state | on disk | a crash here means |
//! |---|---|---|
//! | 1 | a sealed overlay | the image is untouched: apply again |
//! | 2 | and `IMAGE.undo` with the old content of everything that will change, durable | the image is untouched |
//! | 3 | the changes are being written into the image | every command refuses until `undo` or `apply` was run |
//! | 4 | the image is durable, the undo file marked complete | done; `undo` still restores bit for bit |
//!
//! After a crash nobody can tell 2 from 3, and nobody needs to: [`undo`] accepts any mixture of old and new sectors, and
//! refuses everything else. An `apply` that finds its own interrupted work undoes it first ([`prepare`]).

mod record;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use libdisk::Format;
use libdisk::block::{self, DiskMut, FileDisk, Sealed, check_sidecar, mode_like, open_sidecar};
use libdisk::image::in_use::Exclusive;

use self::record::{Header, Record};
use crate::{Error, Result};

/// How far a change in place has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Changes are being written into the image, or were when somebody pulled the plug.
    Writing,
    /// The image has all changes.
    Complete,
    /// The old content is being put back.
    Undoing,
}

/// What the undo file of an image says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How far the change has come.
    pub state: State,
    /// [`Plan::digest`](crate::plan::Plan::digest) of the plan that was applied.
    pub plan: String,
}

/// What an `apply` in place finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The image is as it was before any change: go on.
    Ready,
    /// The image has been changed by this very plan already: nothing is left to do.
    Applied,
}

/// Where the undo file of an image is: beside it.
pub fn undo_path(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".undo");
    name.into()
}

/// What the undo file of an image says; `None` if there is none, or no image.
///
/// # Errors
/// If it cannot be read, or is damaged.
pub fn status(image: &Path) -> Result<Option<Status>> {
    if !exists(image)? {
        return Ok(None);
    }
    let path = undo_path(&real(image)?);
    if !check_sidecar(&path)? {
        return Ok(None);
    }
    let record = Record::open(FileDisk::open(&path)?.disk())?;
    Ok(Some(Status { state: record.state()?, plan: record.header().plan.clone() }))
}

/// Whether a change of the image was begun and not ended: every command must refuse it then, except `undo`, and `apply`
/// of the same plan.
///
/// # Errors
/// As [`status`].
pub fn pending(image: &Path) -> Result<bool> {
    Ok(status(image)?.is_some_and(|status| status.state != State::Complete))
}

/// To be called by `apply` before it opens the image: undoes what an interrupted run of the same plan left.
///
/// # Errors
/// `Refused` if the image has been changed, or half changed, by another plan.
pub fn prepare(image: &Exclusive, plan: &str) -> Result<Prepared> {
    match status(image.path())? {
        None => Ok(Prepared::Ready),
        Some(status) if status.plan == plan && status.state == State::Complete => Ok(Prepared::Applied),
        Some(status) if status.plan == plan => undo(image).map(|()| Prepared::Ready),
        Some(_) => Err(Error::Refused(format!(
            "{} holds the way back from another change: undo that first, or move the file away to give it up",
            undo_path(image.path()).display()
        ))),
    }
}

/// Writes the changes into the image, with a way back. `plan` is the digest of the plan, `identity` that of the image
/// before; both are only recorded.
///
/// # Errors
/// `Refused` for a format that cannot be changed in place, for a block device (the undo file would be in `/dev`, whose
/// files the next start of the machine forgets), for changes that make the disk larger, and if there is an undo file
/// already; what the files report.
/// The image then has all, none or some of the changes, and [`pending`] tells.
pub fn apply_in_place(
    image: &Exclusive,
    format: &Format,
    sealed: &Sealed,
    identity: &str,
    plan: &str,
) -> Result<()> {
    if !format.flat {
        return Err(Error::Refused(format!(
            "{} is {format}, and only raw images and fixed VHDs are changed in place: apply to a new file with -o, or \
             convert it first",
            image.path().display()
        )));
    }
    let path = undo_path(image.path());
    if image.path().metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return Err(Error::Refused(format!(
            "{} is a block device, and the next start of this machine would forget {}, the way back: apply to a new \
             file with -o",
            image.path().display(),
            path.display()
        )));
    }
    if check_sidecar(&path)? {
        return Err(Error::Refused(format!("{} exists already", path.display())));
    }
    let target = FileDisk::open_mut(image.path())?.disk_mut();
    if sealed.disk().size() > target.size() {
        return Err(Error::Refused(format!(
            "the disk would have {} bytes and the image has {}: apply to a new file with -o",
            sealed.disk().size(),
            target.size()
        )));
    }
    let header = Header { size: target.size(), identity: identity.to_owned(), plan: plan.to_owned() };

    // The record gets its name when all of it is durable.
    let partial = path.with_extension("undo.partial");
    let file = open_sidecar(&partial, mode_like(image.path())?)?;
    let ranges = sealed.dirty();
    // What an interrupted run left there was never used.
    let made = file.set_len(0).and_then(|()| file.set_len(record::size(&ranges)));
    let made = made.map_err(|error| file_error(&partial, "cannot grow", error)).and_then(|()| {
        let disk = FileDisk::open_mut(&partial)?.disk_mut();
        record::write(&disk, &header, &ranges, &target.disk(), &sealed.disk())
    });
    if let Err(error) = made {
        // Nobody has seen it; the error that matters is the first.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    fs::rename(&partial, &path).map_err(|error| file_error(&partial, "cannot rename", error))?;
    sync_dir(&path)?;

    let undo = FileDisk::open_mut(&path)?.disk_mut();
    change(&undo, &target, sealed)
}

/// States 3 and 4: the changes go into the image, and the record says that they are there.
fn change(undo: &DiskMut, image: &DiskMut, sealed: &Sealed) -> Result<()> {
    for range in sealed.dirty() {
        record::copy(&sealed.disk(), range, image)?;
    }
    image.flush()?;
    record::set_state(undo, State::Complete)
}

/// Puts back what [`apply_in_place`] changed, bit for bit, and removes the undo file. May be interrupted and run again.
///
/// # Errors
/// `Refused`, with nothing written, if there is no undo file, if it is damaged, or if the image has been changed since.
pub fn undo(image: &Exclusive) -> Result<()> {
    let path = undo_path(image.path());
    if !check_sidecar(&path)? {
        let what =
            format!("there is no {}: this image was not changed in place, or was undone", path.display());
        return Err(Error::Refused(what));
    }
    let target = FileDisk::open_mut(image.path())?.disk_mut();
    restore(&FileDisk::open_mut(&path)?.disk_mut(), &target)?;
    fs::remove_file(&path).map_err(|error| file_error(&path, "cannot remove", error))?;
    sync_dir(&path)
}

/// All of `undo` but the removal of the file.
fn restore(undo: &DiskMut, image: &DiskMut) -> Result<()> {
    let record = Record::open(undo.disk())?;
    if record.header().size != image.size() {
        let (is, was) = (image.size(), record.header().size);
        return Err(Error::Refused(format!("the image has {is} bytes, and had {was} when it was changed")));
    }
    record.check(&image.disk())?;
    record::set_state(undo, State::Undoing)?;
    record.restore(image)
}

/// The file itself, links followed: its undo file is beside it whichever name it is called by.
fn real(image: &Path) -> Result<PathBuf> {
    fs::canonicalize(image).map_err(|error| file_error(image, "cannot find", error))
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| file_error(path, "cannot look for", error))
}

fn sync_dir(path: &Path) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let synced = OpenOptions::new().read(true).open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| file_error(dir, "cannot sync", error))
}

fn file_error(path: &Path, what: &'static str, error: io::Error) -> Error {
    block::Error::io("file", what, error).in_file(path).into()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use libdisk::block::testing::crash::{Crash, Lost};
    use libdisk::block::testing::tap::{Request, Tap, tap_mut};
    use libdisk::block::{Disk, Memory, Overlay};
    use libdisk::image::{qcow2, raw};

    use super::*;

    const SIZE: u64 = 64 << 10;

    fn image() -> Vec<u8> {
        (0..SIZE).map(|at| (at / 512 % 7) as u8).collect()
    }

    /// An overlay with changes at both ends and in the middle.
    fn changed(base: Disk) -> Sealed {
        let overlay = Overlay::new(base).unwrap();
        let writer = overlay.writer();
        writer.write_at(&[0xAA; 700], 100).unwrap();
        writer.write_at(&[0xBB; 5000], 30_000).unwrap();
        writer.zero_range(SIZE - 512..SIZE).unwrap();
        overlay.seal().unwrap()
    }

    fn header(size: u64) -> Header {
        Header { size, identity: "i".into(), plan: "p".into() }
    }

    fn content(disk: &Disk, len: u64) -> Vec<u8> {
        disk.read_vec(0, len as usize).unwrap()
    }

    /// Image and undo file on one device that loses unflushed sectors, the image first. (A flush of one is then one of both,
    /// which is kinder than two files are; the order of the flushes does not rely on it.)
    struct Bench {
        crash: Crash,
        sealed: Sealed,
        /// After so many requests the record was durable and got its name.
        named: usize,
    }

    impl Bench {
        /// After a whole change.
        fn new() -> Self {
            let sealed = changed(Disk::new(Memory::new(image())));
            let mut bytes = image();
            bytes.resize(SIZE as usize + record::size(&sealed.dirty()) as usize, 0);
            let crash = Crash::new(Disk::new(Memory::new(bytes)));
            let (undo, image) = Self::split(&crash.writer());
            record::write(&undo, &header(SIZE), &sealed.dirty(), &image.disk(), &sealed.disk()).unwrap();
            let named = crash.requests();
            change(&undo, &image, &sealed).unwrap();
            Self { crash, sealed, named }
        }

        fn split(device: &DiskMut) -> (DiskMut, DiskMut) {
            (device.slice(SIZE..device.size()).unwrap(), device.slice(0..SIZE).unwrap())
        }

        fn new_content(&self) -> Vec<u8> {
            content(&self.sealed.disk(), SIZE)
        }
    }

    /// What power failures after `requests` leave: everything kept, everything lost, and some subsets.
    fn losses(requests: usize) -> impl Iterator<Item = Lost> {
        let seeds = (0..20).map(move |seed| Lost::Some((requests * 1000 + seed) as u64));
        [Lost::Nothing, Lost::Everything].into_iter().chain(seeds)
    }

    #[test]
    fn killed_anywhere_the_image_is_old_or_new_or_undoable() {
        let bench = Bench::new();
        let (mut old, mut new, mut mixed) = (0, 0, 0);
        for requests in 0..=bench.crash.requests() {
            for lost in losses(requests) {
                let found = Crash::new(bench.crash.after(requests, lost));
                let (undo, disk) = Bench::split(&found.writer());
                let now = content(&disk.disk(), SIZE);
                if requests < bench.named {
                    assert_eq!(now, image(), "after {requests}, {lost:?}");
                    continue;
                }
                if Record::open(undo.disk()).unwrap().state().unwrap() == State::Complete {
                    assert_eq!(now, bench.new_content(), "after {requests}, {lost:?}");
                    new += 1;
                } else if now == image() {
                    old += 1;
                } else {
                    mixed += 1;
                }
                restore(&undo, &disk).unwrap();
                assert_eq!(content(&disk.disk(), SIZE), image(), "after {requests}, {lost:?}");
            }
        }
        assert!(old > 0 && new > 0 && mixed > 20, "{old} {new} {mixed}");
    }

    #[test]
    fn an_interrupted_undo_is_undone_by_another() {
        let bench = Bench::new();
        let applied = Crash::new(bench.crash.after(bench.crash.requests(), Lost::Nothing));
        let (undo, disk) = Bench::split(&applied.writer());
        restore(&undo, &disk).unwrap();
        for requests in 0..=applied.requests() {
            for lost in losses(requests) {
                let found = Crash::new(applied.after(requests, lost));
                let (undo, disk) = Bench::split(&found.writer());
                let state = Record::open(undo.disk()).unwrap().state().unwrap();
                let now = content(&disk.disk(), SIZE);
                assert!(state != State::Complete || now == bench.new_content(), "after {requests}, {lost:?}");
                restore(&undo, &disk).unwrap();
                assert_eq!(content(&disk.disk(), SIZE), image());
            }
        }
    }

    /// A disk that is full: what was not written yet cannot be.
    struct Full(Vec<Range<u64>>);

    impl Tap for Full {
        fn on(&self, request: Request) -> block::Result<()> {
            let fits = |range: &Range<u64>| {
                self.0.iter().any(|room| room.start <= range.start && range.end <= room.end)
            };
            match request {
                Request::Write(range) | Request::Zero(range) if !fits(&range) => {
                    Err(block::Error::io("file", "cannot write", io::ErrorKind::StorageFull.into()))
                }
                _ => Ok(()),
            }
        }
    }

    #[test]
    fn a_change_that_filled_the_disk_is_undone_without_more_room() {
        let sealed = changed(Disk::new(Memory::new(image())));
        let (undo, disk) = (DiskMut::new(Memory::new(vec![0; 1 << 20])), DiskMut::new(Memory::new(image())));
        let ranges = sealed.dirty();
        let undo = undo.slice(0..record::size(&ranges)).unwrap();
        record::write(&undo, &header(SIZE), &ranges, &disk.disk(), &sealed.disk()).unwrap();
        let image_file = tap_mut(&disk, &Arc::new(Full(vec![ranges[0].clone()])));
        change(&undo, &image_file, &sealed).unwrap_err();
        assert_ne!(content(&disk.disk(), SIZE), image());
        restore(&undo, &image_file).unwrap();
        assert_eq!(content(&disk.disk(), SIZE), image());
    }

    fn files() -> (tempfile::TempDir, Exclusive, Sealed) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        fs::write(&path, image()).unwrap();
        let sealed = changed(FileDisk::open(&path).unwrap().disk());
        (dir, Exclusive::take(&path).unwrap(), sealed)
    }

    #[test]
    fn an_image_is_changed_and_put_back_to_the_bit() {
        let (_dir, held, sealed) = files();
        let path = held.path();
        assert_eq!(status(path).unwrap(), None);
        apply_in_place(&held, &raw::FORMAT, &sealed, "i", "p").unwrap();
        assert_eq!(fs::read(path).unwrap(), content(&sealed.disk(), SIZE));
        assert_eq!(status(path).unwrap(), Some(Status { state: State::Complete, plan: "p".into() }));
        assert!(!pending(path).unwrap());
        assert_eq!(prepare(&held, "p").unwrap(), Prepared::Applied);
        assert!(matches!(prepare(&held, "q"), Err(Error::Refused(_))));
        assert!(matches!(apply_in_place(&held, &raw::FORMAT, &sealed, "i", "p"), Err(Error::Refused(_))));
        undo(&held).unwrap();
        assert_eq!(fs::read(path).unwrap(), image());
        assert_eq!(status(path).unwrap(), None);
        assert!(matches!(undo(&held), Err(Error::Refused(_))));
    }

    #[test]
    fn interrupted_work_of_the_same_plan_is_undone_first() {
        let (_dir, held, sealed) = files();
        let path = held.path();
        apply_in_place(&held, &raw::FORMAT, &sealed, "i", "p").unwrap();
        let undo_file = FileDisk::open_mut(&undo_path(path)).unwrap().disk_mut();
        record::set_state(&undo_file, State::Writing).unwrap();
        assert!(pending(path).unwrap());
        assert!(matches!(prepare(&held, "q"), Err(Error::Refused(_))));
        assert_eq!(prepare(&held, "p").unwrap(), Prepared::Ready);
        assert_eq!(fs::read(path).unwrap(), image());
    }

    #[test]
    fn a_change_since_and_a_damaged_record_are_refused_and_nothing_is_written() {
        let (_dir, held, sealed) = files();
        let path = held.path();
        apply_in_place(&held, &raw::FORMAT, &sealed, "i", "p").unwrap();
        let changed_since = FileDisk::open_mut(path).unwrap().disk_mut();
        changed_since.write_at(&[1], 30_100).unwrap();
        let now = fs::read(path).unwrap();
        assert!(undo(&held).unwrap_err().to_string().contains("changed since"));
        assert_eq!(fs::read(path).unwrap(), now);
        changed_since.write_at(&[0xBB], 30_100).unwrap();

        let record = fs::read(undo_path(path)).unwrap();
        for at in [3, 20, 26, 100, 161, 1030, record.len() - 1] {
            let mut damaged = record.clone();
            damaged[at] ^= 0x40;
            fs::write(undo_path(path), damaged).unwrap();
            assert!(undo(&held).unwrap_err().to_string().contains("damaged"), "byte {at}");
        }
        fs::write(undo_path(path), &record[..record.len() - 1]).unwrap();
        assert!(undo(&held).is_err());
        fs::write(undo_path(path), record).unwrap();
        undo(&held).unwrap();
        assert_eq!(fs::read(path).unwrap(), image());
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        let (_dir, held, sealed) = files();
        let path = held.path();
        let error = apply_in_place(&held, &qcow2::FORMAT, &sealed, "i", "p").unwrap_err();
        assert!(error.to_string().contains("qcow2"), "{error}");
        assert_eq!(fs::read(path).unwrap(), image());
    }
}
