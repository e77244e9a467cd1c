//! Scripts of known difficulty.

use super::trial::{Trial, at, expect_error};
use super::{Capabilities, Rng, Subject};
use crate::{Attributes, FsError, Result, Timestamp, Transaction};

/// A case: its name, what the format must be able to do, and the script.
type Case = (&'static str, fn(&Capabilities) -> bool, fn(&mut Trial<'_>));

const CASES: &[Case] = &[
    ("file sizes", always, file_sizes),
    ("replaced content", always, replaced_content),
    ("partial reads", always, partial_reads),
    ("directories", always, directories),
    ("what is there and what is not", always, errors),
    ("lengths of names", always, name_lengths),
    ("bad names", always, bad_names),
    ("renames of files", always, file_renames),
    ("renames of directories", always, directory_renames),
    ("thousands of names", always, many_names),
    ("rollback", always, rollback),
    ("many changes of one file in a transaction", always, many_changes_of_one_file),
    ("a full volume", always, full_volume),
    ("free ranges", always, free_ranges),
    ("bytes as names", |can| can.byte_names, byte_names),
    ("upper and lower case", |can| !can.byte_names, letter_case),
    ("hard links", |can| can.hard_links, hard_links),
    ("symbolic links", |can| can.symlinks.is_some(), symlinks),
    ("owners", |can| can.owners, owners),
    ("extended attributes", |can| can.xattrs.is_some(), xattrs),
    ("recycled nodes", |can| can.xattrs.is_some(), recycled_nodes),
    ("nanoseconds", |can| can.nanoseconds, nanoseconds),
    ("what the format lacks", |can| *can == Capabilities::FAT, lacks),
];

/// Runs all fixed cases, each on a new volume; those that the format cannot do are left out.
///
/// # Panics
/// If a case fails; the message names it.
pub fn fixed_cases(new_volume: &mut dyn FnMut() -> Box<dyn Subject>) {
    for (name, can, run) in CASES {
        let mut subject = new_volume();
        if can(&subject.capabilities()) {
            let named = NameOnPanic(name);
            run(&mut Trial::new(&mut *subject));
            drop(named);
        }
    }
}

/// Tells which case was running when the driver, or an assertion, panicked.
struct NameOnPanic(&'static str);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(self.0);
        }
    }
}

#[expect(clippy::print_stderr, reason = "this library is a test suite, and the panic is under way")]
fn tell(case: &str) {
    eprintln!("this was the conformance case \"{case}\"");
}

fn always(_: &Capabilities) -> bool {
    true
}

/// Attributes with an even number of seconds, so that FAT can keep them.
fn attributes(second: i64) -> Attributes {
    Attributes { mode: 0o644, uid: 1000, gid: 100, time: time(second), xattrs: Vec::new() }
}

fn time(second: i64) -> Timestamp {
    Timestamp { seconds: 1_600_000_000 + 2 * second, nanos: 0 }
}

fn content(len: usize) -> Vec<u8> {
    Rng::new(len as u64).bytes(len)
}

fn create(change: &mut dyn Transaction, dir: &str, name: &str, len: usize) -> Result<()> {
    let dir = at(change, dir)?;
    change.create(dir, name.as_bytes(), &attributes(1), &content(len)).map(drop)
}

fn mkdir(change: &mut dyn Transaction, dir: &str, name: &str) -> Result<()> {
    let dir = at(change, dir)?;
    change.mkdir(dir, name.as_bytes(), &Attributes { mode: 0o755, ..attributes(2) }).map(drop)
}

fn replace(change: &mut dyn Transaction, path: &str, len: usize) -> Result<()> {
    let file = at(change, path)?;
    change.replace(file, &content(len), time(3))
}

fn rename(change: &mut dyn Transaction, from: (&str, &str), to: (&str, &str)) -> Result<()> {
    let (from_dir, to_dir) = (at(change, from.0)?, at(change, to.0)?);
    change.rename(from_dir, from.1.as_bytes(), to_dir, to.1.as_bytes())
}

fn unlink(change: &mut dyn Transaction, dir: &str, name: &str) -> Result<()> {
    let dir = at(change, dir)?;
    change.unlink(dir, name.as_bytes())
}

fn link(change: &mut dyn Transaction, dir: &str, name: &str, existing: &str) -> Result<()> {
    let (dir, node) = (at(change, dir)?, at(change, existing)?);
    change.link(dir, name.as_bytes(), node)
}

