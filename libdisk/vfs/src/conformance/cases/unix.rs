//! What Unix file systems have: links, owners, attributes, exact times.

use super::{attributes, content, create, link, mkdir, rename, replace, set_xattr, time, unlink};
use crate::conformance::trial::{Trial, at};
use crate::{Attributes, FsError, Timestamp, Transaction};

pub(super) fn hard_links(trial: &mut Trial<'_>) {
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

pub(super) fn symlinks(trial: &mut Trial<'_>) {
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

pub(super) fn owners(trial: &mut Trial<'_>) {
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

pub(super) fn xattrs(trial: &mut Trial<'_>) {
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

pub(super) fn recycled_nodes(trial: &mut Trial<'_>) {
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

pub(super) fn nanoseconds(trial: &mut Trial<'_>) {
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

pub(super) fn lacks(trial: &mut Trial<'_>) {
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
