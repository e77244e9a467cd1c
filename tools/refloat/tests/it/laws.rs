//! The laws of the design that can be seen from outside, over every synthetic guest.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::Digest;
use testimages::synthetic::{self, Generation, SyntheticGuest, WRAPPINGS};
use testimages::{judge, lvm};

use crate::program::{command, failure, json, refloat};

/// One guest, in a folder of its own, and what it is planned for.
struct Case {
    guest: &'static SyntheticGuest,
    folder: tempfile::TempDir,
    /// Its file name.
    image: String,
    /// The options that say the goal.
    goal: String,
}

impl Case {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn image_path(&self) -> PathBuf {
        self.path().join(&self.image)
    }

    /// The plan; `None` where there is none to be had, because no system is in there, say. That writes
    /// nothing.
    fn plan(&self) -> Option<serde_json::Value> {
        let line = format!("plan {} {} -o plan.json --force", self.image, self.goal);
        let output = command(self.path(), &line).output().unwrap();
        let file = self.path().join("plan.json");
        match output.status.code() {
            Some(0 | 1) => Some(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()),
            Some(2) if !file.exists() => None,
            _ => panic!("{self}: {output:?}"),
        }
    }

    /// The plan, if it changes files.
    fn plan_with_edits(&self) -> Option<serde_json::Value> {
        self.plan().filter(|plan| !named(plan).is_empty())
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.guest.name, self.goal)
    }
}

fn guests() -> impl Iterator<Item = &'static SyntheticGuest> {
    synthetic::all().iter().chain([synthetic::demo()])
}

/// Every guest: for the machine it fits, and for one of any generation; each with some policy. With
/// `REFLOAT_LONG=1` for all there are.
fn each(law: u64, mut test: impl FnMut(&Case)) {
    let mut random = fastrand::Rng::with_seed(law);
    for guest in guests() {
        let own = match guest.generation {
            Generation::Gen1 => "azure-gen1",
            Generation::Gen2 => "azure-gen2",
        };
        let mut policy = || if random.bool() { "disable" } else { "azure" };
        let mut goals = vec![(own, policy())];
        let other = if own == "azure-gen1" { "azure-gen2" } else { "azure-gen1" };
        goals.push((other, policy()));
        if testimages::length::long() {
            let all = ["azure-gen1", "azure-gen2"]
                .map(|target| ["disable", "azure"].map(|policy| (target, policy)));
            goals = all.concat();
        } else if random.bool() {
            goals.truncate(1);
        }
        for (target, policy) in goals {
            let folder = tempfile::tempdir().unwrap();
            let Some(image) = guest.copy_into(folder.path()) else { return };
            let image = image.file_name().unwrap().to_str().unwrap().to_owned();
            let case = Case { guest, folder, image, goal: format!("--for {target} --cloud-init {policy}") };
            eprintln!("{case}");
            test(&case);
        }
    }
}

fn sha256(path: &Path) -> Vec<u8> {
    sha2::Sha256::digest(std::fs::read(path).unwrap()).to_vec()
}

/// Paths that a plan names.
fn named(plan: &serde_json::Value) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap();
    steps.iter().filter_map(|step| step["path"].as_str()).map(str::to_owned).collect()
}

/// Whether the plan moves all that is on the disk, which no change in place can.
fn moves(plan: &serde_json::Value) -> bool {
    plan["steps"].as_array().unwrap().iter().any(|step| step["op"] == "wrap")
}

#[test]
fn law_1_a_second_plan_is_empty() {
    each(1, |case| {
        if case.plan().is_none() {
            return;
        }
        refloat(case.path(), "apply plan.json -o fixed.qcow2", 0);
        let line = format!("plan fixed.qcow2 --allow-backing . {} -o second.json", case.goal);
        let output = command(case.path(), &line).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{case}: {output:?}");
        let second: serde_json::Value =
            serde_json::from_slice(&std::fs::read(case.path().join("second.json")).unwrap()).unwrap();
        assert_eq!(second["steps"], serde_json::json!([]), "{case}");
    });
}

