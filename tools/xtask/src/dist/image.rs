//! The image for containers: nothing but the program, the glibc that it runs with, and the certificates that it
//! trusts. By buildah, from no base image.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::target::Target;
use super::tools;
use super::{Dist, VERSION, packages, payload, said};
use crate::top;

/// Who the program is there: nobody whom a host knows.
pub(super) const USER: &str = "65532:65532";

/// The certificates of Debian's ca-certificates.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What programs read of a system, beside the libraries.
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nrefloat:x:65532:65532:refloat:/data:/sbin/nologin\n"),
    ("etc/group", "root:x:0:\nrefloat:x:65532:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// buildah, keeping all that is its own below `target`; root needs no user namespace for it.
pub(super) fn buildah() -> Command {
    let mut buildah = Command::new("buildah");
    let kept = top().join("target/buildah");
    buildah.arg("--root").arg(kept.join("root")).arg("--runroot").arg(kept.join("run"));
    buildah.args(["--storage-driver", "vfs"]).current_dir(top());
    buildah
}

/// Makes it, where this machine has what goes into it: Debian's glibc of the target, and buildah.
pub(super) fn make(dist: &Dist) -> Result<Option<PathBuf>> {
    let missing =
        [("buildah", "/usr/bin/buildah"), ("apt-get", "/usr/bin/apt-get"), ("ca-certificates", AUTHORITIES)];
    let missing = missing.into_iter().filter(|(_, file)| !Path::new(file).exists());
    let mut missing: Vec<&str> = missing.map(|(package, _)| package).collect();
    if !dist.target.is_here() {
        missing.push("a glibc for it");
    }
    if !missing.is_empty() {
        println!("no image for {}: this machine lacks {}", dist.target.arch, missing.join(", "));
        return Ok(None);
    }
    let root = root(dist.target)?;
    let file = dist.named("oci.tar");
    drop(fs::remove_file(&file));
    let container = said(buildah().args(["from", "scratch"]))?;
    let made = fill(dist, &container, &root, &file);
    said(buildah().args(["rm", &container]))?;
    made?;
    Ok(Some(file))
}

/// The folder that becomes the image's root.
fn root(target: &Target) -> Result<PathBuf> {
    let root = top().join("target/image");
    let glibc = top().join("target/glibc");
    for folder in [&root, &glibc] {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder)?;
    }
    // libc6 as Debian has it: the loader, the libraries, and its licence.
    let mut download = Command::new("apt-get");
    download.args(["download", "-q", &format!("libc6:{}", target.deb)]).current_dir(&glibc);
    // Its own user of downloads may not write here, and says so.
    tools::run(download.args(["-o", "APT::Sandbox::User=root"]))?;
    let package = fs::read_dir(&glibc)?.next().context("apt-get downloaded nothing")??.path();
    tools::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(glibc.join("tree")))?;
    let tree = glibc.join("tree");
    let triple = format!("{}-linux-gnu", target.arch);
    for folder in ["usr/bin", "usr/lib", "etc/ssl/certs", "usr/share/doc/refloat", "usr/share/doc/libc6"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for (link, folder) in [("lib", "usr/lib"), ("lib64", "usr/lib")] {
        symlink(folder, root.join(link))?;
    }
    for entry in fs::read_dir(tree.join("lib").join(&triple))? {
        let entry = entry?;
        let name = entry.file_name();
        let wanted =
            ["ld-", "libc.", "libm.", "libdl.", "libpthread.", "librt.", "libutil.", "libnss_", "libresolv."];
        if wanted.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            fs::copy(entry.path(), root.join("usr/lib").join(&name))?;
        }
    }
    fs::copy(tree.join("usr/share/doc/libc6/copyright"), root.join("usr/share/doc/libc6/copyright"))?;
    for (file, text) in FILES {
        fs::write(root.join(file), text)?;
    }
    fs::copy(AUTHORITIES, root.join("etc/ssl/certs/ca-certificates.crt"))?;
    fs::copy(payload::folder().join("refloat"), root.join("usr/bin/refloat"))?;
    for name in ["LICENSE-MIT.txt", "LICENSE-Apache-2.0.txt", "THIRD-PARTY.txt"] {
        fs::copy(payload::folder().join(name), root.join("usr/share/doc/refloat").join(name))?;
    }
    Ok(root)
}

/// Copies the root into a container, and makes the image of it.
fn fill(dist: &Dist, container: &str, root: &Path, file: &Path) -> Result<()> {
    let empty = top().join("target/empty");
    drop(fs::remove_dir_all(&empty));
    fs::create_dir_all(&empty)?;
    // What may be written are folders of their own: whoever runs it mounts the first.
    for (from, to, owner, mode) in [
        (root, "/", "0:0", None),
        (&*empty, "/data", USER, Some("0755")),
        (&*empty, "/tmp", "0:0", Some("1777")),
        (&*empty, "/var/tmp", "0:0", Some("1777")),
    ] {
        let mode = mode.map(|mode| format!("--chmod={mode}"));
        let mut copy = buildah();
        copy.args(["copy", "--quiet", "--chown", owner]).args(mode);
        said(copy.arg(container).arg(from).arg(to))?;
    }
    let labels = [("title", "refloat"), ("version", VERSION), ("licenses", "MIT OR Apache-2.0")];
    let labels = labels.map(|(name, value)| format!("--label=org.opencontainers.image.{name}={value}"));
    let mut config = buildah();
    config.args(["config", "--user", USER, "--workingdir", "/data", "--env", "HOME=/data"]).args(labels);
    config.args(["--volume", "/data", "--entrypoint", r#"["/usr/bin/refloat"]"#, "--cmd", "--help"]);
    said(config.args(["--arch", dist.target.deb, container]))?;
    // Not as an archive: buildah would date what is in it by now.
    let layout = top().join("target/oci");
    drop(fs::remove_dir_all(&layout));
    let mut commit = buildah();
    commit.args(["commit", "--quiet", "--disable-compression=false", "--timestamp", &dist.epoch, container]);
    said(commit.arg(format!("oci:{}:refloat:{VERSION}", layout.display())))?;
    tools::run(packages::tar(dist, &layout, file).args(["oci-layout", "index.json", "blobs"]))
}
