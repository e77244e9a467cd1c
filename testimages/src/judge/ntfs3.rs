//! Linux' own driver of NTFS, ntfs3: the kernel of Debian's package, in QEMU, with the volumes as disks.
//!
//! It reads clean volumes well; it is no judge of a log that is to be replayed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{find, need, need_all, run, tool};
use crate::cache;

/// The package that has the kernel of the name's version.
const PACKAGE: &str = "linux-image-6.12-cloud-amd64";

/// Reads all volumes, and says what is in them: each name is looked up again.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
insmod /ntfs3.ko
# What the firmware said may end in no line.
echo
n=0
while [ -e /dev/nvme${n}n1 ]; do
    if mount -t ntfs3 -o ro /dev/nvme${n}n1 /mnt; then
        cd /mnt
        find . -type f -exec sha256sum {} + | sed "s/^/FILE $n /"
        find . -type d -exec stat -c "DIR $n %n" {} +
        cd /
        umount /mnt
        echo "DONE $n"
    fi
    n=$((n+1))
done
dmesg | grep -i ntfs3 | sed "s/^/KERNEL /"
echo "END"
poweroff -f
"#;

/// What ntfs3 finds in each of these volumes: the SHA-256 of each file by its path, "dir" for a directory.
/// `None`, after a visible skip, where it cannot be asked. It takes half a minute.
///
/// # Panics
/// When a volume cannot be mounted, a name that is listed is not found, or the kernel complains.
#[track_caller]
pub fn ntfs3(volumes: &[&Path]) -> Option<Vec<BTreeMap<String, String>>> {
    if !need_all(&["qemu-system-x86_64", "apt-get", "dpkg-deb", "cpio", "busybox"]) {
        return None;
    }
    let machine = match cache::cached(NAME, &[INIT.as_bytes(), PACKAGE.as_bytes()], build) {
        Ok(machine) => machine,
        Err(error) => {
            super::missing(&format!("the Debian package {PACKAGE} ({error:#})"));
            return None;
        }
    };
    let mut qemu = Command::new(need("qemu-system-x86_64")?);
    qemu.args([
        "-M",
        "q35",
        "-accel",
        "tcg",
        "-cpu",
        "max,-la57,-pku",
        "-m",
        "512",
        "-nodefaults",
        "-nographic",
    ]);
    qemu.args(["-no-reboot", "-serial", "stdio", "-append", "console=ttyS0 quiet"]);
    qemu.arg("-kernel").arg(machine.join("vmlinuz")).arg("-initrd").arg(machine.join("initrd"));
    for (number, volume) in volumes.iter().enumerate() {
        qemu.arg("-drive")
            .arg(format!("file={},format=raw,if=none,id=d{number},snapshot=on", volume.display()));
        qemu.arg("-device").arg(format!("nvme,drive=d{number},serial=d{number}"));
    }
    let said = run(qemu.stdin(Stdio::null())).stdout;
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    assert!(said.contains("\nEND"), "{said}");
    let complaint = said.lines().find(|line| {
        line.starts_with("KERNEL")
            && ["rror", "orrupt", "dirty", "fail"].iter().any(|word| line.contains(word))
    });
    assert!(complaint.is_none() && !said.contains("No such file"), "{said}");
    let found = (0..volumes.len()).map(|number| {
        assert!(said.contains(&format!("DONE {number}\n")), "{said}");
        let (file, dir) = (format!("FILE {number} "), format!("DIR {number} ./"));
        let files = said.lines().filter_map(|line| line.strip_prefix(&file)?.split_once("  ./"));
        let dirs = said.lines().filter_map(|line| Some((line.strip_prefix(&dir)?, "dir")));
        let files = files.map(|(digest, path)| (path, digest));
        files.chain(dirs).map(|(path, what)| (path.to_owned(), what.to_owned())).collect()
    });
    Some(found.collect())
}

const NAME: &str = "ntfs3-machine";

/// Kernel and initrd.
fn build(out: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let depends = run(tool("apt-cache").args(["depends", PACKAGE])).stdout;
    let depends = String::from_utf8(depends)?;
    let kernel = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let kernel = kernel.context("it depends on no kernel")?.to_owned();
    run(tool("apt-get").args(["download", "-q", &kernel]).current_dir(work.path()));
    let package = fs::read_dir(work.path())?.next().context("nothing was downloaded")??.path();
    let tree = work.path().join("tree");
    run(tool("dpkg-deb").arg("-x").arg(package).arg(&tree));
    let machine = out.join(NAME);
    let root = work.path().join("root");
    for dir in ["bin", "dev", "mnt", "lib64", "lib/x86_64-linux-gnu"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::create_dir(&machine)?;
    let version = kernel.trim_start_matches("linux-image-");
    fs::copy(tree.join("boot").join(format!("vmlinuz-{version}")), machine.join("vmlinuz"))?;
    let module = tree.join("lib/modules").join(version).join("kernel/fs/ntfs3/ntfs3.ko");
    let packed = module.with_extension("ko.xz");
    if packed.exists() {
        run(tool("xz").arg("-d").arg(&packed));
    }
    fs::copy(&module, root.join("ntfs3.ko"))?;
    fs::copy(find("busybox").context("busybox")?, root.join("bin/busybox"))?;
    // The libraries that it needs, if it is not static.
    let said = Command::new("ldd").arg(find("busybox").context("busybox")?).output()?.stdout;
    let said = String::from_utf8(said)?;
    for library in said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from) {
        let to = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(to.parent().context("a library has a folder")?)?;
        fs::copy(&library, to)?;
    }
    fs::write(root.join("init"), INIT)?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(root.join("init"), executable)?;
    let listed = run(tool("find").arg(".").current_dir(&root)).stdout;
    let mut cpio = tool("cpio");
    cpio.args(["--quiet", "-o", "-H", "newc"]).current_dir(&root);
    let mut cpio = cpio.stdin(Stdio::piped()).stdout(fs::File::create(machine.join("initrd"))?).spawn()?;
    cpio.stdin.take().context("a pipe")?.write_all(&listed)?;
    anyhow::ensure!(cpio.wait()?.success(), "cpio failed");
    Ok(())
}
