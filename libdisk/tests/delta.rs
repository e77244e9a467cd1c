//! The law of a delta: a blob that holds an edited snapshot and becomes a newer one by what changed alone is,
//! byte for byte, what a full transfer of the newer one makes, however often it was stopped on the way; and
//! no page is sent that did not change.
#![cfg(feature = "cloud")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use block::{Bitmap, CopyOptions, Disk, ErrorKind, Event, Memory, Observer, Receipt, Result, Silent, copy};
use cloud::azure::{Options, Signatures};
use image::transfer::ResumeKey;
use image::{Durability, Existing, Output};
use libdisk::{
    Base, Begin, CannotFollow, Destination, DiskSpec, FileDestination, FileFormat, Older,
    PageBlobDestination, ReadBack, block, cloud, image,
};
use standin::{BlobFault, BlobServer};
use testimages::length;

const SIZE: u64 = 12 << 20;
const BLOCK: u64 = 512 << 10;
const PAGE: usize = 4096;

/// A snapshot, and what a plan makes of it.
#[derive(Clone)]
struct Volume {
    name: String,
    bytes: Vec<u8>,
    edited: Vec<u8>,
    edits: Vec<Range<u64>>,
}

impl Volume {
    fn new(random: &mut fastrand::Rng, name: &str, bytes: Vec<u8>) -> Self {
        let mut edited = bytes.clone();
        let edits: Vec<_> = (0..random.usize(0..6))
            .map(|_| {
                // Sectors, as overlays have them; most plans edit the same places.
                let start = if random.bool() {
                    random.usize(0..64) << 12
                } else {
                    random.usize(0..SIZE as usize - 8192)
                };
                let start = start - start % 512;
                let range = start..start + 512 * random.usize(1..16);
                match random.u8(0..4) {
                    0 => edited[range.clone()].fill(0),
                    1 => {}
                    _ => random.fill(&mut edited[range.clone()]),
                }
                range.start as u64..range.end as u64
            })
            .collect();
        Self { name: name.to_owned(), bytes, edited, edits }
    }

    /// The same, of which `tenths` of a percent of the pages were written, and in which blocks.
    fn churned(&self, random: &mut fastrand::Rng, name: &str, tenths: usize) -> (Self, Bitmap) {
        let (mut bytes, mut blocks) = (self.bytes.clone(), Bitmap::new(SIZE / BLOCK));
        let mut left = (SIZE as usize / PAGE * tenths / 1000).max(1);
        while left > 0 {
            let run = random.usize(1..32).min(left);
            let start = random.usize(0..SIZE as usize / PAGE - run) * PAGE;
            let range = start..start + run * PAGE;
            blocks.set(start as u64 / BLOCK, true);
            blocks.set((range.end as u64 - 1) / BLOCK, true);
            match random.u8(0..5) {
                // Written with what was there.
                0 => {}
                1 => bytes[range].fill(0),
                2 => bytes[start + random.usize(0..PAGE)] ^= 1,
                _ => random.fill(&mut bytes[range]),
            }
            left -= run;
        }
        (Self::new(random, name, bytes), blocks)
    }

    fn key(&self) -> ResumeKey {
        ResumeKey::new("snapshot", &self.name)
    }

    fn spec(&self, since: Option<(&Self, &Bitmap)>) -> DiskSpec {
        let content = block::ContentSum::of(&self.edited, 0);
        DiskSpec {
            sector_size: 512,
            size: SIZE,
            identity: [self.name.len() as u8; 32],
            key: Some(self.key().with("changes", content)),
            piece: BLOCK as u32,
            since: since.map(|(older, changes)| older.older(changes)),
            base: Some(self.base()),
        }
    }

    fn base(&self) -> Base {
        Base { key: self.key(), edits: self.edits.clone() }
    }

    fn older(&self, changes: &Bitmap) -> Older {
        Older { key: self.key(), name: self.name.clone(), changes: changes.clone() }
    }

    fn send(&self, to: &dyn Destination, since: Option<(&Self, &Bitmap)>) -> Result<Receipt> {
        self.send_until(to, since, &Silent)
    }

