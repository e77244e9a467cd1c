//! The laws of the design that can be seen from outside, over every phony guest.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use testimages::judge;
use testimages::phony::{self, Generation, PhonyGuest};

use crate::program::{failure, json, refloat};

fn target(guest: &PhonyGuest) -> &'static str {
    match guest.generation {
        Generation::Gen1 => "azure-gen1",
        Generation::Gen2 => "azure-gen2",
    }
}

/// Every guest, copied into a folder of its own.
fn each(mut test: impl FnMut(&PhonyGuest, &Path, &str)) {
    for guest in phony::all() {
        let folder = tempfile::tempdir().unwrap();
        let Some(image) = guest.copy_into(folder.path()) else { return };
        eprintln!("{}", guest.name);
        test(guest, folder.path(), image.file_name().unwrap().to_str().unwrap());
    }
}

/// Whether the guest can be planned at all: a disk without a system, say, cannot.
fn plan(guest: &PhonyGuest, folder: &Path, image: &str) -> Option<serde_json::Value> {
    let line = format!("plan {image} --for {} -o plan.json --json", target(guest));
    let output = crate::program::command(folder, &line).output().unwrap();
    matches!(output.status.code(), Some(0 | 1))
        .then(|| serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap())
}

fn sha256(path: &Path) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(std::fs::read(path).unwrap()).to_vec()
}

/// Paths that a plan names.
fn named(plan: &serde_json::Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap();
    steps.iter().filter_map(|step| step["path"].as_str()).map(str::to_owned).collect()
}

#[test]
fn law_1_a_second_plan_is_empty() {
    each(|guest, folder, image| {
        if plan(guest, folder, image).is_none() {
            return;
        }
        refloat(folder, "apply plan.json -o fixed.qcow2", 0);
        let line = format!("plan fixed.qcow2 --allow-backing . --for {} -o second.json", target(guest));
        let output = crate::program::command(folder, &line).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", guest.name);
        let second: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("second.json")).unwrap()).unwrap();
        assert_eq!(second["steps"], serde_json::json!([]), "{}", guest.name);
    });
}

#[test]
fn law_2_undo_restores_to_the_bit() {
    each(|guest, folder, image| {
        if plan(guest, folder, image).is_none_or(|plan| named(&plan).is_empty()) {
            return;
        }
        let before = sha256(&folder.join(image));
        refloat(folder, "apply plan.json --in-place", 0);
        assert_ne!(sha256(&folder.join(image)), before, "{}", guest.name);
        refloat(folder, &format!("undo {image}"), 0);
        assert_eq!(sha256(&folder.join(image)), before, "{}", guest.name);
    });
}

#[test]
fn law_3_a_plan_refuses_another_image() {
    let guests: Vec<_> = phony::all().iter().collect();
    each(|guest, folder, image| {
        if plan(guest, folder, image).is_none_or(|plan| named(&plan).is_empty()) {
            return;
        }
        let other = guests.iter().find(|other| other.name != guest.name).unwrap();
        let other = other.copy_into(folder).unwrap();
        let before = sha256(&other);
        let name = other.file_name().unwrap().to_str().unwrap();
        let said = failure(folder, &format!("apply plan.json --in-place --image {name}"));
        assert!(said.contains("not the one the plan was made for"), "{said}");
        failure(folder, &format!("apply plan.json -o fixed.qcow2 --image {name}"));
        assert_eq!(sha256(&other), before, "{}", guest.name);
        assert!(!folder.join("fixed.qcow2").exists() && !folder.join(format!("{name}.undo")).exists());
    });
}

#[test]
fn law_4_equal_sources_make_equal_vhds() {
    each(|guest, folder, image| {
        let line = |out: &str| format!("migrate {image} {out} --allow-blockers --for {}", target(guest));
        // A disk that cannot be uploaded (too small, say) is written all the same, and the answer is no.
        let answer = crate::program::command(folder, &line("a.vhd")).output().unwrap().status.code().unwrap();
        if answer == 2 {
            return;
        }
        refloat(folder, &line("b.vhd"), answer);
        assert!(sha256(&folder.join("a.vhd")) == sha256(&folder.join("b.vhd")), "{}", guest.name);
        refloat(folder, "verify a.vhd", answer);
        judge::qemu_img_compare((&folder.join("a.vhd"), "vpc"), (&folder.join("b.vhd"), "vpc"));
    });
}

/// Laws 5 and 6: as files, nothing changes but what the plan says, and the file systems are clean for their own judges.
#[test]
fn laws_5_and_6_nothing_else_changes_and_all_is_clean() {
    if !judge::need_kernel_mounts() {
        return;
    }
    each(|guest, folder, image| {
        let Some(plan) = plan(guest, folder, image) else { return };
        let image = folder.join(image);
        let before = tempfile::tempdir().unwrap();
        let before = trees(before.path(), &recovered(guest, before.path()));
        refloat(folder, "apply plan.json --in-place", 0);
        let after = trees(folder, &image);
        let named = named(&plan);
        let changed: Vec<&String> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .filter(|path| !named.iter().any(|name| name == *path || name.starts_with(&format!("{path}/"))))
            .collect();
        assert!(changed.is_empty(), "{}: not in the plan: {changed:?}", guest.name);
    });
}

/// A copy of the guest whose dirty journals the kernel has replayed: what a plan starts from.
fn recovered(guest: &PhonyGuest, folder: &Path) -> PathBuf {
    let image = guest.copy_into(folder).unwrap();
    for volume in volumes(folder, &image) {
        if volume["needs_recovery"] == true {
            drop(judge::KernelMount::read_write(&image, range(&volume)));
        }
    }
    image
}

fn volumes(folder: &Path, image: &Path) -> Vec<serde_json::Value> {
    let name = image.file_name().unwrap().to_str().unwrap();
    json(folder, &format!("inspect {name}"), 0)["machine"]["volumes"].as_array().unwrap().clone()
}

fn range(volume: &serde_json::Value) -> Range<u64> {
    volume["range"]["start"].as_u64().unwrap()..volume["range"]["end"].as_u64().unwrap()
}

/// All files of the guest by their path in it, from the kernel's own mounts; judged clean on the way.
fn trees(folder: &Path, image: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for volume in volumes(folder, image) {
        match volume["kind"].as_str() {
            Some("ext2" | "ext3" | "ext4") => {
                judge::e2fsck_clean(image, range(&volume).start);
                let Some(point) = volume["mounted_at"].as_str() else { continue };
                let mount = judge::KernelMount::with_options(image, range(&volume), "ro");
                let point = point.trim_end_matches('/');
                let files = judge::manifest(mount.path()).into_iter();
                all.extend(files.map(|(path, line)| (format!("{point}{path}"), line)));
            }
            Some("vfat") => judge::fsck_vfat(image, range(&volume)),
            _ => {}
        }
    }
    all
}
