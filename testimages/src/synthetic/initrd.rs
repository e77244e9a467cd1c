//! Synthetic initramfs images in the shape initramfs-tools, dracut and mkinitfs give them, archived by `cpio`
//! and packed by the real compressors.

use anyhow::Result;

use super::disk::{TIME, run, tool};
use super::kernel::Kernel;
use super::tree::Tree;

/// How the main archive is compressed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Codec {
    Gzip,
    Lz4,
    Xz,
    Zstd,
}

/// Whose shape it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    InitramfsTools,
    Dracut,
    /// Alpine's.
    Mkinitfs,
}

/// An initramfs to be made.
pub(super) struct Initrd<'a> {
    pub(super) kernel: &'a Kernel<'a>,
    /// Names of the modules inside.
    pub(super) modules: Vec<&'a str>,
    pub(super) codec: Codec,
    /// Whether an uncompressed archive with processor microcode comes first.
    pub(super) microcode: bool,
    pub(super) maker: Maker,
    /// Configuration files of the guest that are inside too.
    pub(super) files: &'a [(&'a str, &'a str)],
}

impl<'a> Initrd<'a> {
    /// One of initramfs-tools.
    pub(super) fn tools(kernel: &'a Kernel<'a>, modules: Vec<&'a str>, codec: Codec) -> Self {
        Self { kernel, modules, codec, microcode: false, maker: Maker::InitramfsTools, files: &[] }
    }

    /// The image's bytes.
    pub(super) fn make(&self) -> Result<Vec<u8>> {
        let main = archive(&self.tree()?)?;
        let packed = match self.codec {
            Codec::Gzip => run(tool("gzip").args(["-n", "-9"]), &main)?,
            Codec::Lz4 => run(tool("lz4").args(["-l", "-9", "-c"]), &main)?,
            Codec::Xz => run(tool("xz").args(["--check=crc32", "--threads=1"]), &main)?,
            Codec::Zstd => run(tool("zstd").args(["-q", "-9", "-c"]), &main)?,
        };
        if !self.microcode {
            return Ok(packed);
        }
        let mut early = Tree::default();
        if self.maker == Maker::Dracut {
            early.file("/early_cpio", "1\n");
        }
        early.file("/kernel/x86/microcode/GenuineIntel.bin", b"synthetic microcode ".repeat(128));
        Ok([archive(&early)?, packed].concat())
    }

    fn tree(&self) -> Result<Tree> {
        let mut tree = self.kernel.modules(&|name| self.modules.contains(&name))?;
        for name in ["bin", "sbin", "lib", "lib64"] {
            tree.directory(&format!("/usr/{name}"));
            tree.link(&format!("/{name}"), &format!("usr/{name}"));
        }
        for (path, content) in self.files {
            tree.file(path, content);
        }
        tree.program("/usr/bin/sh", PROGRAM);
        if self.maker == Maker::Mkinitfs {
            tree.program("/usr/bin/busybox", PROGRAM);
            tree.program("/usr/sbin/nlplug-findfs", PROGRAM);
            tree.program("/init", "#!/bin/sh\n# A synthetic of mkinitfs' init.\nnlplug-findfs -p /sbin/mdev \"$KOPT_root\"\nexec switch_root /sysroot /sbin/init\n");
            tree.file("/etc/modprobe.d/blacklist.conf", "blacklist microcode\n");
            return Ok(tree);
        }
        tree.file("/usr/lib/modprobe.d/systemd.conf", "options bonding max_bonds=0\n");
        tree.program("/usr/bin/kmod", PROGRAM);
        tree.program("/usr/sbin/lvm", PROGRAM);
        tree.link("/usr/sbin/modprobe", "../bin/kmod");
        tree.program("/usr/lib/systemd/systemd-udevd", PROGRAM);
        if self.maker == Maker::Dracut {
            tree.program("/usr/lib/systemd/systemd", PROGRAM);
            tree.link("/init", "usr/lib/systemd/systemd");
            tree.file("/usr/lib/dracut-lib.sh", "# A synthetic of dracut's library.\n");
            tree.file("/usr/lib/dracut/hooks/cmdline/00-parse-root.sh", "# A synthetic.\n");
            tree.file("/usr/lib/dracut/modules.txt", "bash\nsystemd\nkernel-modules\nrootfs-block\n");
            tree.directory("/etc/cmdline.d");
            return Ok(tree);
        }
        for name in ["/run", "/scripts/init-top", "/scripts/local-top", "/conf/conf.d"] {
            tree.directory(name);
        }
        tree.program("/init", INIT);
        tree.file("/scripts/functions", FUNCTIONS);
        tree.file("/scripts/local", "local_mount_root()\n{\n\tmount -r \"${ROOT}\" \"${rootmnt}\"\n}\n");
        tree.program(
            "/scripts/init-top/udev",
            "#!/bin/sh -e\n[ \"$1\" = prereqs ] && exit 0\nudevadm trigger\nudevadm settle\n",
        );
        tree.file("/scripts/init-top/ORDER", "/scripts/init-top/udev \"$@\"\n");
        tree.file("/conf/arch.conf", "DPKG_ARCH=amd64\n");
        tree.file("/conf/initramfs.conf", "MODULES=list\nBUSYBOX=auto\nBOOT=local\nDEVICE=\n");
        tree.file("/conf/modules", "nvme\nxen-blkfront\nxen-netfront\nena\n");
        tree.file("/etc/fstab", "");
        tree.link("/etc/mtab", "/proc/mounts");
        Ok(tree)
    }
}

