//! Pulls that are interrupted, go on, and become newer snapshots.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use crate::support::{connect, fill, options, serve, volume};
use block::{CopyOptions, Disk, ErrorKind, FileDisk, Result, Silent, copy};
use cloud::ebs::{BLOCK, Ebs, Snapshot};
use image::raw::RawSink;
use image::transfer::{self, Base, Begin, Since, Spec};
use image::{Durability, Output, partial_path};
use standin::{BLOCK_TOKEN_LIFE, Call, Fault, Faults, Server};

const A: &str = "snap-0aaaaaaaaaaaaaaaa";
const B: &str = "snap-0bbbbbbbbbbbbbbbb";
/// Bytes of a record of the log.
const RECORD: u64 = 40;

fn key(id: &str) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&id.as_bytes()[..16]);
    key
}

/// Pulls `snapshot` into `target`, durably; `false` if it was there already.
fn pull(snapshot: &Snapshot, target: &Path, since: Option<&str>) -> Result<bool> {
    pull_as(true, snapshot, target, since)
}

fn pull_as(durable: bool, snapshot: &Snapshot, target: &Path, since: Option<&str>) -> Result<bool> {
    let since = since.map(|id| Since {
        key: key(id),
        name: id.into(),
        changes: snapshot.changes_since(id).unwrap().blocks,
    });
    snapshot.set_streaming(true);
    let disk = snapshot.disk();
    let spec = Spec {
        target: target.to_owned(),
        key: key(snapshot.id()),
        size: disk.size(),
        piece: BLOCK as u32,
        since,
        replace: false,
        mode: block::ANY_MODE,
        base: Some(Base { key: key(snapshot.id()), edits: Vec::new() }),
        durable,
    };
    let Begin::Go(transfer) = transfer::begin(spec, &Silent)? else { return Ok(false) };
    let durability = if durable { Durability::Synced } else { Durability::Buffered };
    let output = Output { durability, ..Output::new(target) };
    let sink = RawSink::resume(&output, disk.size(), transfer.left())?;
    let sink = transfer.sink(Box::new(sink))?;
    copy(&disk, sink, &CopyOptions { threads: 8 }, &Silent)?;
    Ok(true)
}

/// Whether the file is the volume: its bytes, then nothing but zeros.
fn is(target: &Path, volume: &[u8]) -> bool {
    let disk = Disk::new(FileDisk::open(target).unwrap());
    let mut found = vec![1; volume.len() + (2 << 20)];
    disk.read_at(&mut found, 0).unwrap();
    let (found, rest) = found.split_at(volume.len());
    disk.size() == 1 << 30 && found == volume && rest.iter().all(|byte| *byte == 0)
}

fn log_len(target: &Path) -> u64 {
    fs::metadata(transfer::log_path(target)).map_or(0, |metadata| metadata.len())
}

/// The blocks that the log says are in the file.
fn recorded(target: &Path) -> BTreeSet<u64> {
    let log = fs::read(transfer::log_path(target)).unwrap_or_default();
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    log.chunks_exact(RECORD as usize)
        .filter(|record| record[0] == 2)
        .map(|record| number(&record[8..16]) / BLOCK)
        .collect()
}

fn fetched(server: &Server, id: &str) -> BTreeSet<u64> {
    server.counts().blocks.get(id).map(|blocks| blocks.keys().copied().collect()).unwrap_or_default()
}

#[test]
fn a_pull_is_the_volume_and_is_not_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    let bytes = volume(&mut fastrand::Rng::with_seed(1), 100);
    let server = serve(vec![standin::Snapshot::from_bytes(A, bytes.clone()).written([5])], Faults::default());
    let snapshot = connect(&server).snapshot(A).unwrap();
    assert!(pull(&snapshot, &target, None).unwrap());
    assert!(is(&target, &bytes));
    let counts = server.counts();
    assert!(counts.blocks[A].values().all(|times| *times == 1));

    assert!(!pull(&snapshot, &target, None).unwrap(), "it is there");
    assert_eq!(server.counts().get, counts.get);
    // Killed after the renaming, before the end was recorded.
    let log = OpenOptions::new().write(true).open(transfer::log_path(&target)).unwrap();
    log.set_len(log_len(&target) - RECORD).unwrap();
    drop(log);
    assert!(!pull(&snapshot, &target, None).unwrap(), "it is there");
    // One that was changed since is not what it was.
    OpenOptions::new().write(true).open(&target).unwrap().write_all_at(b"x", 7).unwrap();
    assert_eq!(pull(&snapshot, &target, None).unwrap_err().kind(), ErrorKind::Refused);
    assert!(!is(&target, &bytes), "and is left alone");
}