/// (Killed at any write: `killed.rs`.)
#[test]
fn law_2_undo_restores_to_the_bit() {
    each(2, |case| {
        let image = case.image_path();
        let Some(plan) = case.plan_with_edits() else { return };
        let before = sha256(&image);
        if moves(&plan) {
            // There is nothing to undo: it cannot be done in place, and is not begun.
            failure(case.path(), "apply plan.json --in-place");
            failure(case.path(), &format!("undo {}", case.image));
            assert_eq!(sha256(&image), before, "{case}");
            return;
        }
        refloat(case.path(), "apply plan.json --in-place", 0);
        let applied = sha256(&image);
        assert_ne!(applied, before, "{case}");
        // Both may be said twice.
        refloat(case.path(), "apply plan.json --in-place", 0);
        assert_eq!(sha256(&image), applied, "{case}");
        refloat(case.path(), &format!("undo {}", case.image), 0);
        assert_eq!(sha256(&image), before, "{case}");
        failure(case.path(), &format!("undo {}", case.image));
        assert_eq!(sha256(&image), before, "{case}");
    });
}

#[test]
fn law_3_a_plan_refuses_another_image() {
    each(3, |case| {
        let Some(plan) = case.plan_with_edits() else { return };
        let other = guests().find(|other| other.name != case.guest.name).unwrap();
        let other = other.copy_into(case.path()).unwrap();
        let before = sha256(&other);
        let name = other.file_name().unwrap().to_str().unwrap();
        let said = failure(case.path(), &format!("apply plan.json -o fixed.qcow2 --image {name}"));
        assert!(said.contains("not the one the plan was made for"), "{said}");
        failure(case.path(), &format!("apply plan.json --in-place --image {name}"));
        assert_eq!(sha256(&other), before, "{case}");
        assert!(
            !case.path().join("fixed.qcow2").exists() && !case.path().join(format!("{name}.undo")).exists()
        );
        if moves(&plan) {
            return;
        }
        // Nor its own image, once that is another.
        refloat(case.path(), "apply plan.json --in-place", 0);
        std::fs::remove_file(case.path().join(format!("{}.undo", case.image))).unwrap();
        let changed = sha256(&case.image_path());
        failure(case.path(), "apply plan.json --in-place");
        assert_eq!(sha256(&case.image_path()), changed, "{case}");
    });
}

/// The formats that are read, of those that guests come wrapped in.
const READ: &[&str] = &["qcow2", "zlib.qcow2", "fixed.vhd"];

/// However the source is stored.
#[test]
fn law_4_equal_sources_make_equal_vhds() {
    let mut wrappings = WRAPPINGS.iter().cycle();
    each(4, |case| {
        let line = |from: &str, to: &str| format!("migrate {from} {to} --allow-blockers {}", case.goal);
        let wrapping = wrappings.next().unwrap();
        let wrapped = case.guest.wrapped(wrapping).unwrap();
        let wrapped = wrapped.to_str().unwrap();
        if !READ.contains(&wrapping.name) {
            let said = failure(case.path(), &line(wrapped, "none.vhd"));
            assert!(said.contains("not supported"), "{case} as {wrapping:?}: {said}");
            assert!(!case.path().join("none.vhd").exists(), "{case}");
        }
        // A disk that cannot be uploaded (too small, say) is written all the same, and the answer is no.
        let first = command(case.path(), &line(&case.image, "a.vhd")).output().unwrap();
        let answer = first.status.code().unwrap();
        if answer == 2 {
            assert!(!case.path().join("a.vhd").exists(), "{case}");
            return;
        }
        refloat(case.path(), &line(&case.image, "b.vhd"), answer);
        let (a, b) = (case.path().join("a.vhd"), case.path().join("b.vhd"));
        assert!(sha256(&a) == sha256(&b), "{case}");
        refloat(case.path(), "verify a.vhd", answer);
        judge::qemu_img_compare((&a, "vpc"), (&b, "vpc"));
        if READ.contains(&wrapping.name) {
            refloat(case.path(), &line(wrapped, "c.vhd"), answer);
            assert!(sha256(&a) == sha256(&case.path().join("c.vhd")), "{case} as {wrapping:?}");
        }
    });
}

