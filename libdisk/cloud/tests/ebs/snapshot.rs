//! A snapshot as a disk, read from the stand-in.

use std::time::{Duration, Instant};

use crate::support::{connect, options, options_with_cache, serve, volume};
use block::testing::conformance;
use cloud::ebs::{BLOCK, Ebs, FaultKind, Options};
use standin::{BLOCK_TOKEN_LIFE, Call, Fault, Faults, Snapshot, State, Synthetic};

const ID: &str = "snap-0123456789abcdef0";

#[test]
fn every_byte_is_that_of_the_volume() {
    let mut random = fastrand::Rng::with_seed(1);
    let bytes = volume(&mut random, 40);
    let server = serve(vec![Snapshot::from_bytes(ID, bytes.clone()).written([3, 39, 41])], Faults::default());
    let snapshot = connect(&server).snapshot(ID).unwrap();
    let disk = snapshot.disk();
    assert_eq!(disk.size(), 1 << 30, "whole GiB");
    assert!(disk.read_vec(0, bytes.len()).unwrap() == bytes);
    assert!(disk.read_vec(bytes.len() as u64, 3 << 20).unwrap().iter().all(|byte| *byte == 0));
    for _ in 0..200 {
        let start = random.usize(0..bytes.len());
        let len = random.usize(0..3 << 20).min(bytes.len() - start);
        assert!(disk.read_vec(start as u64, len).unwrap() == bytes[start..start + len], "{start} {len}");
    }
    let zero: u64 = disk
        .extents(0..disk.size())
        .map(|extent| extent.unwrap())
        .filter(|(_, kind)| *kind == block::ExtentKind::Zero)
        .map(|(range, _)| {
            let end = range.end.min(bytes.len() as u64) as usize;
            assert!(bytes.get(range.start as usize..end).is_none_or(|part| part.iter().all(|b| *b == 0)));
            range.end - range.start
        })
        .sum();
    assert!(zero > 900 << 20);
}

#[test]
fn it_behaves_as_every_device_does() {
    let bytes = volume(&mut fastrand::Rng::with_seed(2), 4);
    let server = serve(vec![Snapshot::from_bytes(ID, bytes.clone())], Faults::default());
    let disk = connect(&server).snapshot(ID).unwrap().disk();
    conformance::read(&disk.slice(0..bytes.len() as u64).unwrap(), &bytes);
}

#[test]
fn a_block_is_fetched_once_by_many_threads_and_not_again_by_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = volume(&mut fastrand::Rng::with_seed(3), 30);
    let faults = Faults::default().latency(Duration::from_millis(20));
    let server = serve(vec![Snapshot::from_bytes(ID, bytes.clone())], faults);
    for run in 0..2 {
        let ebs = Ebs::connect(&options_with_cache(server.endpoint(), folder.path())).unwrap();
        let snapshot = ebs.snapshot(ID).unwrap();
        let disk = snapshot.disk();
        std::thread::scope(|scope| {
            for seed in 0..8 {
                let (disk, bytes) = (&disk, &bytes);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..40 {
                        let at = random.usize(0..bytes.len() - 5000);
                        assert!(disk.read_vec(at as u64, 5000).unwrap() == bytes[at..at + 5000]);
                    }
                });
            }
        });
        let (tally, counts) = (snapshot.tally(), server.counts());
        assert!(counts.blocks[ID].values().all(|times| *times == 1), "run {run}: {:?}", counts.blocks[ID]);
        assert_eq!(tally.blocks, if run == 0 { counts.get } else { 0 });
        assert_eq!((tally.cached > 0, tally.lists), (run == 1, 1));
        assert_eq!(tally.bytes, tally.blocks * BLOCK);
    }
}