fn set_xattr(change: &mut dyn Transaction, path: &str, name: &str, value: Option<&[u8]>) -> Result<()> {
    let node = at(change, path)?;
    change.set_xattr(node, name.as_bytes(), value)
}

/// Lengths around a block, and one that needs many.
fn lengths(trial: &mut Trial<'_>) -> Vec<usize> {
    let block = trial.look(|fs| fs.info().expect("the volume can be described").block_size) as usize;
    vec![0, 1, block - 1, block, block + 1, 13 * block + 7, 5 << 20]
}

fn file_sizes(trial: &mut Trial<'_>) {
    let lengths = lengths(trial);
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        for len in &lengths {
            create(change, "/", &format!("file{len}"), *len)?;
            create(change, "/dir", &format!("file{len}"), *len)?;
        }
        Ok(())
    });
}

fn replaced_content(trial: &mut Trial<'_>) {
    let lengths = lengths(trial);
    trial.commit(&|change| {
        for len in &lengths {
            create(change, "/", &format!("file{len}"), *len)?;
        }
        Ok(())
    });
    // Every file takes on every length: longer, shorter, the same, empty, and from empty.
    for turn in 1..lengths.len() {
        trial.commit(&|change| {
            for (index, len) in lengths.iter().enumerate() {
                replace(change, &format!("/file{len}"), lengths[(index + turn) % lengths.len()])?;
            }
            Ok(())
        });
    }
    trial.commit(&|change| replace(change, "/file0", 0));
}

fn partial_reads(trial: &mut Trial<'_>) {
    let lengths = lengths(trial);
    trial.commit(&|change| {
        lengths.iter().try_for_each(|len| create(change, "/", &format!("file{len}"), *len))
    });
    trial.look(|fs| {
        let mut rng = Rng::new(7);
        for len in &lengths {
            let file = fs.lookup(fs.root(), format!("file{len}").as_bytes()).expect("the file is there");
            let content = content(*len);
            for _ in 0..40 {
                let (offset, wanted) = (rng.below(len + 2), rng.below(9000));
                let mut buf = vec![0xAA; wanted];
                let got = fs.read_at(file, &mut buf, offset as u64).expect("the file can be read");
                let expected = &content[offset.min(*len)..(offset + wanted).min(*len).max(offset.min(*len))];
                assert_eq!(&buf[..got], expected, "{wanted} bytes from byte {offset} of {len}");
                assert!(buf[got..].iter().all(|byte| *byte == 0xAA), "a read writes past what it got");
            }
            let far = fs.read_at(file, &mut [0; 16], u64::MAX - 3).expect("a read past the end gets nothing");
            assert_eq!(far, 0, "a read far past the end gets nothing");
        }
    });
}

fn directories(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        mkdir(change, "/", "a")?;
        mkdir(change, "/a", "b")?;
        mkdir(change, "/a/b", "c")?;
        create(change, "/a/b/c", "file", 100)
    });
    trial.refuse(FsError::NotEmpty, &|change| unlink(change, "/a/b", "c"));
    trial.refuse(FsError::NotEmpty, &|change| unlink(change, "/", "a"));
    trial.commit(&|change| {
        unlink(change, "/a/b/c", "file")?;
        unlink(change, "/a/b", "c")
    });
    trial.commit(&|change| mkdir(change, "/a/b", "c"));
    trial.commit(&|change| {
        unlink(change, "/a/b", "c")?;
        unlink(change, "/a", "b")?;
        unlink(change, "/", "a")
    });
    trial.commit(&|change| {
        let mut path = String::new();
        for depth in 0..40 {
            mkdir(change, &path, &format!("level{depth}"))?;
            path.push_str(&format!("/level{depth}"));
        }
        create(change, &path, "deepest", 10)
    });
}

