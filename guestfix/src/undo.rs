//! Changing the images of a machine in place, and putting them back.
//!
//! | state | on disk | a crash here means |
//! |---|---|---|
//! | 1 | sealed overlays | the images are untouched: apply again |
//! | 2 | and for each `IMAGE.undo` with the old content of everything that will change, durable | the images are untouched |
//! | 3 | the changes are being written into the images | every command refuses until `undo` or `apply` was run |
//! | 4 | the images are durable, then the undo files marked complete | done; `undo` still restores bit for bit |
//!
//! After a crash nobody can tell 2 from 3, and nobody needs to: [`undo`] accepts any mixture of old and new
//! sectors, and refuses everything else. An `apply` that finds its own interrupted work undoes it first
//! ([`prepare`]).
//!
//! The images that one plan changes are one set. Each undo file names the others, no image is written before
//! all undo files are durable, and the change of one is complete when those of all are. [`undo`] checks all
//! before it writes any, and removes no undo file before all images are as they were: so one that is missing
//! means that its image was not begun, or is restored.

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
    /// The images that the plan changed together with this one.
    pub others: Vec<PathBuf>,
}

/// What an `apply` in place finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The images are as they were before any change: go on.
    Ready,
    /// The images have been changed by this very plan already: nothing is left to do.
    Applied,
}

/// An image, and what it is to hold.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The image.
    pub image: &'a Exclusive,
    /// Its format.
    pub format: &'static Format,
    /// Its disk with the changes.
    pub sealed: &'a Sealed,
    /// The identity of its disk before; only recorded.
    pub identity: &'a str,
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
    let image = real(image)?;
    let path = undo_path(&image);
    if !check_sidecar(&path)? {
        return Ok(None);
    }
    let record = Record::open(FileDisk::open(&path)?.disk())?;
    let Header { plan, others, .. } = record.header();
    let folder = image.parent().unwrap_or(Path::new("/"));
    let others = others.iter().map(|other| folder.join(other)).collect();
    Ok(Some(Status { state: record.state()?, plan: plan.clone(), others }))
}

/// What the undo file of `image` says if it is from this plan.
fn status_by(plan: &str, image: &Path) -> Result<Option<Status>> {
    Ok(status(image)?.filter(|status| status.plan == plan))
}

/// Whether a change of the image, or of one that is changed together with it, was begun and not ended: every
/// command must refuse it then, except `undo`, and `apply` of the same plan.
///
/// # Errors
/// As [`status`].
pub fn pending(image: &Path) -> Result<bool> {
    let Some(Status { state, plan, others }) = status(image)? else { return Ok(false) };
    let unfinished =
        |other: &PathBuf| Ok(status_by(&plan, other)?.is_some_and(|status| status.state != State::Complete));
    let mut others = others.iter().map(unfinished).collect::<Result<Vec<bool>>>()?.into_iter();
    Ok(state != State::Complete || others.any(|unfinished| unfinished))
}

/// The images that [`undo`] of this one needs: itself, and those that were changed together with it.
///
/// # Errors
/// As [`status`].
pub fn set_of(image: &Path) -> Result<Vec<PathBuf>> {
    let others = status(image)?.map(|status| status.others).unwrap_or_default();
    let others = others.into_iter().filter(|other| other.exists());
    Ok(std::iter::once(image.to_owned()).chain(others).collect())
}

/// To be called by `apply` before it opens the images of a machine: undoes what an interrupted run of the
/// same plan left.
///
/// # Errors
/// `Refused` if an image has been changed, or half changed, by another plan; as [`undo`].
pub fn prepare(images: &[Exclusive], plan: &str) -> Result<Prepared> {
    let mut found = Vec::new();
    for image in images {
        match status(image.path())? {
            Some(status) if status.plan != plan => {
                return Err(Error::Refused(format!(
                    "{} holds the way back from another change: undo that first, or move the file away to give it up",
                    block::shown(&undo_path(image.path()))
                )));
            }
            status => found.extend(status.map(|status| (image, status))),
        }
    }
    let Some((first, _)) = found.first() else { return Ok(Prepared::Ready) };
    let complete = found.iter().all(|(_, status)| status.state == State::Complete);
    if complete && missing(&found[0].1)?.is_none() {
        return Ok(Prepared::Applied);
    }
    let set = set_of(first.path())?;
    let is_one = |image: &&Exclusive| set.iter().any(|path| is_same(path, image.path()));
    undo_all(&images.iter().filter(is_one).collect::<Vec<_>>()).map(|()| Prepared::Ready)
}

