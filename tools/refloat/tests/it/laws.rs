//! The laws of the design that can be seen from outside, over every synthetic guest, of one disk or several.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::Digest;
use testimages::judge::Depth;
use testimages::synthetic::{self, Generation, SyntheticGuest, SyntheticMachine, WRAPPINGS};
use testimages::{judge, lvm};

use crate::program::{command, failure, json, refloat};

/// A guest, on one disk or several.
#[derive(Clone, Copy)]
enum Guest {
    One(&'static SyntheticGuest),
    Several(&'static SyntheticMachine),
}

impl Guest {
    fn all() -> impl Iterator<Item = Self> {
        let single =
            synthetic::all().iter().chain([synthetic::demo()]).chain(synthetic::windows()).map(Self::One);
        single.chain(synthetic::machines().iter().map(Self::Several))
    }

    fn name(self) -> &'static str {
        match self {
            Self::One(guest) => guest.name,
            Self::Several(machine) => machine.name,
        }
    }

    fn generation(self) -> Generation {
        match self {
            Self::One(guest) => guest.generation,
            Self::Several(machine) => machine.generation,
        }
    }

    /// Its images, that of the disk that it starts from first.
    fn copy_into(self, folder: &Path) -> Option<Vec<PathBuf>> {
        match self {
            Self::One(guest) => Some(vec![guest.copy_into(folder)?]),
            Self::Several(machine) => machine.copy_into(folder),
        }
    }

    /// Its images in another format, and what that is called.
    fn wrapped(self, turn: usize, folder: &Path) -> (&'static str, Vec<PathBuf>) {
        match self {
            Self::One(guest) => {
                let wrapping = &WRAPPINGS[turn % WRAPPINGS.len()];
                (wrapping.name, vec![guest.wrapped(wrapping).unwrap()])
            }
            Self::Several(machine) => {
                let raw = machine.paths().unwrap();
                let wrap = |(number, image): (usize, PathBuf)| {
                    let to = folder.join(format!("wrapped-{number}.qcow2"));
                    judge::qemu_img_convert((&image, "raw"), (&to, "qcow2"), "");
                    to
                };
                ("qcow2", raw.into_iter().enumerate().map(wrap).collect())
            }
        }
    }
}

/// As the disks of a machine are typed.
fn typed<N: AsRef<Path>>(images: &[N]) -> String {
    let names: Vec<_> = images.iter().map(|image| image.as_ref().to_str().unwrap()).collect();
    names.join(" --disk ")
}

/// One guest, in a folder of its own, and what it is planned for.
struct Case {
    guest: Guest,
    folder: tempfile::TempDir,
    images: Vec<PathBuf>,
    /// Its file names, as they are typed.
    set: String,
    /// The options that say the goal.
    goal: String,
}

impl Case {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file name of the disk that it starts from.
    fn first(&self) -> &str {
        self.images[0].file_name().unwrap().to_str().unwrap()
    }

    /// What is on all disks.
    fn contents(&self) -> Vec<Vec<u8>> {
        self.images.iter().map(|image| sha256(image)).collect()
    }