fn errors(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        create(change, "/", "file", 10)
    });
    for name in ["dir", "file"] {
        trial.refuse(FsError::Exists, &|change| create(change, "/", name, 1));
        trial.refuse(FsError::Exists, &|change| mkdir(change, "/", name));
    }
    trial.refuse(FsError::NotFound, &|change| unlink(change, "/", "missing"));
    trial.refuse(FsError::NotFound, &|change| rename(change, ("/", "missing"), ("/", "new")));
    trial.refuse(FsError::NotADirectory, &|change| create(change, "/file", "x", 1));
    trial.refuse(FsError::NotADirectory, &|change| mkdir(change, "/file", "x"));
    trial.refuse(FsError::NotADirectory, &|change| unlink(change, "/file", "x"));
    trial.refuse(FsError::NotADirectory, &|change| rename(change, ("/", "dir"), ("/file", "x")));
    trial.refuse(FsError::Invalid("".into()), &|change| replace(change, "/dir", 1));
    trial.look(|fs| {
        let node = |name: &str| fs.lookup(fs.root(), name.as_bytes()).expect("it is there");
        let (dir, file) = (node("dir"), node("file"));
        expect_error("lookup", &FsError::NotFound, fs.lookup(dir, b"missing"));
        expect_error("lookup", &FsError::NotFound, fs.lookup(dir, b""));
        expect_error("lookup", &FsError::NotADirectory, fs.lookup(file, b"x"));
        expect_error("read_dir", &FsError::NotADirectory, fs.read_dir(file));
        expect_error("read_at", &FsError::IsADirectory, fs.read_at(dir, &mut [0; 4], 0));
        expect_error("read_link", &FsError::Invalid("".into()), fs.read_link(file));
        expect_error("read_link", &FsError::Invalid("".into()), fs.read_link(dir));
    });
}

fn name_lengths(trial: &mut Trial<'_>) {
    let name = |len: usize, letter: &str| format!("{len}{}", letter.repeat(255))[..len].to_owned();
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        (3..=255).try_for_each(|len| create(change, "/dir", &name(len, "n"), 0))?;
        create(change, "/dir", "x", 1)?;
        create(change, "/dir", "yy", 1)?;
        mkdir(change, "/dir", &name(255, "d"))
    });
    for len in [256, 300, 1000] {
        let name = "z".repeat(len);
        trial.refuse(FsError::Invalid("".into()), &|change| create(change, "/", &name, 1));
        trial.refuse(FsError::Invalid("".into()), &|change| mkdir(change, "/", &name));
        trial.refuse(FsError::Invalid("".into()), &|change| rename(change, ("/", "dir"), ("/", &name)));
    }
    trial.commit(&|change| {
        (3..=255).step_by(2).try_for_each(|len| unlink(change, "/dir", &name(len, "n")))?;
        (4..=254).step_by(2).try_for_each(|len| {
            let longer = name(len + 1, "m");
            rename(change, ("/dir", &name(len, "n")), ("/dir", &longer))
        })
    });
}

fn bad_names(trial: &mut Trial<'_>) {
    trial.commit(&|change| create(change, "/", "file", 10));
    for name in ["", ".", "..", "a/b", "a\0b"] {
        trial.refuse(FsError::Invalid("".into()), &|change| create(change, "/", name, 1));
        trial.refuse(FsError::Invalid("".into()), &|change| mkdir(change, "/", name));
        trial.refuse(FsError::Invalid("".into()), &|change| rename(change, ("/", "file"), ("/", name)));
    }
}

fn file_renames(trial: &mut Trial<'_>) {
    let long = "a longer name than the one before, by far. ".repeat(5) + "txt";
    trial.commit(&|change| {
        mkdir(change, "/", "a")?;
        mkdir(change, "/", "b")?;
        create(change, "/a", "one", 10_000)?;
        create(change, "/a", "two", 20)?;
        create(change, "/b", "three", 30_000)
    });
    trial.commit(&|change| rename(change, ("/a", "one"), ("/a", &long)));
    trial.commit(&|change| rename(change, ("/a", &long), ("/b", "one")));
    trial.commit(&|change| rename(change, ("/b", "one"), ("/b", "three")));
    trial.commit(&|change| rename(change, ("/a", "two"), ("/b", "three")));
    trial.commit(&|change| rename(change, ("/b", "three"), ("/b", "three")));
    trial.commit(&|change| rename(change, ("/b", "three"), ("/", "three")));
    trial.refuse(FsError::IsADirectory, &|change| rename(change, ("/", "three"), ("/", "a")));
    trial.refuse(FsError::NotADirectory, &|change| rename(change, ("/", "a"), ("/", "three")));
}

