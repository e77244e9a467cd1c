//! Directories, and the names in them.

use super::{attributes, create, mkdir, rename, replace, unlink};
use crate::conformance::trial::{Trial, at, expect_error};
use crate::{FsError, Transaction};

pub(super) fn directories(trial: &mut Trial<'_>) {
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

pub(super) fn errors(trial: &mut Trial<'_>) {
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

pub(super) fn name_lengths(trial: &mut Trial<'_>) {
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

pub(super) fn bad_names(trial: &mut Trial<'_>) {
    trial.commit(&|change| create(change, "/", "file", 10));
    for name in ["", ".", "..", "a/b", "a\0b"] {
        trial.refuse(FsError::Invalid("".into()), &|change| create(change, "/", name, 1));
        trial.refuse(FsError::Invalid("".into()), &|change| mkdir(change, "/", name));
        trial.refuse(FsError::Invalid("".into()), &|change| rename(change, ("/", "file"), ("/", name)));
    }
}

pub(super) fn file_renames(trial: &mut Trial<'_>) {
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

pub(super) fn directory_renames(trial: &mut Trial<'_>) {
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

pub(super) fn many_names(trial: &mut Trial<'_>) {
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

pub(super) fn byte_names(trial: &mut Trial<'_>) {
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

pub(super) fn letter_case(trial: &mut Trial<'_>) {
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
