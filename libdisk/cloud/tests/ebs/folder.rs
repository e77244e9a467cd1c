//! A folder in place of AWS: the same bytes, extents, requests and errors as those of the stand-in, by no
//! server at all.

use std::fs;

use block::testing::conformance;
use cloud::ebs::{Ebs, FaultKind, Snapshot as Opened};
use standin::{Faults, Snapshot};

use crate::support::{connect, options, serve, volume};

const A: &str = "snap-0aaaaaaaaaaaaaaaa";
const B: &str = "snap-0bbbbbbbbbbbbbbbb";

fn folder(images: &[(&str, &[u8])]) -> (tempfile::TempDir, Ebs) {
    let folder = tempfile::tempdir().unwrap();
    for (id, bytes) in images {
        fs::write(folder.path().join(format!("{id}.img")), bytes).unwrap();
    }
    let endpoint = format!("file://{}", folder.path().display());
    let ebs = Ebs::connect(&options(endpoint)).unwrap();
    (folder, ebs)
}

fn extents(snapshot: &Opened) -> Vec<(std::ops::Range<u64>, block::ExtentKind)> {
    let disk = snapshot.disk();
    disk.extents(0..disk.size()).map(Result::unwrap).collect()
}

#[test]
fn it_is_the_snapshot_that_the_stand_in_serves() {
    let mut bytes = volume(&mut fastrand::Rng::with_seed(7), 30);
    bytes.extend([9; 700]);
    let (_folder, ebs) = folder(&[(A, &bytes)]);
    let here = ebs.snapshot(A).unwrap();
    let server = serve(vec![Snapshot::from_bytes(A, bytes.clone())], Faults::default());
    let there = connect(&server).snapshot(A).unwrap();
    assert_eq!(here.disk().size(), there.disk().size());
    assert_eq!(extents(&here), extents(&there));
    for snapshot in [&here, &there] {
        assert!(snapshot.disk().read_vec(0, bytes.len()).unwrap() == bytes);
    }
    assert_eq!(here.tally(), there.tally());
    conformance::read(&here.disk().slice(0..bytes.len() as u64).unwrap(), &bytes);
}

#[test]
fn changes_are_the_blocks_that_differ() {
    let before = volume(&mut fastrand::Rng::with_seed(8), 20);
    let mut after = before.clone();
    after[5 << 19] ^= 1;
    after[(7 << 19) + 100..(9 << 19)].fill(0x55);
    let (_folder, ebs) = folder(&[(A, &before), (B, &after), ("snap-0c", &after[1..])]);
    let changes = ebs.snapshot(B).unwrap().changes_since(A).unwrap();
    let found: Vec<u64> = changes.blocks.runs().flatten().collect();
    assert_eq!((found, changes.to_fetch()), (vec![5, 7, 8], 3));
    let error = ebs.snapshot(B).unwrap().changes_since("snap-0c").unwrap_err();
    assert_eq!(error.kind(), FaultKind::Unrelated);
}

#[test]
fn what_is_not_there_is_said() {
    let (_folder, ebs) = folder(&[(A, &[1; 512])]);
    for (id, kind) in [(B, FaultKind::NotFound), ("snap-../x", FaultKind::Invalid)] {
        let error = ebs.snapshot(id).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(ebs.instance_set("i-0abc").unwrap_err().kind(), FaultKind::NotFound);
}