fn directory_renames(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        for name in ["a", "b", "empty"] {
            mkdir(change, "/", name)?;
        }
        mkdir(change, "/a", "sub")?;
        mkdir(change, "/a/sub", "deep")?;
        create(change, "/a/sub/deep", "file", 5000)
    });
    for to in ["/a", "/a/sub", "/a/sub/deep"] {
        trial.refuse(FsError::Invalid("".into()), &|change| rename(change, ("/", "a"), (to, "new")));
    }
    trial.commit(&|change| rename(change, ("/a", "sub"), ("/b", "moved")));
    trial.commit(&|change| create(change, "/b/moved", "new", 1));
    trial.refuse(FsError::NotEmpty, &|change| rename(change, ("/", "a"), ("/", "b")));
    trial.commit(&|change| rename(change, ("/", "b"), ("/", "empty")));
    trial.commit(&|change| rename(change, ("/", "empty"), ("/", "back")));
    trial.commit(&|change| rename(change, ("/back/moved", "deep"), ("/", "deep")));
    trial.commit(&|change| rename(change, ("/", "back"), ("/", "back")));
    trial.commit(&|change| rename(change, ("/", "back"), ("/a", "back")));
}

fn many_names(trial: &mut Trial<'_>) {
    let name = |index: usize| format!("a name of usual length, number {index}");
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        (0..2000).try_for_each(|index| create(change, "/dir", &name(index), index % 3))
    });
    trial.commit(&|change| (0..2000).step_by(2).try_for_each(|index| unlink(change, "/dir", &name(index))));
    trial.commit(&|change| {
        (2000..2300).try_for_each(|index| create(change, "/dir", &name(index), 1))?;
        (1..500).step_by(2).try_for_each(|index| {
            let new = name(index) + &" renamed".repeat(index % 9);
            rename(change, ("/dir", &name(index)), ("/dir", &new))
        })
    });
    trial.commit(&|change| {
        let dir = at(change, "/dir")?;
        let names: Vec<_> = change.fs().read_dir(dir)?.into_iter().map(|entry| entry.name).collect();
        names.iter().try_for_each(|name| change.unlink(dir, name))?;
        unlink(change, "/", "dir")
    });
}

fn rollback(trial: &mut Trial<'_>) {
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

fn many_changes_of_one_file(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        create(change, "/", "file", 10)?;
        for turn in 0..20 {
            replace(change, "/file", 3000 * (20 - turn))?;
            rename(change, ("/", "file"), ("/", "moved"))?;
            create(change, "/", "file", 10)?;
            rename(change, ("/", "moved"), ("/", "file"))?;
        }
        unlink(change, "/", "file")?;
        mkdir(change, "/", "file")?;
        unlink(change, "/", "file")?;
        create(change, "/", "file", 77)
    });
}

fn full_volume(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        create(change, "/", "kept", 100_000)
    });
    let free = |trial: &mut Trial<'_>| trial.look(|fs| fs.info().expect("the volume can be described").free);
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

fn free_ranges(trial: &mut Trial<'_>) {
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

fn byte_names(trial: &mut Trial<'_>) {
    let names: Vec<Vec<u8>> = (1..=255).filter(|byte| *byte != b'/').map(|byte| vec![b'n', byte]).collect();
    let create = |change: &mut dyn Transaction| {
        let root = change.fs().root();
        for name in &names {
            change.create(root, name, &attributes(1), b"x")?;
        }
        for name in [&b"..."[..], b" ", b"a ", b"a.", b"A", b"a", b"\xff\xfe", b"con", b"*?<>|\"\\:"] {
            change.mkdir(root, name, &attributes(1))?;
        }
        Ok(())
    };
    trial.commit(&create);
    trial.commit(&|change| {
        let root = change.fs().root();
        names.iter().try_for_each(|name| change.unlink(root, name))
    });
}

fn letter_case(trial: &mut Trial<'_>) {
    trial.commit(&|change| create(change, "/", "ReadMe First.TXT", 10));
    trial.look(|fs| {
        for name in ["readme first.txt", "README FIRST.TXT", "ReadMe First.TXT"] {
            assert!(fs.lookup(fs.root(), name.as_bytes()).is_ok(), "{name} is not found");
        }
    });
    trial.refuse_alone(FsError::Exists, &|change| create(change, "/", "readme first.txt", 1));
    trial.commit(&|change| rename(change, ("/", "ReadMe First.TXT"), ("/", "readme FIRST.txt")));
    trial.commit(&|change| create(change, "/", "Größe.txt", 10));
    trial.look(|fs| assert!(fs.lookup(fs.root(), "größe.TXT".as_bytes()).is_ok(), "größe.TXT is not found"));
}

fn hard_links(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        mkdir(change, "/", "dir")?;
        create(change, "/", "file", 5000)?;
        create(change, "/", "other", 6000)?;
        link(change, "/", "second", "/file")?;
        link(change, "/dir", "third", "/file")
    });
    trial.commit(&|change| replace(change, "/dir/third", 9000));
    trial.commit(&|change| unlink(change, "/", "file"));
    trial.commit(&|change| rename(change, ("/", "second"), ("/dir", "third")));
    trial.commit(&|change| rename(change, ("/", "other"), ("/", "second")));
    trial.commit(&|change| unlink(change, "/dir", "third"));
    trial.refuse(FsError::IsADirectory, &|change| link(change, "/", "dir2", "/dir"));
    trial.commit(&|change| create(change, "/", "file", 1));
    trial.refuse(FsError::Exists, &|change| link(change, "/", "file", "/file"));
    trial.refuse(FsError::Exists, &|change| link(change, "/", "dir", "/file"));
    trial.refuse(FsError::Invalid("".into()), &|change| link(change, "/", &"x".repeat(256), "/file"));
    trial
        .commit(&|change| (0..200).try_for_each(|index| link(change, "/dir", &format!("l{index}"), "/file")));
}