/// The first image of the set that has no undo file of the same plan.
fn missing(status: &Status) -> Result<Option<&PathBuf>> {
    for other in &status.others {
        if status_by(&status.plan, other)?.is_none() {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Writes changes into the images of a machine, with a way back. `plan` is the digest of the plan, which is
/// only recorded. An image that does not change has no part in it.
///
/// # Errors
/// `Refused` for a format that cannot be changed in place, for a block device (the undo file would be in
/// `/dev`, whose files the next start of the machine forgets), for changes that make a disk larger, and if
/// there is an undo file already; what the files report.
/// The images then have all, none or some of the changes, and [`pending`] tells.
pub fn apply_in_place(changes: &[Change<'_>], plan: &str) -> Result<()> {
    let mut set: Vec<_> = changes.iter().filter(|change| !change.sealed.dirty().is_empty()).collect();
    if set.is_empty() {
        set.extend(changes.first());
    }
    set.iter().try_for_each(|change| can_change(change))?;
    let mut made = Vec::new();
    for change in &set {
        let others = set.iter().map(|other| other.image.path()).filter(|path| *path != change.image.path());
        let record = others.map(|other| name_beside(change.image.path(), other)).collect();
        match write_record(change, record, plan) {
            Ok(partial) => made.push((partial, undo_path(change.image.path()))),
            Err(error) => {
                // Nobody has seen them; the error that matters is the first.
                made.iter().for_each(|(partial, _)| drop(fs::remove_file(partial)));
                return Err(error);
            }
        }
    }
    for (partial, path) in &made {
        fs::rename(partial, path).map_err(|error| file_error(partial, "cannot rename", error))?;
    }
    made.iter().try_for_each(|(_, path)| sync_dir(path))?;

    let mut writing = Vec::new();
    for Change { image, sealed, .. } in set {
        let undo = FileDisk::open_mut(&undo_path(image.path()))?.disk_mut();
        writing.push(Writing { undo, image: FileDisk::open_mut(image.path())?.disk_mut(), sealed });
    }
    change(&writing)
}

/// Refuses an image that cannot be changed in place.
fn can_change(change: &Change<'_>) -> Result<()> {
    let Change { image, format, sealed, .. } = change;
    if !format.is_flat(image.path()) {
        return Err(Error::Refused(format!(
            "{} is {format}, and only raw images and sound fixed VHDs are changed in place: apply to a new file with -o, or \
             convert it first",
            block::shown(image.path())
        )));
    }
    let path = undo_path(image.path());
    if image.path().metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return Err(Error::Refused(format!(
            "{} is a block device, and the next start of this machine would forget {}, the way back: apply to a new \
             file with -o",
            block::shown(image.path()),
            block::shown(&path)
        )));
    }
    if check_sidecar(&path)? {
        return Err(Error::Refused(format!("{} exists already", block::shown(&path))));
    }
    let size = FileDisk::open(image.path())?.disk().size();
    if sealed.disk().size() > size {
        return Err(Error::Refused(format!(
            "the disk would have {} bytes and the image has {size}: apply to a new file with -o",
            sealed.disk().size(),
        )));
    }
    Ok(())
}

/// Writes the undo file of one image, durable, under the name that it has before all of a set are there.
fn write_record(change: &Change<'_>, others: Vec<PathBuf>, plan: &str) -> Result<PathBuf> {
    let Change { image, sealed, identity, .. } = change;
    let target = FileDisk::open(image.path())?.disk();
    let (identity, plan) = ((*identity).to_owned(), plan.to_owned());
    let header = Header { size: target.size(), identity, plan, others };
    let partial = undo_path(image.path()).with_extension("undo.partial");
    let file = open_sidecar(&partial, mode_like(image.path())?)?;
    let ranges = sealed.dirty();
    if !block::holds_nothing(&file) && !record::is_begun(&file) {
        return Err(block::in_the_way(&partial, "it holds something that refloat did not write").into());
    }
    // What an interrupted run left there was never used. Before there is more in it, it says whose it is.
    let made = file
        .set_len(0)
        .and_then(|()| record::begin(&file))
        .and_then(|()| file.set_len(record::size(&header, &ranges)));
    let made = made.map_err(|error| file_error(&partial, "cannot grow", error)).and_then(|()| {
        let disk = FileDisk::open_mut(&partial)?.disk_mut();
        record::write(&disk, &header, &ranges, &target, &sealed.disk())
    });
    if let Err(error) = made {
        // Nobody has seen it; the error that matters is the first.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    Ok(partial)
}

/// How the undo file of `image` names `other`: neighbours by their names alone, so that all can move.
fn name_beside(image: &Path, other: &Path) -> PathBuf {
    match (image.parent() == other.parent(), other.file_name()) {
        (true, Some(name)) => name.into(),
        _ => other.to_owned(),
    }
}

/// An image that is being changed.
struct Writing<'a> {
    undo: DiskMut,
    image: DiskMut,
    sealed: &'a Sealed,
}

/// States 3 and 4: the changes go into the images, and then the records say that they are there.
fn change(set: &[Writing<'_>]) -> Result<()> {
    for Writing { image, sealed, .. } in set {
        for range in sealed.dirty() {
            record::copy(&sealed.disk(), range, image)?;
        }
    }
    set.iter().try_for_each(|writing| writing.image.flush())?;
    set.iter().try_for_each(|writing| record::set_state(&writing.undo, State::Complete))
}

/// Puts back what [`apply_in_place`] changed, bit for bit, and removes the undo files. `images` are those of
/// [`set_of`] any of them. May be interrupted and run again.
///
/// # Errors
/// `Refused`, with nothing written, if there is no undo file, if one is damaged or missing, or if an image
/// has been changed since.
pub fn undo(images: &[Exclusive]) -> Result<()> {
    undo_all(&images.iter().collect::<Vec<_>>())
}

fn undo_all(images: &[&Exclusive]) -> Result<()> {
    let mut set = Vec::new();
    for image in images {
        set.extend(status(image.path())?.map(|status| (image.path(), status)));
    }
    let Some((_, Status { plan, .. })) = set.first() else {
        let paths: Vec<_> =
            images.iter().map(|image| block::shown(&undo_path(image.path())).to_string()).collect();
        let paths = paths.join(", ");
        let what = format!("there is no {paths}: this image was not changed in place, or was undone");
        return Err(Error::Refused(what));
    };
    let plan = plan.clone();
    // One that another plan has changed since was never reached by this one.
    set.retain(|(_, status)| status.plan == plan);
    for (path, status) in &set {
        let is_here = |other: &Path| set.iter().any(|(path, _)| is_same(path, other));
        if let Some(other) = status.others.iter().find(|other| !is_here(other))
            && (status.state == State::Complete || status_by(&plan, other)?.is_some())
        {
            return Err(Error::Refused(format!(
                "{} was changed together with {}, whose undo file is not here: both are put back, or none",
                block::shown(path),
                block::shown(other)
            )));
        }
    }
    let open = |(path, _): &(&Path, Status)| {
        let undo = FileDisk::open_mut(&undo_path(path))?.disk_mut();
        Ok((undo, FileDisk::open_mut(path)?.disk_mut()))
    };
    restore(&set.iter().map(open).collect::<Result<Vec<_>>>()?)?;
    for path in set.iter().map(|(path, _)| undo_path(path)) {
        fs::remove_file(&path).map_err(|error| file_error(&path, "cannot remove", error))?;
        sync_dir(&path)?;
    }
    Ok(())
}

/// All of `undo` but the removal of the files: of each image its undo file, and itself.
fn restore(set: &[(DiskMut, DiskMut)]) -> Result<()> {
    let mut records = Vec::new();
    for (undo, image) in set {
        let record = Record::open(undo.disk())?;
        if record.header().size != image.size() {
            let (is, was) = (image.size(), record.header().size);
            return Err(Error::Refused(format!(
                "the image has {is} bytes, and had {was} when it was changed"
            )));
        }
        record.check(&image.disk())?;
        records.push((record, image));
    }
    set.iter().try_for_each(|(undo, _)| record::set_state(undo, State::Undoing))?;
    records.iter().try_for_each(|(record, image)| record.restore(image))
}

/// Whether two paths are of one file.
fn is_same(a: &Path, b: &Path) -> bool {
    a == b || real(a).is_ok_and(|a| real(b).is_ok_and(|b| a == b))
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
        Header { size, identity: "i".into(), plan: "p".into(), others: vec!["other.img".into()] }
    }

    fn content(disk: &Disk, len: u64) -> Vec<u8> {
        disk.read_vec(0, len as usize).unwrap()
    }

    /// A set of images and their undo files on one device that loses unflushed sectors, the images first. (A
    /// flush of one is then one of all, which is kinder than many files are; the order of the flushes
    /// does not rely on it.)
    struct Bench {
        crash: Crash,
        sealed: Vec<Sealed>,
        /// After so many requests all records were durable and got their names.
        named: usize,
    }

    impl Bench {
        /// After a whole change of `images` images.
        fn new(images: usize) -> Self {
            let sealed: Vec<_> = (0..images).map(|_| changed(Disk::new(Memory::new(image())))).collect();
            let mut bytes = image().repeat(images);
            bytes.resize(bytes.len() + images * Self::record_size() as usize, 0);
            let crash = Crash::new(Disk::new(Memory::new(bytes)));
            let set = Self::split(&crash.writer(), images);
            for ((undo, image), sealed) in set.iter().zip(&sealed) {
                record::write(undo, &header(SIZE), &sealed.dirty(), &image.disk(), &sealed.disk()).unwrap();
            }
            let named = crash.requests();
            let writing = set.into_iter().zip(&sealed);
            let writing = writing.map(|((undo, image), sealed)| Writing { undo, image, sealed });
            change(&writing.collect::<Vec<_>>()).unwrap();
            Self { crash, sealed, named }
        }

        fn record_size() -> u64 {
            record::size(&header(SIZE), &changed(Disk::new(Memory::new(image()))).dirty())
        }

        /// Of each image its undo file, and itself.
        fn split(device: &DiskMut, images: usize) -> Vec<(DiskMut, DiskMut)> {
            let (all, len) = (images as u64, Self::record_size());
            let part = |number: u64| {
                let at = all * SIZE + number * len;
                let image = number * SIZE..(number + 1) * SIZE;
                (device.slice(at..at + len).unwrap(), device.slice(image).unwrap())
            };
            (0..all).map(part).collect()
        }

        fn old(&self) -> Vec<Vec<u8>> {
            vec![image(); self.sealed.len()]
        }

        fn new_content(&self) -> Vec<Vec<u8>> {
            self.sealed.iter().map(|sealed| content(&sealed.disk(), SIZE)).collect()
        }
    }

    fn contents(set: &[(DiskMut, DiskMut)]) -> Vec<Vec<u8>> {
        set.iter().map(|(_, image)| content(&image.disk(), SIZE)).collect()
    }

    fn complete(set: &[(DiskMut, DiskMut)]) -> bool {
        let state = |undo: &DiskMut| Record::open(undo.disk()).unwrap().state().unwrap();
        set.iter().all(|(undo, _)| state(undo) == State::Complete)
    }

    /// What power failures after `requests` leave: everything kept, everything lost, and some subsets.
    fn losses(requests: usize) -> impl Iterator<Item = Lost> {
        let seeds = (0..20).map(move |seed| Lost::Some((requests * 1000 + seed) as u64));
        [Lost::Nothing, Lost::Everything].into_iter().chain(seeds)
    }

    #[test]
    fn killed_anywhere_the_images_are_all_old_or_all_new_or_undoable() {
        for images in [1, 2, 3] {
            let bench = Bench::new(images);
            let (mut old, mut new, mut mixed) = (0, 0, 0);
            for requests in 0..=bench.crash.requests() {
                for lost in losses(requests) {
                    let found = Crash::new(bench.crash.after(requests, lost));
                    let set = Bench::split(&found.writer(), images);
                    let now = contents(&set);
                    if requests < bench.named {
                        assert_eq!(now, bench.old(), "after {requests}, {lost:?}");
                        continue;
                    }
                    if complete(&set) {
                        assert_eq!(now, bench.new_content(), "after {requests}, {lost:?}");
                        new += 1;
                    } else if now == bench.old() {
                        old += 1;
                    } else {
                        mixed += 1;
                    }
                    restore(&set).unwrap();
                    assert_eq!(contents(&set), bench.old(), "after {requests}, {lost:?}");
                }
            }
            assert!(old > 0 && new > 0 && mixed > 20, "{images}: {old} {new} {mixed}");
        }
    }

    #[test]
    fn an_interrupted_undo_is_undone_by_another() {
        for images in [1, 2, 3] {
            let bench = Bench::new(images);
            let applied = Crash::new(bench.crash.after(bench.crash.requests(), Lost::Nothing));
            restore(&Bench::split(&applied.writer(), images)).unwrap();
            for requests in 0..=applied.requests() {
                for lost in losses(requests) {
                    let found = Crash::new(applied.after(requests, lost));
                    let set = Bench::split(&found.writer(), images);
                    let now = contents(&set);
                    assert!(!complete(&set) || now == bench.new_content(), "after {requests}, {lost:?}");
                    restore(&set).unwrap();
                    assert_eq!(contents(&set), bench.old());
                }
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
        let undo = undo.slice(0..record::size(&header(SIZE), &ranges)).unwrap();
        record::write(&undo, &header(SIZE), &ranges, &disk.disk(), &sealed.disk()).unwrap();
        let image_file = tap_mut(&disk, &Arc::new(Full(vec![ranges[0].clone()])));
        change(&[Writing { undo: undo.clone(), image: image_file.clone(), sealed: &sealed }]).unwrap_err();
        assert_ne!(content(&disk.disk(), SIZE), image());
        restore(&[(undo, image_file)]).unwrap();
        assert_eq!(content(&disk.disk(), SIZE), image());
    }

    /// Images in files, taken, each with changes.
    struct Files {
        _dir: tempfile::TempDir,
        held: Vec<Exclusive>,
        sealed: Vec<Sealed>,
    }

    impl Files {
        fn new(images: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (mut held, mut sealed) = (Vec::new(), Vec::new());
            for number in 0..images {
                let path = dir.path().join(format!("disk{number}.img"));
                fs::write(&path, image()).unwrap();
                sealed.push(changed(FileDisk::open(&path).unwrap().disk()));
                held.push(Exclusive::take(&path).unwrap());
            }
            Self { _dir: dir, held, sealed }
        }

        fn apply_as(&self, format: &'static Format) -> Result<()> {
            let change = |(image, sealed)| Change { image, format, sealed, identity: "i" };
            apply_in_place(&self.held.iter().zip(&self.sealed).map(change).collect::<Vec<_>>(), "p")
        }

        fn apply(&self) -> Result<()> {
            self.apply_as(&raw::FORMAT)
        }

        fn path(&self, number: usize) -> &Path {
            self.held[number].path()
        }

        /// All are as they were before.
        fn all_old(&self) -> bool {
            self.held.iter().all(|held| fs::read(held.path()).unwrap() == image())
        }

        fn all_new(&self) -> bool {
            let is_new = |(held, sealed): (&Exclusive, &Sealed)| {
                fs::read(held.path()).unwrap() == content(&sealed.disk(), SIZE)
            };
            self.held.iter().zip(&self.sealed).all(is_new)
        }

        fn set_state(&self, number: usize, state: State) {
            let undo_file = FileDisk::open_mut(&undo_path(self.path(number))).unwrap().disk_mut();
            record::set_state(&undo_file, state).unwrap();
        }
    }

    #[test]
    fn images_are_changed_and_put_back_to_the_bit() {
        for images in [1, 3] {
            let files = Files::new(images);
            assert_eq!(status(files.path(0)).unwrap(), None);
            files.apply().unwrap();
            assert!(files.all_new());
            for held in &files.held {
                let status = status(held.path()).unwrap().unwrap();
                assert_eq!((status.state, status.plan.as_str()), (State::Complete, "p"));
                assert_eq!(set_of(held.path()).unwrap().len(), images);
                assert!(!pending(held.path()).unwrap());
            }
            assert_eq!(prepare(&files.held, "p").unwrap(), Prepared::Applied);
            assert!(matches!(prepare(&files.held, "q"), Err(Error::Refused(_))));
            assert!(matches!(files.apply(), Err(Error::Refused(_))));
            undo(&files.held).unwrap();
            assert!(files.all_old());
            assert_eq!(status(files.path(0)).unwrap(), None);
            assert!(matches!(undo(&files.held), Err(Error::Refused(_))));
        }
    }

    #[test]
    fn an_image_without_changes_has_no_part_in_the_set() {
        let mut files = Files::new(3);
        files.sealed[1] =
            Overlay::new(FileDisk::open(files.path(1)).unwrap().disk()).unwrap().seal().unwrap();
        files.apply().unwrap();
        assert!(!undo_path(files.path(1)).exists());
        assert_eq!(set_of(files.path(2)).unwrap(), [files.path(2), files.path(0)]);
        assert_eq!(prepare(&files.held, "p").unwrap(), Prepared::Applied);
        undo(&files.held).unwrap();
        assert!(files.all_old());
    }

    #[test]
    fn interrupted_work_of_the_same_plan_is_undone_first() {
        for images in [1, 3] {
            for unfinished in 0..images {
                let files = Files::new(images);
                files.apply().unwrap();
                files.set_state(unfinished, State::Writing);
                assert!(files.held.iter().all(|held| pending(held.path()).unwrap()), "{unfinished}");
                assert!(matches!(prepare(&files.held, "q"), Err(Error::Refused(_))));
                assert_eq!(prepare(&files.held, "p").unwrap(), Prepared::Ready);
                assert!(files.all_old());
            }
        }
    }

    /// A kill between the steps by which undo files get their names, and lose them.
    #[test]
    fn undo_files_that_are_not_there_yet_or_no_more_are_not_missed() {
        for state in [State::Writing, State::Undoing] {
            let files = Files::new(2);
            files.apply().unwrap();
            files.set_state(0, state);
            // The other image was not begun yet, or is restored.
            fs::write(files.path(1), image()).unwrap();
            fs::remove_file(undo_path(files.path(1))).unwrap();
            assert!(pending(files.path(0)).unwrap());
            undo(&files.held).unwrap();
            assert!(files.all_old());
        }
    }

    #[test]
    fn one_of_a_set_is_not_undone_alone() {
        let files = Files::new(2);
        files.apply().unwrap();
        let refused = undo(&files.held[..1]).unwrap_err().to_string();
        assert!(refused.contains("changed together with") && files.all_new(), "{refused}");
        let kept = fs::read(undo_path(files.path(1))).unwrap();
        fs::remove_file(undo_path(files.path(1))).unwrap();
        assert!(matches!(undo(&files.held), Err(Error::Refused(_))));
        assert!(files.all_new());
        fs::write(undo_path(files.path(1)), kept).unwrap();
        // A change of one of them since: none is written.
        let changed_since = FileDisk::open_mut(files.path(1)).unwrap().disk_mut();
        changed_since.write_at(&[1], 30_100).unwrap();
        assert!(undo(&files.held).unwrap_err().to_string().contains("changed since"));
        assert!(fs::read(files.path(0)).unwrap() != image());
        changed_since.write_at(&[0xBB], 30_100).unwrap();
        undo(&files.held).unwrap();
        assert!(files.all_old());
    }

    #[test]
    fn a_change_since_and_a_damaged_record_are_refused_and_nothing_is_written() {
        let files = Files::new(1);
        let path = files.path(0);
        files.apply().unwrap();
        let changed_since = FileDisk::open_mut(path).unwrap().disk_mut();
        changed_since.write_at(&[1], 30_100).unwrap();
        let now = fs::read(path).unwrap();
        assert!(undo(&files.held).unwrap_err().to_string().contains("changed since"));
        assert_eq!(fs::read(path).unwrap(), now);
        changed_since.write_at(&[0xBB], 30_100).unwrap();

        let record = fs::read(undo_path(path)).unwrap();
        for at in [3, 20, 26, 100, 161, 165, 169, 1030, record.len() - 1] {
            let mut damaged = record.clone();
            damaged[at] ^= 0x40;
            fs::write(undo_path(path), damaged).unwrap();
            assert!(undo(&files.held).unwrap_err().to_string().contains("damaged"), "byte {at}");
        }
        fs::write(undo_path(path), &record[..record.len() - 1]).unwrap();
        assert!(undo(&files.held).is_err());
        fs::write(undo_path(path), record).unwrap();
        undo(&files.held).unwrap();
        assert!(files.all_old());
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        let files = Files::new(2);
        let error = files.apply_as(&qcow2::FORMAT).unwrap_err();
        assert!(error.to_string().contains("qcow2"), "{error}");
        assert!(files.all_old());
    }
}
