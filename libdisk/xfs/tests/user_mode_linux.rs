//! What kernels of today leave out, or may: version 4, and quotas. User-mode Linux is the judge, running this
//! program.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a failed test says what user-mode Linux said")]

mod support;

use std::path::Path;

use support::{Image, OLD, find, populate};
use testimages::judge;
use testimages::mounted::Mounted;
use testimages::population::{at, pattern};
use testimages::user_mode_linux::{self, DISK, MOUNT, SHARE};
use vfs::conformance::{Capabilities, ModelRun, Subject, compare, fixed_cases, model};
use vfs::{Attributes, FileSystem, FileSystemMut};

/// Boots user-mode Linux, and runs tasks there, each with the image mounted with these options.
#[track_caller]
fn inside(image: &Image, tasks: &[(&str, &str)]) {
    let step = |(options, task): &(&str, &str)| {
        let task = user_mode_linux::have("task_inside", &format!("{task} {}", image.path().display()));
        format!("mount -t xfs -o {options} {DISK} {MOUNT}\n{task}\numount {MOUNT}\n")
    };
    let steps: String = tasks.iter().map(step).collect();
    user_mode_linux::boot(image.path(), &format!("{steps}touch {SHARE}/done"));
}

#[test]
#[ignore = "runs inside user-mode Linux"]
fn task_inside() {
    let Some(task) = user_mode_linux::task() else { return };
    let (verb, image) = task.split_once(' ').unwrap();
    let root = Path::new(MOUNT);
    match verb {
        "populate" => populate(root, 600),
        "remove" => {
            for entry in std::fs::read_dir(root).unwrap() {
                let path = entry.unwrap().path();
                judge::tool("chattr").args(["-R", "-i"]).arg(&path).output().ok();
                judge::run(judge::tool("rm").arg("-rf").arg(path));
            }
        }
        _ => {
            let fs = xfs::open(block::Disk::new(block::FileDisk::open(Path::new(image)).unwrap())).unwrap();
            if let Err(difference) = compare(&fs, &Mounted::new(root)) {
                panic!("we and the kernel differ: {difference}");
            }
        }
    }
}

struct Volume(Image);

impl Subject for Volume {
    fn capabilities(&self) -> Capabilities {
        // Times end in 2038.
        Capabilities { symlinks: Some(1023), nanoseconds: false, ..Capabilities::UNIX }
    }

    fn open(&mut self) -> Box<dyn FileSystemMut + '_> {
        Box::new(self.0.open_mut())
    }

    fn judge(&mut self) {
        self.0.repair();
    }
}

#[test]
fn what_the_kernel_wrote_is_read_and_edited() {
    if !user_mode_linux::need() {
        return;
    }
    for variant in OLD {
        let Some(image) = Image::on_disk(variant, 64 << 20) else { return };
        eprintln!("{}", variant.name);
        inside(&image, &[("rw", "populate"), ("ro", "compare")]);
        let mut volume = Volume(image);
        let operations = if support::long() { 10_000 } else { 300 };
        model(&mut volume, &ModelRun { seed: 4, operations, batch: 100, largest_file: 1 << 20 });
        inside(&volume.0, &[("ro", "compare"), ("rw", "remove")]);
        volume.0.repair();
        assert!(volume.0.open().info().unwrap().features.contains(&"v4".to_owned()));
    }
}

#[test]
fn fixed_cases_of_version_4() {
    let Some(variant) = OLD.first().filter(|_| judge::need_all(&["mkfs.xfs", "xfs_repair"])) else { return };
    fixed_cases(&mut || Box::new(Volume(Image::on_disk(variant, 48 << 20).unwrap())));
}

/// `sb_qflags`: what was counted.
fn counted(image: &Image) -> u16 {
    let bytes = image.disk().read_vec(176, 2).unwrap();
    u16::from_be_bytes([bytes[0], bytes[1]]) & 0x504
}

#[test]
fn quotas_are_counted_anew() {
    if !user_mode_linux::need() {
        return;
    }
    let Some(image) = Image::on_disk(&find("default"), 64 << 20) else { return };
    let mount = "uquota,gquota,pquota";
    inside(&image, &[(mount, "populate")]);
    image.repair();
    assert_eq!(counted(&image), 0x504);

    let mut fs = image.open_mut();
    let mut change = fs.begin().unwrap();
    let etc = at(change.fs(), "etc");
    for number in 0..40_u32 {
        let owned = Attributes { mode: 0o644, uid: number % 3, gid: 70_000, ..Attributes::default() };
        change.create(etc, format!("{number}").as_bytes(), &owned, &pattern(9000, number.into())).unwrap();
    }
    change.unlink(at(change.fs(), "boot"), b"file-70000").unwrap();
    change.commit().unwrap();
    image.repair();
    assert_eq!(counted(&image), 0, "the old counts still count");

    // The kernel counts when it mounts, and xfs_repair checks what it counted.
    inside(&image, &[(mount, "compare")]);
    assert_eq!(counted(&image), 0x504);
    image.repair();
}