fn symlinks(trial: &mut Trial<'_>) {
    let longest = trial.capabilities.symlinks.unwrap_or(0);
    let lengths = [1, 58, 59, 60, 61, 62, 120, 255, 256, 900, 1022, 1023, 1024, 2048, 4000, 4094, 4095];
    let target = |len: usize| format!("/{}", "target/".repeat(600))[..len].to_owned();
    let symlink = |change: &mut dyn Transaction, name: &str, len: usize| {
        let root = change.fs().root();
        let attributes = Attributes { mode: 0o777, ..attributes(4) };
        change.symlink(root, name.as_bytes(), &attributes, target(len).as_bytes()).map(drop)
    };
    trial.commit(&|change| {
        let lengths = lengths.iter().filter(|len| **len <= longest);
        lengths.into_iter().try_for_each(|len| symlink(change, &format!("link{len}"), *len))
    });
    trial.refuse(FsError::Exists, &|change| symlink(change, "link1", 7));
    trial.refuse(FsError::NotADirectory, &|change| create(change, "/link1", "x", 1));
    trial.refuse(FsError::Invalid("".into()), &|change| replace(change, "/link1", 1));
    trial.refuse(FsError::Invalid("".into()), &|change| symlink(change, "new", 0));
    trial.commit(&|change| {
        create(change, "/", "file", 10)?;
        rename(change, ("/", "link1"), ("/", "link59"))?;
        rename(change, ("/", "link59"), ("/", "file"))?;
        rename(change, ("/", "link255"), ("/", "link60"))
    });
    trial.commit(&|change| {
        let root = change.fs().root();
        for entry in change.fs().read_dir(root)? {
            if entry.name.starts_with(b"link") {
                change.unlink(root, &entry.name)?;
            }
        }
        Ok(())
    });
}

fn owners(trial: &mut Trial<'_>) {
    trial.commit(&|change| {
        let root = change.fs().root();
        for (index, mode) in [0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777].into_iter().enumerate() {
            let attributes = Attributes { mode, uid: 70_000 + u32::from(mode), gid: 80_000, ..attributes(5) };
            change.create(root, format!("file{index}").as_bytes(), &attributes, b"x")?;
            change.mkdir(root, format!("dir{index}").as_bytes(), &attributes)?;
        }
        Ok(())
    });
    trial.commit(&|change| {
        let set = |change: &mut dyn Transaction, path: &str, mode, uid, gid| {
            let node = at(change, path)?;
            change.set_owner(node, mode, uid, gid)
        };
        set(change, "/file0", 0o7777, 0, 0)?;
        set(change, "/file1", 0o600, u32::MAX - 1, 65_536)?;
        set(change, "/dir2", 0o2770, 65_535, u32::MAX - 1)
    });
    trial.commit(&|change| replace(change, "/file2", 10));
}