    fn send_until(
        &self,
        to: &dyn Destination,
        since: Option<(&Self, &Bitmap)>,
        observer: &dyn Observer,
    ) -> Result<Receipt> {
        match to.begin(self.spec(since), observer)? {
            Begin::Complete(receipt) => Ok(receipt),
            Begin::Go { sink, .. } => {
                let disk = Disk::new(Memory::new(self.edited.clone()));
                copy(&disk, sink, &CopyOptions { threads: 3 }, observer)
            }
        }
    }

    /// The pages of this that are not those of the other.
    fn other_pages(&self, other: &Self) -> u64 {
        let pages = self.edited.chunks(PAGE).zip(other.edited.chunks(PAGE));
        pages.filter(|(a, b)| a != b).count() as u64
    }
}

fn destination(server: &BlobServer, name: &str, state: &Path, patience: Duration) -> PageBlobDestination {
    let signatures = Signatures::default().and_text(&server.signature(), "a test").unwrap();
    let options =
        Options { signatures, cache: None, patience, requests_per_second: 1e6, ..Options::default() };
    PageBlobDestination {
        url: server.url(name).parse().unwrap(),
        options,
        existing: Existing::Refuse,
        read_back: ReadBack::All,
        state: state.to_owned(),
        known_as: None,
    }
}

/// The record of the pages, and the log.
fn records(state: &Path) -> (PathBuf, PathBuf) {
    let paths = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let mut pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "pages"));
    let pages = pages.next().unwrap();
    let log = pages.with_extension("transfer");
    (pages, log)
}

/// Whether the blob is what a full transfer makes.
#[track_caller]
fn is(server: &BlobServer, state: &Path, volume: &Volume, what: &str) {
    let full = destination(server, "full.vhd", &state.join("full"), Duration::from_secs(30));
    volume.send(&PageBlobDestination { existing: Existing::Replace, ..full }, None).unwrap();
    let (found, full) = (server.content("disk.vhd").unwrap(), server.content("full.vhd").unwrap());
    assert!(full[..SIZE as usize] == volume.edited, "{what}: the full transfer");
    let differs = found.iter().zip(&full).position(|(a, b)| a != b);
    assert_eq!((found.len(), differs), (full.len(), None), "{what}");
}

#[test]
fn a_delta_makes_what_a_full_transfer_makes_and_sends_what_changed() {
    let churns = if length::long() { 100 } else { 12 };
    let (server, folder) = (BlobServer::start().unwrap(), tempfile::tempdir().unwrap());
    let state = folder.path();
    let to = destination(&server, "disk.vhd", state, Duration::from_secs(30));
    let mut random = fastrand::Rng::with_seed(12);
    let mut bytes = vec![0; SIZE as usize];
    // Some of each MiB is never written.
    for mib in bytes.chunks_mut(1 << 20) {
        let hole = random.usize(0..1 << 20);
        random.fill(&mut mib[hole..]);
    }
    let hasty = destination(&server, "disk.vhd", state, Duration::ZERO);
    let mut holds = Volume::new(&mut random, "snap-0", bytes);
    // The first one is stopped, too.
    server.fail(1, &[(BlobFault::Lost, 0.2)]);
    for _ in 0..3 {
        drop(holds.send(&hasty, None));
    }
    server.fail(0, &[]);
    holds.send(&to, None).unwrap();
    let (mut sent, mut changed, mut turned) = (0, 0, 0);
    for churn in 1..=churns {
        let tenths = random.usize(1..=100);
        let (next, blocks) = holds.churned(&mut random, &format!("snap-{churn}"), tenths);
        let what = format!("churn {churn}, {tenths} of 1000 pages, stopped {}", churn % 3 == 0);
        if churn % 3 == 0 {
            // Any request may be the last one: what it did is done, and nobody here knows.
            let (pages, log) = records(state);
            let kept = fs::read(&pages).unwrap();
            server.fail(churn, &[(BlobFault::Lost, 0.2)]);
            for _ in 0..3 {
                drop(next.send(&hasty, Some((&holds, &blocks))));
            }
            server.fail(0, &[]);
            // A crash of this machine costs some of what was recorded, and not in the order in which it was. Where
            // the run came to its end all is on the disk.
            let is_done = fs::read(&log).unwrap().chunks_exact(40).any(|record| record[0] == 3);
            if churn % 4 == 3 && !is_done {
                fs::write(&pages, kept).unwrap();
            }
        }
        if churn % 6 == 0 {
            // What was on its way becomes another one of the same older snapshot.
            let (other, others) = holds.churned(&mut random, &format!("snap-{churn}-other"), 20);
            match other.send(&to, Some((&holds, &others))) {
                Ok(_) => {
                    is(&server, state, &other, &what);
                    (holds, turned) = (other, turned + 1);
                    continue;
                }
                // It had come to its end after all.
                Err(error) => assert!(format!("{error:?}").contains("Other"), "{what}: {error:?}"),
            }
        }
        let before = server.blob_counts().bytes_put;
        let receipt = next.send(&to, Some((&holds, &blocks))).unwrap();
        is(&server, state, &next, &what);
        assert_eq!(receipt.content, Some(block::ContentSum::of(&next.edited, 0)), "{what}");
        assert_eq!(receipt.size, SIZE);
        if churn % 3 != 0 {
            let differ = next.other_pages(&holds);
            let full = next.edited.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 0)).count();
            // The full transfer of the comparison is in the count, too.
            let all = server.blob_counts().bytes_put - before;
            assert!(receipt.written <= differ * PAGE as u64, "{what}: {} of {differ} pages", receipt.written);
            assert!(all >= receipt.written && receipt.written <= (full * PAGE) as u64, "{what}");
            (sent, changed) = (sent + receipt.written / PAGE as u64, changed + differ);
        }
        holds = next;
    }
    assert!(turned > 0, "no stopped run was turned into another");
    assert!(changed > 100 && sent * 10 <= changed * 11, "{sent} pages were sent for {changed} that changed");
}