#[test]
fn what_one_read_needs_is_fetched_at_once() {
    let bytes = vec![1; 16 * BLOCK as usize];
    let faults = Faults::default().latency(Duration::from_millis(500));
    let server = serve(vec![Snapshot::from_bytes(ID, bytes)], faults);
    let snapshot = connect(&server).snapshot(ID).unwrap();
    let start = Instant::now();
    snapshot.disk().read_vec(0, 16 * BLOCK as usize).unwrap();
    // One after the other they would take 8 seconds.
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn faults_are_survived() {
    let mut random = fastrand::Rng::with_seed(5);
    let bytes = volume(&mut random, 60);
    let faults = Faults::seeded(7)
        .chance(Fault::Throttled, 0.1)
        .chance(Fault::AccountThrottled, 0.05)
        .chance(Fault::KmsThrottled, 0.05)
        .chance(Fault::Internal, 0.05)
        .chance(Fault::HangUp, 0.05)
        .chance(Fault::Truncated, 0.05)
        .chance(Fault::Altered, 0.05)
        .chance(Fault::ExpiredBlockToken, 0.05)
        .chance(Fault::EmptyPage, 0.3);
    let server = serve(vec![Snapshot::from_bytes(ID, bytes.clone())], faults);
    let snapshot = connect(&server).snapshot(ID).unwrap();
    assert!(snapshot.disk().read_vec(0, bytes.len()).unwrap() == bytes);
    let tally = snapshot.tally();
    assert!(tally.retries > 5, "{tally}");
    assert_eq!(tally.blocks, server.counts().blocks[ID].len() as u64);
}

#[test]
fn one_throttled_list_page_is_nothing() {
    let bytes = volume(&mut fastrand::Rng::with_seed(6), 5);
    let faults = Faults::default().at(Call::List, 0..1, Fault::AccountThrottled);
    let server = serve(vec![Snapshot::from_bytes(ID, bytes.clone())], faults);
    let snapshot = connect(&server).snapshot(ID).unwrap();
    assert!(snapshot.disk().read_vec(0, bytes.len()).unwrap() == bytes);
    assert_eq!((snapshot.tally().lists, snapshot.tally().retries), (2, 1));
}

#[test]
fn tokens_that_expire_are_renewed() {
    let bytes = vec![5; 6 * BLOCK as usize];
    let server = serve(vec![Snapshot::from_bytes(ID, bytes.clone())], Faults::default());
    let snapshot = connect(&server).snapshot(ID).unwrap();
    snapshot.disk().read_vec(0, 10).unwrap();
    server.advance(BLOCK_TOKEN_LIFE + Duration::from_secs(60));
    assert!(snapshot.disk().read_vec(0, bytes.len()).unwrap() == bytes);
    let tally = snapshot.tally();
    assert_eq!((tally.lists, tally.blocks), (2, 6));
}

#[test]
fn a_refusal_of_the_key_is_final_at_once_and_names_itself() {
    let bytes = vec![5; 3 * BLOCK as usize];
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd";
    let server = serve(vec![Snapshot::from_bytes(ID, bytes).encrypted(key, false)], Faults::default());
    let snapshot = connect(&server).snapshot(ID).unwrap();
    let error = snapshot.disk().read_vec(BLOCK, 10).unwrap_err();
    let failure = cloud::ebs::Failure::of(&error).expect("the cause is there");
    assert_eq!((failure.kind(), failure.is_resumable(), server.counts().get), (FaultKind::Key, false, 1));
    let text = failure.to_string();
    assert!(
        text.contains(ID) && text.contains("block 1") && text.contains("DEPENDENCY_ACCESS_DENIED"),
        "{text}"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let (pending, archived) = ("snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb");
    let snapshots = [(pending, State::Pending), (archived, State::Archived)];
    let snapshots = snapshots.map(|(id, state)| Snapshot::from_bytes(id, vec![1; 10]).state(state));
    let server = serve(snapshots.into(), Faults::default());
    let ebs = connect(&server);
    for (id, why) in [(ID, "SNAPSHOT_NOT_FOUND"), (pending, "is pending, 42%"), (archived, "in the archive")]
    {
        let failure = ebs.snapshot(id).unwrap_err();
        assert_eq!((failure.kind(), failure.is_resumable()), (FaultKind::NotFound, false));
        assert!(failure.to_string().contains(why), "{failure}");
    }
    assert_eq!((server.counts().list, server.counts().ec2), (3, 3));
    // Who may not ask EC2 is told what EBS says.
    server.set_faults(Faults::default().at(Call::Ec2, 0..1, Fault::Denied));
    assert_eq!(ebs.snapshot(pending).unwrap_err().kind(), FaultKind::NotFound);
    // Nobody listens there.
    let nowhere = Options { patience: Duration::from_millis(100), ..options("http://127.0.0.1:9".into()) };
    let failure = Ebs::connect(&nowhere).unwrap().snapshot(ID).unwrap_err();
    assert_eq!((failure.kind(), failure.is_resumable()), (FaultKind::Connection, true));
}

#[test]
fn a_block_that_is_always_damaged_is_named() {
    let bytes = vec![5; 3 * BLOCK as usize];
    let faults = Faults::default().at(Call::Get, 0..1000, Fault::Altered);
    let server = serve(vec![Snapshot::from_bytes(ID, bytes)], faults);
    let snapshot = connect(&server).snapshot(ID).unwrap();
    let error = snapshot.disk().read_vec(2 * BLOCK, 10).unwrap_err();
    let failure = cloud::ebs::Failure::of(&error).unwrap();
    assert_eq!(failure.kind(), FaultKind::Damaged);
    assert!(failure.to_string().contains("block 2"), "{failure}");
}

#[test]
fn a_huge_volume_is_looked_at_without_listing_it() {
    let shape = Synthetic { gib: 65536, listed: 100, zero: 10, seed: 1 };
    let server = serve(vec![Snapshot::synthetic(ID, shape)], Faults::default());
    let snapshot = connect(&server).snapshot(ID).unwrap();
    let disk = snapshot.disk();
    assert_eq!(disk.size(), 64 << 40);
    let served = |block: u64| server.snapshot(ID).unwrap().block(block).unwrap().unwrap();
    for block in [0, 5_000, 70_000_000, 134_217_727] {
        assert!(disk.read_vec(block * BLOCK, BLOCK as usize).unwrap() == served(block), "block {block}");
    }
    assert_eq!((snapshot.tally().lists, snapshot.tally().blocks), (3, 4));
}

#[test]
fn changes_are_told() {
    let (first, second) = ("snap-0aaaaaaaaaaaaaaaa", "snap-0bbbbbbbbbbbbbbbb");
    let mut random = fastrand::Rng::with_seed(9);
    let before = volume(&mut random, 20);
    let mut after = before.clone();
    let block = |at: usize| at * BLOCK as usize..(at + 1) * BLOCK as usize;
    after[block(4)].fill(0);
    after[block(7)].fill(1);
    after[block(19)].fill(2);
    let snapshots = vec![
        Snapshot::from_bytes(first, before).of_volume("vol-1").written([4]),
        Snapshot::from_bytes(second, after).of_volume("vol-1"),
        Snapshot::from_bytes(ID, vec![1; 10]).of_volume("vol-2"),
    ];
    let faults = Faults::seeded(3).chance(Fault::EmptyPage, 0.3).at(Call::Changed, 0..1, Fault::Throttled);
    let server = serve(snapshots, faults);
    let ebs = connect(&server);
    let changes = ebs.snapshot(second).unwrap().changes_since(first).unwrap().blocks;
    let told: Vec<_> = (0..2048).filter(|at| changes.contains(*at)).collect();
    assert_eq!((told, changes.count()), (vec![4, 7, 19], 3));
    let failure = ebs.snapshot(ID).unwrap().changes_since(first).unwrap_err();
    assert_eq!(failure.kind(), FaultKind::Unrelated, "{failure}");
}