/// Fails at the `n`-th request for a block.
fn stop_at(n: u64) -> Faults {
    Faults::default().at(Call::Get, n..1_000_000, Fault::KmsRefusal)
}

#[test]
fn an_interrupted_pull_goes_on_with_what_it_has_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    let bytes = volume(&mut random, 80);
    let server = serve(vec![standin::Snapshot::from_bytes(A, bytes.clone())], Faults::default());
    for round in 0..6 {
        let target = folder.path().join(format!("{round}.raw"));
        let mut known = BTreeSet::<u64>::new();
        for stop in [12, 0, 30, 1000] {
            server.set_faults(stop_at(stop));
            server.reset_counts();
            let pulled = pull(&connect(&server).snapshot(A).unwrap(), &target, None);
            assert_eq!(pulled.is_ok(), stop == 1000);
            let again: Vec<_> = fetched(&server, A).intersection(&known).copied().collect();
            assert!(again.is_empty(), "round {round}: recorded and fetched again: {again:?}");
            if pulled.is_ok() {
                break;
            }
            // What was fetched before the failure was recorded when the copy ended; the log also tells of
            // what was lost since.
            known.extend(fetched(&server, A));
            known.retain(|block| recorded(&target).contains(block));
            let (log, partial) = (transfer::log_path(&target), partial_path(&target));
            match round {
                1 => {
                    let len = random.u64(0..=log_len(&target));
                    OpenOptions::new().write(true).open(log).unwrap().set_len(len).unwrap();
                    known.retain(|block| recorded(&target).contains(block));
                }
                // The file loses its end, as after a crash of the host.
                2 => {
                    let len = random.u64(0..40) << 20;
                    OpenOptions::new().write(true).open(partial).unwrap().set_len(len).unwrap();
                    known.retain(|block| (block + 1) * BLOCK <= len);
                }
                3 => {
                    let file = OpenOptions::new().write(true).open(partial).unwrap();
                    let block = random.u64(0..80);
                    file.write_all_at(&[0xee; 600], block * BLOCK + 1000).unwrap();
                    known.remove(&block);
                }
                4 => {
                    fs::remove_file(partial).unwrap();
                    known.clear();
                }
                // The log loses its content, as after a crash of the host.
                5 => {
                    fs::write(log, [0; 100]).unwrap();
                    known.clear();
                }
                _ => {}
            }
        }
        assert!(is(&target, &bytes), "round {round}");
        assert!(!partial_path(&target).exists());
    }
}

#[test]
fn faults_and_expiring_tokens_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    let bytes = volume(&mut fastrand::Rng::with_seed(3), 300);
    let faults = Faults::seeded(4)
        .chance(Fault::Throttled, 0.2)
        .chance(Fault::Internal, 0.05)
        .chance(Fault::HangUp, 0.02)
        .chance(Fault::Truncated, 0.02)
        .chance(Fault::Altered, 0.02)
        .chance(Fault::ExpiredBlockToken, 0.02)
        .chance(Fault::EmptyPage, 0.2)
        .at(Call::List, 0..1, Fault::Throttled);
    let server = serve(vec![standin::Snapshot::from_bytes(A, bytes.clone())], faults);
    let snapshot = connect(&server).snapshot(A).unwrap();
    server.advance(BLOCK_TOKEN_LIFE + Duration::from_secs(1));
    assert!(pull(&snapshot, &target, None).unwrap());
    assert!(is(&target, &bytes));
    assert!(server.counts().blocks[A].values().all(|times| *times == 1));
}

#[test]
fn patience_that_ends_can_be_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    let bytes = vec![1; 20 * BLOCK as usize];
    let faults = Faults::default().at(Call::Get, 10..1_000_000, Fault::Throttled);
    let server = serve(vec![standin::Snapshot::from_bytes(A, bytes.clone())], faults);
    let little = cloud::ebs::Options { patience: Duration::from_millis(300), ..options(server.endpoint()) };
    let error = pull(&Ebs::connect(&little).unwrap().snapshot(A).unwrap(), &target, None).unwrap_err();
    let failure = cloud::ebs::Failure::of(&error).unwrap();
    assert!(failure.is_resumable() && failure.to_string().contains("block "), "{failure}");
    assert!(!target.exists());
    server.set_faults(Faults::default());
    assert!(pull(&connect(&server).snapshot(A).unwrap(), &target, None).unwrap());
    assert!(is(&target, &bytes));
    assert!(server.counts().blocks[A].values().all(|times| *times == 1));
}