/// Laws 5 and 6: as files, nothing changes but what the plan says; the file systems are clean for their own
/// judges, and the kernel reads in them what was planned.
#[test]
fn laws_5_and_6_nothing_else_changes_and_all_is_clean() {
    if !judge::need_kernel_mounts() {
        return;
    }
    each(5, |case| {
        let Some(plan) = case.plan() else { return };
        let before = tempfile::tempdir().unwrap();
        let before = trees(before.path(), &recovered(case.guest, before.path()));
        refloat(case.path(), "apply plan.json -o fixed.qcow2", 0);
        let fixed = case.path().join("fixed.qcow2");
        judge::qemu_img_check(&fixed, "qcow2");
        let image = if moves(&plan) {
            let image = case.path().join("fixed.raw");
            judge::qemu_img_convert((&fixed, "qcow2"), (&image, "raw"), "");
            image
        } else {
            refloat(case.path(), "apply plan.json --in-place", 0);
            judge::qemu_img_compare((&fixed, "qcow2"), (&case.image_path(), "raw"));
            case.image_path()
        };
        let after = trees(case.path(), &image);
        let named = named(&plan);
        let changed: Vec<&String> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .filter(|path| !named.iter().any(|name| name == *path || name.starts_with(&format!("{path}/"))))
            .collect();
        assert!(changed.is_empty(), "{case}: not in the plan: {changed:?}");
        arrived(case, &plan, &after);
    });
}

/// What the plan puts somewhere, the kernel finds there.
fn arrived(case: &Case, plan: &serde_json::Value, tree: &BTreeMap<String, String>) {
    for step in plan["steps"].as_array().unwrap() {
        let Some(path) = step["path"].as_str() else { continue };
        let found = tree.get(path).map_or("nothing", String::as_str);
        let planned = match step["op"].as_str().unwrap() {
            // The kernel here may have no FAT: mtools reads those, in `uefi.rs`.
            _ if path.starts_with("/boot/efi/") => continue,
            "remove" => "nothing".to_owned(),
            "put-link" => format!("link {}", step["target"].as_str().unwrap()),
            "put-file" => match step["content"]["text"].as_str() {
                Some(text) => format!("file {} {}", text.len(), hex(&sha2::Sha256::digest(text))),
                None => "file ".to_owned(),
            },
            other => panic!("{other}"),
        };
        assert!(found.contains(&planned), "{case}: {path} is {found}, and {planned} was planned");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A copy of the guest whose dirty journals the kernel has replayed: what a plan starts from.
fn recovered(guest: &SyntheticGuest, folder: &Path) -> PathBuf {
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
    let volumes = volumes(folder, image);
    let physical: Vec<_> =
        volumes.iter().filter(|volume| volume["kind"] == "LVM2_member").map(range).collect();
    let mut all = BTreeMap::new();
    for volume in &volumes {
        let name = volume["name"].as_str().unwrap();
        let copy = volume["logical"].is_object().then(|| lvm::cut(image, &physical, name));
        let (file, range) = match &copy {
            Some(copy) => (copy.path(), 0..copy.as_file().metadata().unwrap().len()),
            None => (image, range(volume)),
        };
        match volume["kind"].as_str() {
            Some("ext2" | "ext3" | "ext4") => judge::e2fsck_clean(file, range.start),
            Some("xfs") => judge::xfs_repair(file, range.clone()),
            Some("vfat") => {
                // The kernel here may have none; mtools reads it, in `uefi.rs`.
                judge::fsck_vfat(file, range);
                continue;
            }
            _ => continue,
        }
        let Some(point) = volume["mounted_at"].as_str() else { continue };
        let point = point.trim_end_matches('/');
        // Another test may have the same file system mounted, which only XFS minds.
        let options = if volume["kind"] == "xfs" { "ro,nouuid" } else { "ro" };
        let mount = judge::KernelMount::with_options(file, range, options);
        let files = judge::manifest(mount.path()).into_iter();
        all.extend(files.map(|(path, line)| (format!("{point}{path}"), line)));
    }
    all
}