/// Stops the work when it has been asked so often.
struct StopAfter(AtomicU64);

impl Observer for StopAfter {
    fn on(&self, _event: Event) {}

    fn cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

/// The same of files, which follow by whole pieces.
#[test]
fn a_file_follows_an_edited_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(14);
    for (format, name) in [(FileFormat::Raw, "disk.raw"), (FileFormat::Vhd, "disk.vhd")] {
        let of = |name: &str| {
            let output = Output { durability: Durability::Buffered, ..Output::new(folder.path().join(name)) };
            FileDestination { output, format }
        };
        let (to, full) = (of(name), of(&format!("full-{name}")));
        let mut bytes = vec![0; SIZE as usize];
        random.fill(&mut bytes[1 << 20..9 << 20]);
        let mut holds = Volume::new(&mut random, "snap-0", bytes);
        holds.send(&to, None).unwrap();
        let (churns, mut stopped) = (if length::long() { 100 } else { 9 }, 0);
        for churn in 1..=churns {
            let tenths = random.usize(1..=100);
            let (next, blocks) = holds.churned(&mut random, &format!("snap-{churn}"), tenths);
            let since = Some((&holds, &blocks));
            to.can_follow(&holds.older(&blocks), &next.base()).unwrap();
            for _ in 0..churn % 3 {
                let stop = StopAfter(AtomicU64::new(random.u64(0..12)));
                if next.send_until(&to, since, &stop).is_err() {
                    stopped += 1;
                    assert!(!to.output.path.exists(), "half of each is no disk");
                }
                to.can_follow(&holds.older(&blocks), &next.base()).unwrap();
            }
            next.send(&to, since).unwrap();
            next.send(&full, None).unwrap();
            let [found, whole] = [&to, &full].map(|to| fs::read(&to.output.path).unwrap());
            assert!(whole[..SIZE as usize] == next.edited, "{name}, churn {churn}: the full transfer");
            let differs = found.iter().zip(&whole).position(|(a, b)| a != b);
            assert_eq!((found.len(), differs), (whole.len(), None), "{name}, churn {churn}");
            fs::remove_file(&full.output.path).unwrap();
            // The same again is there.
            assert_eq!(next.send(&to, since).unwrap().written, 0);
            holds = next;
        }
        assert!(stopped > 2, "{stopped} were stopped");
        // Another one is not what it holds.
        let other = Volume { name: "snap-x".into(), ..holds.clone() };
        let (next, blocks) = holds.churned(&mut random, "snap-y", 10);
        let why = |error: &block::Error| {
            std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<CannotFollow>()).cloned()
        };
        let refused = to.can_follow(&other.older(&blocks), &next.base()).unwrap_err();
        assert_eq!(why(&refused), Some(CannotFollow::Other("snap-x".into())));
        assert_eq!(next.send(&to, Some((&other, &blocks))).unwrap_err().kind(), ErrorKind::Refused);
        let refused = of("none.raw").can_follow(&holds.older(&blocks), &next.base()).unwrap_err();
        assert_eq!(why(&refused), Some(CannotFollow::NoRecord(holds.name.clone())));
        let qcow2 = FileDestination { format: FileFormat::Qcow2, ..of("disk.qcow2") };
        let refused = qcow2.can_follow(&holds.older(&blocks), &next.base()).unwrap_err();
        assert_eq!(why(&refused), Some(CannotFollow::Whole));
    }
}

