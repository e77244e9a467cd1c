//! The judges of NTFS. None alone is enough: of 18 kinds of damage ntfsfix sees two, and ntfsck most; an
//! entry that is not where it belongs is seen only by who looks up each name.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use super::{cut, find, manifest, need, need_kernel_mounts, run, sha256, shared, skip, tool};
use crate::cache;

/// What is asked of the judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Those that look at structures in milliseconds.
    Structures,
    /// All of them: also those that look up each name, and read all content.
    Everything,
}

/// What checkdisk says of a sound volume.
const NOTHING_FOUND: &[&str] = &[
    "0 torn, 0 runlist problem(s)",
    "mft record bitmap: verifying ...\n  consistent",
    "\n  0 lost file(s)",
    "0 mirror mismatch(es), 0 index problem(s), 0 unrepairable, 0 dangling reference(s)",
    "0 leaked bit(s), 0 missing bit(s)",
    "entries checked, 0 problem(s)",
    "0 dangling entries, 0 torn indexes",
];

/// `ntfsfix -n`, ntfsck, checkdisk, and a mount by ntfs-3g in which each name is looked up and each file
/// read: what they say against the NTFS that `image` is. Empty if nothing. Those that are not here are
/// skipped visibly.
///
/// # Panics
/// When a judge cannot be run.
#[track_caller]
pub fn ntfs_complaints(image: &Path, depth: Depth) -> Vec<String> {
    let mut complaints = Vec::new();
    if need("ntfsfix").is_some() {
        let mut ntfsfix = tool("ntfsfix");
        complaints.extend(judged("ntfsfix", ntfsfix.arg("-n").arg(image), |said, ok| {
            ok && said.contains("was processed successfully") && !said.contains("FAILED")
        }));
    }
    if let Some(ntfsck) = ntfsck() {
        complaints.extend(judged("ntfsck", Command::new(ntfsck).arg("-n").arg(image), |said, ok| {
            ok && said.contains("Clean, No errors found or left (errors:0")
        }));
    }
    if depth == Depth::Everything {
        if let Some(python) = checkdisk() {
            let mut checkdisk = Command::new(python);
            complaints.extend(judged(
                "checkdisk",
                checkdisk.args(["-m", "checkdisk", "/f"]).arg(image),
                |said, ok| ok && NOTHING_FOUND.iter().all(|line| said.contains(line)),
            ));
        }
        complaints.extend(by_name(image));
    }
    complaints
}

/// The NTFS in `range` of `image` has no error, as far as all judges look.
///
/// # Panics
/// With all that they say, when one of them sees an error.
#[track_caller]
pub fn ntfs(image: &Path, range: Range<u64>) {
    let cut = cut(image, range);
    let complaints = ntfs_complaints(cut.path(), Depth::Everything);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// All files of the NTFS that `image` is, as ntfs-3g mounts it: see [`manifest`].
///
/// # Panics
/// When it does not mount, or a file cannot be read.
#[track_caller]
pub fn ntfs_manifest(image: &Path) -> BTreeMap<String, String> {
    let point = tempfile::TempDir::with_prefix("refloat-mount-").expect("a temporary directory");
    run(tool("ntfs-3g").args(["-o", "ro,streams_interface=none"]).arg(image).arg(point.path()));
    let mounted = Mounted(point.path());
    manifest(mounted.0)
}

/// What a judge says, unless it is content.
fn judged(name: &str, command: &mut Command, content: impl FnOnce(&str, bool) -> bool) -> Option<String> {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace('\r', "\n");
    (!content(&said, output.status.success())).then(|| format!("--- {name}: {}\n{said}", output.status))
}

/// The ntfsck of the laboratory, with the loader that it needs.
fn ntfsck() -> Option<PathBuf> {
    const NAME: &str = "ntfsck";
    static UNPACKED: OnceLock<Result<PathBuf>> = OnceLock::new();
    let packed = shared()?.join("lab/ntfsck-1.0.0-debian-forky.tar.zst");
    need("zstd")?;
    let unpacked = UNPACKED.get_or_init(|| {
        let recipe = fs::read(&packed)?;
        cache::cached(NAME, &[&recipe], |out| {
            run(tool("tar").arg("--zstd").arg("-C").arg(out).arg("-xf").arg(&packed));
            Ok(())
        })
    });
    let unpacked = unpacked.as_ref().unwrap_or_else(|error| panic!("{error:?}"));
    Some(unpacked.join(NAME))
}

/// A Python that has checkdisk of PyPI, which wants Python 3.13.
fn checkdisk() -> Option<PathBuf> {
    const NAME: &str = "checkdisk";
    const VERSION: &str = "checkdisk==0.1.0";
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        // The shims of pyenv are there also where they lead to nothing.
        let pyenv = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
        let versions = pyenv.and_then(|versions| fs::read_dir(versions).ok()).into_iter().flatten().flatten();
        let pythons = versions.map(|version| version.path().join("bin/python3.13")).chain(find("python3.13"));
        let works = |python: &PathBuf| {
            Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        let python = pythons.into_iter().find(works)?;
        let environment = cache::cached(NAME, &[VERSION.as_bytes()], |out| {
            let environment = out.join(NAME);
            succeed(Command::new(&python).args(["-m", "venv"]).arg(&environment))?;
            let mut pip = Command::new(environment.join("bin/python"));
            succeed(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION]))
        });
        environment.ok().map(|environment| environment.join("bin/python"))
    });
    if made.is_none() {
        skip("checkdisk 0.1.0 of PyPI, under Python 3.13");
    }
    made.clone()
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What is wrong with a volume that ntfs-3g mounts: a name that is listed and not found, a file that
/// cannot be read.
fn by_name(image: &Path) -> Option<String> {
    if need("ntfs-3g").is_none() || !need_kernel_mounts() {
        return None;
    }
    let point = tempfile::TempDir::with_prefix("refloat-mount-").expect("a temporary directory");
    let mut mount = tool("ntfs-3g");
    mount.args(["-o", "ro,streams_interface=none"]).arg(image).arg(point.path());
    if let Some(refused) = judged("ntfs-3g", &mut mount, |_, ok| ok) {
        return Some(refused);
    }
    let mounted = Mounted(point.path());
    let mut left = vec![point.path().to_owned()];
    let mut complaints = Vec::new();
    while let Some(path) = left.pop() {
        let mut complain = |what: std::io::Error| complaints.push(format!("{}: {what}", path.display()));
        match fs::symlink_metadata(&path) {
            Err(error) => complain(error),
            Ok(meta) if meta.is_dir() => match fs::read_dir(&path) {
                Ok(names) => left.extend(names.filter_map(|name| Some(name.ok()?.path()))),
                Err(error) => complain(error),
            },
            Ok(meta) if meta.is_file() => {
                if std::panic::catch_unwind(|| sha256(&path)).is_err() {
                    complaints.push(format!("{}: it cannot be read", path.display()));
                }
            }
            Ok(_) => {}
        }
    }
    drop(mounted);
    (!complaints.is_empty()).then(|| format!("--- ntfs-3g, by name\n{}", complaints.join("\n")))
}

/// A mount by ntfs-3g, which ends with it.
struct Mounted<'m>(&'m Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        for _ in 0..50 {
            if tool("umount").arg(self.0).status().is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