    /// The plan; `None` where there is none to be had, because no system is in there, say. That writes
    /// nothing.
    fn plan(&self) -> Option<serde_json::Value> {
        let line = format!("plan {} {} -o plan.json --force", self.set, self.goal);
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

    /// Carries the plan out in an overlay over each disk; those.
    fn applied(&self) -> Vec<PathBuf> {
        let output = if self.images.len() == 1 { "fixed.qcow2" } else { "fixed" };
        let applied = json(self.path(), &format!("apply plan.json -o {output}"), 0);
        match applied["disks"].as_array() {
            None => vec![self.path().join(output)],
            Some(disks) => disks.iter().map(|disk| self.path().join(disk.as_str().unwrap())).collect(),
        }
    }

    fn migrate(&self, from: &str, to: &str) -> String {
        format!("migrate {from} {to}.vhd --allow-blockers {}", self.goal)
    }

    /// The VHDs that a migration to `name` has made.
    fn vhds(&self, name: &str) -> Vec<PathBuf> {
        let file = |number: usize| match number {
            0 => format!("{name}.vhd"),
            _ => format!("{name}-data{number}.vhd"),
        };
        (0..self.images.len()).map(|number| self.path().join(file(number))).collect()
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.guest.name(), self.goal)
    }
}

/// Every guest: for the machine it fits, and for one of any generation; each with some policy. With
/// `REFLOAT_LONG=1` for all there are.
fn each(law: u64, mut test: impl FnMut(&Case)) {
    let mut random = fastrand::Rng::with_seed(law);
    for guest in Guest::all() {
        let own = match guest.generation() {
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
            let Some(images) = guest.copy_into(folder.path()) else { continue };
            let set = typed(&images.iter().map(|image| image.file_name().unwrap()).collect::<Vec<_>>());
            let case =
                Case { guest, folder, images, set, goal: format!("--for {target} --cloud-init {policy}") };
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
        let fixed = typed(&case.applied());
        let line = format!("plan {fixed} --allow-backing . {} -o second.json", case.goal);
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
        let Some(plan) = case.plan_with_edits() else { return };
        let (before, undo) = (case.contents(), format!("undo {}", case.first()));
        if moves(&plan) {
            // There is nothing to undo: it cannot be done in place, and is not begun.
            failure(case.path(), "apply plan.json --in-place");
            failure(case.path(), &undo);
            assert!(case.contents() == before, "{case}");
            return;
        }
        refloat(case.path(), "apply plan.json --in-place", 0);
        let applied = case.contents();
        assert!(applied != before, "{case}");
        // Both may be said twice.
        refloat(case.path(), "apply plan.json --in-place", 0);
        assert!(case.contents() == applied, "{case}");
        refloat(case.path(), &undo, 0);
        assert!(case.contents() == before, "{case}");
        failure(case.path(), &undo);
        assert!(case.contents() == before, "{case}");
    });
}

#[test]
fn law_3_a_plan_refuses_another_image() {
    each(3, |case| {
        let Some(plan) = case.plan_with_edits() else { return };
        let other = Guest::all().find(|other| other.name() != case.guest.name()).unwrap();
        let other = other.copy_into(case.path()).unwrap().remove(0);
        let (before, others) = (case.contents(), sha256(&other));
        let name = other.file_name().unwrap().to_str().unwrap().to_owned();
        // In the place of any of its disks.
        for number in 0..case.images.len() {
            let mut images: Vec<_> = case.images.iter().map(|image| image.file_name().unwrap()).collect();
            images[number] = name.as_ref();
            let line = format!("apply plan.json --image {}", typed(&images));
            let said = failure(case.path(), &format!("{line} -o fixed.qcow2"));
            assert!(said.contains("not the one the plan was made for"), "{case}: {said}");
            failure(case.path(), &format!("{line} --in-place"));
            assert!(case.contents() == before && sha256(&other) == others, "{case}");
            assert!(!case.path().join("fixed.qcow2").exists(), "{case}");
        }
        let undo = |image: &Path| PathBuf::from(format!("{}.undo", image.display()));
        assert!(case.images.iter().chain([&other]).all(|image| !undo(image).exists()), "{case}");
        if moves(&plan) {
            return;
        }
        // Nor its own image, once that is another.
        refloat(case.path(), "apply plan.json --in-place", 0);
        for image in case.images.iter().filter(|image| undo(image).exists()) {
            std::fs::remove_file(undo(image)).unwrap();
        }
        let changed = case.contents();
        failure(case.path(), "apply plan.json --in-place");
        assert!(case.contents() == changed, "{case}");
    });
}

/// However the source is stored.
#[test]
fn law_4_equal_sources_make_equal_vhds() {
    let mut turns = 0..;
    each(4, |case| {
        let (wrapping, wrapped) = case.guest.wrapped(turns.next().unwrap(), case.path());
        let wrapped = typed(&wrapped);
        // A disk that cannot be uploaded (too small, say) is written all the same, and the answer is no.
        let first = command(case.path(), &case.migrate(&case.set, "a")).output().unwrap();
        let answer = first.status.code().unwrap();
        if answer == 2 {
            assert!(!case.path().join("a.vhd").exists(), "{case}");
            return;
        }
        refloat(case.path(), &case.migrate(&case.set, "b"), answer);
        refloat(case.path(), &case.migrate(&wrapped, "c"), answer);
        let (of_b, of_c) = (case.vhds("b"), case.vhds("c"));
        for ((a, b), c) in case.vhds("a").iter().zip(&of_b).zip(&of_c) {
            assert!(sha256(a) == sha256(b), "{case}");
            refloat(case.path(), &format!("verify {}", a.display()), answer);
            judge::qemu_img_compare((a, "vpc"), (b, "vpc"));
            assert!(sha256(a) == sha256(c), "{case} as {wrapping}");
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
        let fixed = case.applied();
        for overlay in &fixed {
            judge::qemu_img_check(overlay, "qcow2");
        }
        let images = if moves(&plan) {
            let image = case.path().join("fixed.raw");
            judge::qemu_img_convert((&fixed[0], "qcow2"), (&image, "raw"), "");
            vec![image]
        } else {
            refloat(case.path(), "apply plan.json --in-place", 0);
            for (overlay, image) in fixed.iter().zip(&case.images) {
                judge::qemu_img_compare((overlay, "qcow2"), (image, "raw"));
            }
            case.images.clone()
        };
        let after = trees(case.path(), &images);
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
            _ if path.starts_with("/boot/efi/") || path.starts_with("/System:/EFI/") => continue,
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
fn recovered(guest: Guest, folder: &Path) -> Vec<PathBuf> {
    let images = guest.copy_into(folder).unwrap();
    for volume in volumes(folder, &images) {
        if volume["needs_recovery"] == true {
            let (image, range) = place(&volume, &images);
            drop(judge::KernelMount::read_write(image, range));
        }
    }
    images
}

fn volumes(folder: &Path, images: &[PathBuf]) -> Vec<serde_json::Value> {
    json(folder, &format!("inspect {}", typed(images)), 0)["machine"]["volumes"].as_array().unwrap().clone()
}

/// The image that a volume is in, and where it is there.
fn place<'a>(volume: &serde_json::Value, images: &'a [PathBuf]) -> (&'a Path, Range<u64>) {
    let number = |name: &str| volume["range"][name].as_u64().unwrap();
    (&images[number("disk") as usize], number("start")..number("end"))
}

/// All files of the guest by their path in it, from the kernel's own mounts; judged clean on the way.
fn trees(folder: &Path, images: &[PathBuf]) -> BTreeMap<String, String> {
    let volumes = volumes(folder, images);
    let physical: Vec<_> = volumes
        .iter()
        .filter(|volume| volume["kind"] == "LVM2_member")
        .map(|volume| place(volume, images))
        .collect();
    let mut all = BTreeMap::new();
    for volume in &volumes {
        let name = volume["name"].as_str().unwrap();
        let copy = volume["logical"].is_object().then(|| lvm::cut_from(&physical, name));
        let (file, range) = match &copy {
            Some(copy) => (copy.path(), 0..copy.as_file().metadata().unwrap().len()),
            None => place(volume, images),
        };
        match volume["kind"].as_str() {
            Some("ext2" | "ext3" | "ext4") => judge::e2fsck_clean(file, range.start),
            Some("xfs") => judge::xfs_repair(file, range.clone()),
            Some("vfat") => {
                // The kernel here may have none; mtools reads it, in `uefi.rs`.
                judge::fsck_vfat(file, range);
                continue;
            }
            Some("ntfs") => {
                let cut = judge::cut(file, range);
                let complaints = judge::ntfs_complaints(cut.path(), Depth::Structures);
                assert!(complaints.is_empty(), "{name}: {complaints:?}");
                if let Some(point) = volume["mounted_at"].as_str() {
                    let files = judge::ntfs_manifest(cut.path()).into_iter();
                    all.extend(
                        files.map(|(path, line)| (format!("{}{path}", point.trim_end_matches('/')), line)),
                    );
                }
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