/// A newc archive of `tree`, as `cpio` writes it.
fn archive(tree: &Tree) -> Result<Vec<u8>> {
    let root = tempfile::tempdir()?;
    tree.write_below(root.path())?;
    let at_time = format!("@{TIME}");
    run(
        tool("find").current_dir(root.path()).args([".", "-exec", "touch", "-h", "-d", &at_time, "{}", "+"]),
        &[],
    )?;
    let mut names = ".\n".to_owned();
    for (path, _) in tree.iter() {
        names += &format!("{}\n", &path[1..]);
    }
    let mut cpio = tool("cpio");
    cpio.args(["--quiet", "-o", "-H", "newc", "--reproducible", "-R", "0:0"]).current_dir(root.path());
    run(&mut cpio, names.as_bytes())
}

/// Stands for any program: an x86-64 ELF file without libraries that ends at once.
pub(super) const PROGRAM: [u8; 129] = {
    let mut file = [0; 129];
    let parts: [(usize, &[u8]); 12] = [
        (0x00, &[0x7f, b'E', b'L', b'F', 2, 1, 1]),
        (0x10, &[2, 0, 0x3e, 0, 1]), // executable, x86-64
        (0x18, &[0x78, 0, 0x40]),    // where it starts
        (0x20, &[0x40]),             // where its program headers are
        (0x34, &[64, 0, 56, 0, 1, 0, 64]),
        (0x40, &[1, 0, 0, 0, 5]), // one part, to be loaded and run
        (0x50, &[0, 0, 0x40]),
        (0x58, &[0, 0, 0x40]),
        (0x60, &[129]),
        (0x68, &[129]),
        (0x71, &[0x10]),
        (0x78, &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]), // exit(0)
    ];
    let mut part = 0;
    while part < parts.len() {
        let (start, bytes) = parts[part];
        let mut at = 0;
        while at < bytes.len() {
            file[start + at] = bytes[at];
            at += 1;
        }
        part += 1;
    }
    file
};

const INIT: &str = r#"#!/bin/sh
# A synthetic of initramfs-tools' init: the order of things, and nothing that runs.
[ -d /dev ] || mkdir -m 0755 /dev
mount -t devtmpfs udev /dev
mount -t proc proc /proc
export rootmnt=/root
. /conf/arch.conf
. /conf/initramfs.conf
. /scripts/functions
echo "Loading, please wait..."
load_modules
run_scripts /scripts/init-top
. /scripts/local
local_mount_root
exec run-init ${rootmnt} /sbin/init "$@"
"#;

const FUNCTIONS: &str = r"# A synthetic of initramfs-tools' functions.
load_modules()
{
	while read -r module arguments; do
		case $module in ''|\#*) continue ;; esac
		modprobe $module $arguments
	done < /conf/modules
}
run_scripts()
{
	. $1/ORDER
}
";
