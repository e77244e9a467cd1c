//! The image for containers: nothing but the program, the glibc that it runs with, and the certificates that it
//! trusts. By buildah, from no base image.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::target::Target;
use super::tools;
use super::{Dist, VERSION, glibc, packages, payload, said};
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

/// Makes it, where this machine has what it takes: buildah, Debian's glibc of the target, and certificates.
pub(super) fn make(dist: &Dist) -> Result<Option<PathBuf>> {
    let needed = [("buildah", "/usr/bin/buildah"), ("apt", glibc::APT), ("ca-certificates", AUTHORITIES)];
    let missing: Vec<&str> =
        needed.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect();
    let (Some(tree), true) = (&dist.glibc, missing.is_empty()) else {
        println!("no image for {}: this machine lacks {}", dist.target.arch, missing.join(", "));
        return Ok(None);
    };
    let root = root(dist.target, tree)?;
    let file = dist.named("oci.tar");
    drop(fs::remove_file(&file));
    let container = said(buildah().args(["from", "scratch"]))?;
    let made = fill(dist, &container, &root, &file);
    said(buildah().args(["rm", &container]))?;
    made?;
    Ok(Some(file))
}

/// The folder that becomes the image's root.
fn root(target: &Target, glibc: &Path) -> Result<PathBuf> {
    let root = top().join("target/image");
    drop(fs::remove_dir_all(&root));
    for folder in ["usr/bin", "usr/lib", "etc/ssl/certs", "usr/share/doc/refloat", "usr/share/doc/libc6"] {
        fs::create_dir_all(root.join(folder))?;
    }
    // buildah gives a folder that it makes itself no such mode.
    for folder in ["tmp", "var/tmp"] {
        fs::create_dir_all(root.join(folder))?;
        fs::set_permissions(root.join(folder), Permissions::from_mode(0o1777))?;
    }
    for (link, folder) in [("lib", "usr/lib"), ("lib64", "usr/lib")] {
        symlink(folder, root.join(link))?;
    }
    // The loader, the libraries, and their licence.
    for entry in fs::read_dir(glibc::libraries(glibc, target)?)? {
        let entry = entry?;
        let name = entry.file_name();
        let wanted =
            ["ld-", "libc.", "libm.", "libdl.", "libpthread.", "librt.", "libutil.", "libnss_", "libresolv."];
        if wanted.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            fs::copy(entry.path(), root.join("usr/lib").join(&name))?;
        }
    }
    fs::copy(glibc.join("usr/share/doc/libc6/copyright"), root.join("usr/share/doc/libc6/copyright"))?;
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
    // Whoever runs it mounts a folder over the second.
    for (from, to, owner) in [(root, "/", "0:0"), (&*empty, "/data", USER)] {
        let mut copy = buildah();
        copy.args(["copy", "--quiet", "--chown", owner]);
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