/// What is not known to be the older snapshot stays as it is.
#[test]
fn what_is_not_the_older_snapshot_is_left_alone() {
    let (server, folder) = (BlobServer::start().unwrap(), tempfile::tempdir().unwrap());
    let to = destination(&server, "disk.vhd", folder.path(), Duration::from_secs(30));
    let mut random = fastrand::Rng::with_seed(13);
    let first = Volume::new(&mut random, "snap-a", vec![7; SIZE as usize]);
    let (second, blocks) = first.churned(&mut random, "snap-bb", 10);
    let refused = |to: &PageBlobDestination, older: &Volume, why: CannotFollow| {
        let before = server.content("disk.vhd");
        let error = second.send(to, Some((older, &blocks))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<CannotFollow>());
        assert_eq!(cause, Some(&why), "{error:?}");
        if why != CannotFollow::Damaged {
            let asked = to.can_follow(&older.older(&Bitmap::new(0)), &second.base());
            assert_eq!(asked.unwrap_err().kind(), ErrorKind::Refused);
        }
        assert!(server.content("disk.vhd") == before, "{why:?}: it was written");
    };
    let name = || "snap-a".to_owned();
    refused(&to, &first, CannotFollow::NoRecord(name()));
    server.fail(2, &[(BlobFault::Lost, 0.5)]);
    let hasty = destination(&server, "disk.vhd", folder.path(), Duration::ZERO);
    while server.blob_counts().puts < 2 {
        assert!(first.send(&hasty, None).is_err());
    }
    server.fail(0, &[]);
    refused(&to, &first, CannotFollow::Unfinished(name()));
    first.send(&to, None).unwrap();
    to.can_follow(&first.older(&Bitmap::new(0)), &second.base()).unwrap();
    // The volume has grown.
    let spec = DiskSpec { size: 2 * SIZE, ..second.spec(Some((&first, &blocks))) };
    let Err(error) = to.begin(spec, &Silent) else { panic!("it is larger") };
    assert!(format!("{error:?}").contains("Size"), "{error:?}");
    // Another machine has no record of it.
    let elsewhere = destination(&server, "disk.vhd", &folder.path().join("else"), Duration::from_secs(30));
    refused(&elsewhere, &first, CannotFollow::NoRecord(name()));
    let other = Volume { name: "snap-c".into(), ..first.clone() };
    refused(&to, &other, CannotFollow::Other("snap-c".into()));
    // A record that lost something, as by a crash of the machine.
    let (pages, _) = records(folder.path());
    let kept = fs::read(&pages).unwrap();
    let mut damaged = kept.clone();
    damaged[1600..3200].fill(0);
    fs::write(&pages, damaged).unwrap();
    refused(&to, &first, CannotFollow::Damaged);
    fs::remove_file(&pages).unwrap();
    refused(&to, &first, CannotFollow::Damaged);
    fs::write(&pages, kept).unwrap();
    // Somebody wrote a page.
    server.spoil("disk.vhd", 5 << 20);
    refused(&to, &first, CannotFollow::Changed(name()));
    // In full it goes, by the user's word; and then the next one follows.
    let forced = PageBlobDestination { existing: Existing::Replace, ..to.clone() };
    first.send(&forced, None).unwrap();
    second.send(&to, Some((&first, &blocks))).unwrap();
    is(&server, folder.path(), &second, "after a full transfer");
    // Of a disk that nobody will follow nothing is kept.
    let spec = DiskSpec { base: None, ..first.spec(None) };
    let Begin::Go { sink, .. } = forced.begin(spec, &Silent).unwrap() else { panic!("it is another") };
    copy(&Disk::new(Memory::new(first.edited.clone())), sink, &CopyOptions::default(), &Silent).unwrap();
    assert!(!pages.exists());
    refused(&to, &first, CannotFollow::Other(name()));
}