fn xattrs(trial: &mut Trial<'_>) {
    let largest = trial.capabilities.xattrs.unwrap_or(0);
    trial.commit(&|change| {
        let root = change.fs().root();
        let label = b"system_u:object_r:etc_t:s0\0".to_vec();
        let xattrs = vec![(b"user.empty".to_vec(), vec![]), (b"security.selinux".to_vec(), label)];
        let attributes = Attributes { xattrs, ..attributes(6) };
        change.create(root, b"file", &attributes, b"x")?;
        change.mkdir(root, b"dir", &attributes)?;
        create(change, "/", "plain", 10)
    });
    trial.commit(&|change| {
        set_xattr(change, "/plain", "user.new", Some(b"value"))?;
        set_xattr(change, "/plain", "trusted.new", Some(b"trusted value"))?;
        set_xattr(
            change,
            "/file",
            "security.selinux",
            Some(b"a longer label, so that the value must move elsewhere"),
        )?;
        set_xattr(change, "/dir", "security.selinux", Some(b"short"))
    });
    trial.commit(&|change| set_xattr(change, "/plain", "user.large", Some(&content(largest))));
    trial.commit(&|change| set_xattr(change, "/plain", "user.large", Some(&content(largest / 2))));
    trial.commit(&|change| set_xattr(change, "/file", "user.empty", None));
    trial.commit(&|change| set_xattr(change, "/plain", "user.large", None));
    trial.commit(&|change| {
        let value = content(largest / 40);
        (0..15).try_for_each(|index| set_xattr(change, "/dir", &format!("user.number{index}"), Some(&value)))
    });
    trial.commit(&|change| {
        (0..15)
            .step_by(2)
            .try_for_each(|index| set_xattr(change, "/dir", &format!("user.number{index}"), None))
    });
    // Equal values may be shared between nodes; a change of one must leave the other alone.
    trial.commit(&|change| {
        set_xattr(change, "/plain", "user.large", Some(&content(largest)))?;
        set_xattr(change, "/file", "user.large", Some(&content(largest)))
    });
    trial.commit(&|change| set_xattr(change, "/plain", "user.large", Some(b"small")));
    trial.commit(&|change| {
        unlink(change, "/", "file")?;
        unlink(change, "/", "dir")?;
        replace(change, "/plain", 5000)
    });
}

fn recycled_nodes(trial: &mut Trial<'_>) {
    let largest = trial.capabilities.xattrs.unwrap_or(0);
    trial.commit(&|change| {
        let root = change.fs().root();
        for index in 0..60 {
            let label = format!("label {index}").into_bytes();
            let mut xattrs = vec![(b"security.selinux".to_vec(), label)];
            if index % 3 == 0 {
                xattrs.push((b"user.large".to_vec(), content(largest)));
            }
            let attributes = Attributes { mode: 0o7777, uid: 1, gid: 2, xattrs, time: time(7) };
            change.create(root, format!("old{index}").as_bytes(), &attributes, &content(8000))?;
        }
        Ok(())
    });
    trial.commit(&|change| {
        (0..60).try_for_each(|index| unlink(change, "/", &format!("old{index}")))?;
        (0..30).try_for_each(|index| create(change, "/", &format!("new{index}"), index))?;
        (30..60).try_for_each(|index| mkdir(change, "/", &format!("new{index}")))
    });
}

fn nanoseconds(trial: &mut Trial<'_>) {
    let times = [(0, 1), (1_600_000_000, 999_999_999), (2_147_483_648, 5), (4_294_967_296, 7), (-1, 500)];
    trial.commit(&|change| {
        let root = change.fs().root();
        for (index, (seconds, nanos)) in times.into_iter().enumerate() {
            let attributes = Attributes { time: Timestamp { seconds, nanos }, ..attributes(8) };
            change.create(root, format!("file{index}").as_bytes(), &attributes, b"x")?;
        }
        Ok(())
    });
    trial.commit(&|change| {
        let file = at(change, "/file0")?;
        change.replace(file, b"y", Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 })
    });
}

fn lacks(trial: &mut Trial<'_>) {
    trial.commit(&|change| create(change, "/", "file", 10));
    trial.refuse_alone(FsError::unsupported(""), &|change| {
        let root = change.fs().root();
        change.symlink(root, b"link", &attributes(1), b"file").map(drop)
    });
    trial.refuse_alone(FsError::unsupported(""), &|change| link(change, "/", "second", "/file"));
    trial.refuse_alone(FsError::unsupported(""), &|change| {
        set_xattr(change, "/file", "user.name", Some(b"value"))
    });
}
