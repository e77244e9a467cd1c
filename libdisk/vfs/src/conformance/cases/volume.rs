//! The volume as a whole: transactions, and its space.

use super::{attributes, create, mkdir, rename, replace, time, unlink};
use crate::conformance::trial::{Trial, at};
use crate::{FsError, Transaction};

pub(super) fn rollback(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        mkdir(change, "/", "empty")?;
        create(change, "/dir", "old", 100_000)?;
        create(change, "/dir", "other", 10)
    });
    trial.roll_back(&|_| Ok(()));
    trial.roll_back(&|change| {
        replace(change, "/dir/old", 200_000)?;
        create(change, "/dir", "new", 300_000)?;
        (0..300).try_for_each(|index| create(change, "/empty", &format!("file {index}"), 10))?;
        mkdir(change, "/dir", "sub")?;
        rename(change, ("/dir", "other"), ("/", "other"))?;
        unlink(change, "/dir", "old")
    });
    trial.commit(&|change| {
        unlink(change, "/", "empty")?;
        replace(change, "/dir/old", 50_000)
    });
}

pub(super) fn full_volume(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        create(change, "/", "kept", 100_000)
    });
    let free =
        |trial: &mut Trial<'_>| trial.look(|fs| fs.free(u64::MAX).expect("the volume can be described"));
    let before = free(trial);
    assert!(before <= 256 << 20, "the suite wants a smaller volume");
    // More than is free, even when the file that is replaced gives its space back first.
    let too_much = vec![0x55; usize::try_from(before).expect("it is small") + 200_000];
    trial.refuse_alone(FsError::NoSpace(""), &|change| {
        let root = change.fs().root();
        change.create(root, b"too much", &attributes(1), &too_much).map(drop)
    });
    trial.refuse_alone(FsError::NoSpace(""), &|change| {
        let kept = at(change, "/kept")?;
        change.replace(kept, &too_much, time(1))
    });
    drop(too_much);
    let add =
        |change: &mut dyn Transaction, index: usize| create(change, "/dir", &format!("file{index}"), 1 << 20);
    let fill =
        |change: &mut dyn Transaction, files: usize| (0..files).try_for_each(|index| add(change, index));
    let files = trial.look_in_change(|change| (0..).take_while(|index| add(change, *index).is_ok()).count());
    trial.refuse_alone(FsError::NoSpace(""), &|change| fill(change, files + 1));
    trial.commit(&|change| fill(change, files));
    trial.commit(&|change| replace(change, "/kept", 99_000));
    trial.commit(&|change| {
        (0..files).try_for_each(|index| unlink(change, "/dir", &format!("file{index}")))?;
        unlink(change, "/", "dir")
    });
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        replace(change, "/kept", 100_000)
    });
    assert_eq!(free(trial), before, "space was lost, or made of nothing");
}

pub(super) fn free_ranges(trial: &mut Trial<'_>) {
    let check = |trial: &mut Trial<'_>| {
        trial.look(|fs| {
            let size = fs.info().expect("the volume can be described").size;
            let ranges = fs.free_ranges().expect("the free ranges can be read");
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size), "{ranges:?}");
            let apart = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
            assert!(apart, "free ranges ascend and are merged: {ranges:?}");
            ranges.iter().map(|range| range.end - range.start).sum::<u64>()
        })
    };
    let before = check(trial);
    trial.commit(&|change| create(change, "/", "file", 5 << 20));
    let after = check(trial);
    assert!(before == 0 || before - after >= 5 << 20, "a file of 5 MiB takes {before} - {after} bytes");
}