/// The law: an older snapshot made newer is the newer one, whatever happened to it and whenever it was
/// interrupted.
#[test]
fn a_delta_is_the_newer_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..100 {
        let place = format!("seed {seed}, round {round}");
        let target = folder.path().join("disk.raw");
        let blocks = random.usize(1..24);
        let before = volume(&mut random, blocks);
        let mut after = before.clone();
        after.resize((blocks + random.usize(0..4)) * BLOCK as usize, 0);
        for block in after.chunks_mut(BLOCK as usize) {
            match random.u8(0..10) {
                0..2 => fill(&mut random, block),
                2 => block.fill(0),
                // Churn inside a file.
                3 => (0..random.usize(1..9)).for_each(|_| block[random.usize(0..BLOCK as usize)] ^= 0x55),
                _ => {}
            }
        }
        let written = |random: &mut fastrand::Rng| {
            (0..blocks as u64).filter(|_| random.u8(0..9) == 0).collect::<Vec<_>>()
        };
        let (in_a, in_b) = (written(&mut random), written(&mut random));
        let snapshots = vec![
            standin::Snapshot::from_bytes(A, before).of_volume("vol-1").written(in_a),
            standin::Snapshot::from_bytes(B, after.clone()).of_volume("vol-1").written(in_b),
        ];
        let server = serve(snapshots, Faults::default());
        let ebs = connect(&server);
        let (a, b) = (ebs.snapshot(A).unwrap(), ebs.snapshot(B).unwrap());
        pull_as(false, &a, &target, None).unwrap();
        let touched = random.bool();
        if touched {
            // As a fix in place would.
            let file = OpenOptions::new().write(true).open(&target).unwrap();
            file.write_all_at(b"refloated", random.u64(0..blocks as u64 * BLOCK)).unwrap();
        }
        if random.bool() {
            server.set_faults(stop_at(random.u64(0..10)));
            let first = pull_as(false, &b, &target, Some(A));
            assert_eq!(first.is_ok(), target.exists(), "{place}: half of each is no disk");
            server.set_faults(Faults::default());
        }
        pull_as(false, &b, &target, Some(A)).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!(is(&target, &after), "{place}");
        let changes = b.changes_since(A).unwrap().blocks;
        let fetched = fetched(&server, B);
        let more = fetched.iter().filter(|block| !changes.contains(**block)).count();
        assert!(more <= usize::from(touched), "{place}: {more} unchanged blocks were fetched");
        assert!(server.counts().blocks.get(B).is_none_or(|blocks| blocks.values().all(|times| *times == 1)));
        assert!(!pull_as(false, &b, &target, Some(A)).unwrap(), "{place}: it is there");
        assert!(!pull_as(false, &b, &target, None).unwrap(), "{place}: it is there");
        for entry in fs::read_dir(folder.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn a_delta_needs_to_know_its_base() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("disk.raw");
    fs::write(&target, [7; 100]).unwrap();
    let snapshots = [A, B].map(|id| standin::Snapshot::from_bytes(id, vec![1; 10]).of_volume("vol-1"));
    let server = serve(snapshots.into(), Faults::default());
    let error = pull(&connect(&server).snapshot(B).unwrap(), &target, Some(A)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(fs::read(&target).unwrap(), [7; 100]);
}

#[test]
fn moto_serves_the_same() {
    let Some(moto) = testimages::moto::Moto::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bytes = volume(&mut fastrand::Rng::with_seed(8), 24);
    let image = folder.path().join("image.raw");
    fs::write(&image, &bytes).unwrap();
    let id = moto.snapshot(&image, &Default::default());
    let region = Some(testimages::boto::REGION.into());
    let options = cloud::ebs::Options { region, ..options(moto.endpoint().into()) };
    let snapshot = Ebs::connect(&options).unwrap().snapshot(&id).unwrap();
    let disk = snapshot.disk();
    assert!(disk.read_vec(BLOCK - 100, 5000).unwrap() == bytes[BLOCK as usize - 100..][..5000]);
    let target = folder.path().join("disk.raw");
    assert!(pull(&snapshot, &target, None).unwrap());
    assert!(is(&target, &bytes));
}
