//! Real kernels for the tests: a Debian package's modules, unpacked and indexed by the real `depmod`, kept in
//! the cache.
#![allow(dead_code, reason = "every test file is a program of its own, and uses its part")]

pub(crate) mod image;
pub(crate) mod newc;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use initramfs::{Error, ModuleTree, Request, Result};
use testimages::{cache, judge};

/// A directory that holds `lib/modules/<kver>`.
pub(crate) struct Kernel {
    pub(crate) base: PathBuf,
    pub(crate) kver: String,
}

impl Kernel {
    /// The kernel of a Debian meta package; `None`, visibly, where it cannot be had.
    pub(crate) fn debian(meta: &str) -> Option<Self> {
        if !judge::need_all(&["apt-get", "dpkg-deb", "depmod"]) {
            return None;
        }
        match cache::cached("kernel", &[b"modules and depmod", meta.as_bytes()], |out| download(meta, out)) {
            Ok(base) => Some(Self::at(base)),
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs {meta}: {error:#}");
                judge::skip(&format!("the Debian package {meta}: {error:#}"));
                None
            }
        }
    }

    /// The Debian kernel for clouds: the one small enough for every test.
    pub(crate) fn cloud() -> Option<Self> {
        Self::debian("linux-image-cloud-amd64")
    }

    pub(crate) fn at(base: PathBuf) -> Self {
        let entry = fs::read_dir(base.join("lib/modules")).unwrap().next().unwrap().unwrap();
        Self { base, kver: entry.file_name().into_string().unwrap() }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.base.join("lib/modules").join(&self.kver)
    }

    /// A file that must be there.
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        fs::read(self.directory().join(path)).unwrap()
    }

    /// A copy whose modules are compressed by a real program and indexed again, as `make modules_install`
    /// does it.
    pub(crate) fn compressed(&self, program: &str, arguments: &[&str], suffix: &str, into: &Path) -> Self {
        let copy = Self { base: into.to_owned(), kver: self.kver.clone() };
        for path in self.list().unwrap() {
            let wanted =
                ["drivers/hv", "drivers/scsi", "drivers/net/hyperv", "crc", "t10", "hyperv", "drivers/nvme"];
            let is_module = path.ends_with(".ko");
            if is_module && !wanted.iter().any(|part| path.contains(part)) || path.ends_with(".bin") {
                continue;
            }
            let to = copy.directory().join(&path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(&to, self.file(&path)).unwrap();
            if is_module {
                judge::run(Command::new(program).args(arguments).arg(&to));
                let _ = fs::remove_file(&to);
                assert!(to.with_file_name(format!("{}{suffix}", to.file_name().unwrap().display())).exists());
            }
        }
        depmod(&copy.base, &copy.kver).unwrap();
        copy
    }
}

impl ModuleTree for Kernel {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.directory().join(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::tree(path, error)),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        walk(&self.directory(), "", &mut paths);
        Ok(paths)
    }
}

pub(crate) fn walk(directory: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths);
        } else {
            paths.push(path);
        }
    }
}

fn download(meta: &str, out: &Path) -> anyhow::Result<()> {
    let depends = Command::new("apt-cache").args(["depends", meta]).output()?;
    let depends = String::from_utf8(depends.stdout)?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
        .context("apt knows no such package")?;
    let base = out.join("kernel");
    fs::create_dir(&base)?;
    let package = format!("linux-image-{package}");
    let downloaded = Command::new("apt-get").args(["download", "-q", &package]).current_dir(out).output()?;
    ensure!(downloaded.status.success(), "{}", String::from_utf8_lossy(&downloaded.stderr));
    let deb = fs::read_dir(out)?.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some());
    let deb = deb.context("apt left no package")?;
    ensure!(Command::new("dpkg-deb").arg("-x").args([&deb, &base]).status()?.success(), "dpkg-deb failed");
    fs::remove_file(deb)?;
    let kver = Kernel::at(base.clone()).kver;
    depmod(&base, &kver)
}

fn depmod(base: &Path, kver: &str) -> anyhow::Result<()> {
    let depmod = judge::need("depmod").context("depmod")?;
    ensure!(Command::new(depmod).arg("-b").arg(base).arg(kver).status()?.success(), "depmod failed");
    Ok(())
}

/// What a guest on Hyper-V needs, what is worth having early, and what is to be loaded first.
pub(crate) const REQUIRED: &[&str] = &["hv_vmbus", "hv_storvsc", "sd_mod"];
pub(crate) const DESIRED: &[&str] =
    &["hv_netvsc", "hv_utils", "hyperv_keyboard", "hid_hyperv", "pci_hyperv", "sr_mod", "nvme", "nvme_core"];
pub(crate) const FIRST: &[&str] = &["hv_vmbus", "hv_storvsc", "hv_netvsc"];

/// A request for a guest on Hyper-V.
pub(crate) fn request<'a>(kver: &'a str, modules: &'a [&'a str], tree: &'a dyn ModuleTree) -> Request<'a> {
    Request { required: REQUIRED, first: FIRST, ..Request::new(kver, modules, tree) }
}
