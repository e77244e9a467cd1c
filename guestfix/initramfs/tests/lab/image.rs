//! Initramfs images built and taken apart by the real `cpio` and the real compressors.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use initramfs::Codec;
use testimages::judge;

use super::Kernel;

/// What an initramfs generator leaves behind: enough of it for `init` to look real, and a module of its own.
pub(crate) struct Layout {
    /// `lib` is a symbolic link to `usr/lib`.
    pub(crate) usr_merged: bool,
    /// Files beside the modules: path and content.
    pub(crate) files: &'static [(&'static str, &'static str)],
}

pub(crate) const INITRAMFS_TOOLS: Layout = Layout {
    usr_merged: true,
    files: &[
        ("init", "#!/bin/sh\n"),
        ("conf/initramfs.conf", "MODULES=dep\n"),
        ("conf/modules", "nvme\n"),
        ("scripts/functions", "load_modules() { :; }\n"),
    ],
};

pub(crate) const DRACUT: Layout = Layout {
    usr_merged: true,
    files: &[
        ("init", "#!/bin/sh\n"),
        ("usr/lib/dracut/modules.txt", "base\n"),
        ("etc/initrd-release", "ID=x\n"),
    ],
};

pub(crate) const SPLIT_USR: Layout =
    Layout { usr_merged: false, files: &[("init", "#!/bin/sh\n"), ("usr/bin/true", "")] };

/// Fills `tree` with the layout and these modules of the kernel (with what they need), indexed by the real
/// `depmod`.
pub(crate) fn plant(tree: &Path, layout: &Layout, kernel: &Kernel, modules: &[&str]) {
    fs::create_dir_all(tree.join("usr/lib")).unwrap();
    if layout.usr_merged {
        symlink("usr/lib", tree.join("lib")).unwrap();
    } else {
        fs::create_dir(tree.join("lib")).unwrap();
    }
    for (path, content) in layout.files {
        fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
        fs::write(tree.join(path), content).unwrap();
    }
    let directory = tree.join("lib/modules").join(&kernel.kver);
    let needed = modules.iter().flat_map(|module| insmod_order(&kernel.base, &kernel.kver, module));
    for path in
        needed.chain(["modules.order", "modules.builtin", "modules.builtin.modinfo"].map(str::to_owned))
    {
        fs::create_dir_all(directory.join(&path).parent().unwrap()).unwrap();
        fs::write(directory.join(&path), kernel.file(&path)).unwrap();
    }
    super::depmod(tree, &kernel.kver).unwrap();
}

/// What the real `modprobe` would insert for a module or an alias, in order, relative to the module
/// directory.
pub(crate) fn insmod_order(base: &Path, kver: &str, name: &str) -> Vec<String> {
    let mut modprobe = Command::new(judge::need("modprobe").unwrap());
    modprobe.args(["-C", "/dev/null", "-S", kver, "-D", name, "-d"]).arg(base);
    let output = String::from_utf8(judge::run(&mut modprobe).stdout).unwrap();
    let paths = output.lines().filter_map(|line| line.strip_prefix("insmod "));
    paths.map(|path| path.split_once(&format!("/{kver}/")).unwrap().1.trim().to_owned()).collect()
}

/// Packs a tree as a newc archive with the real `cpio`.
pub(crate) fn pack(tree: &Path) -> Vec<u8> {
    let script =
        "find . -mindepth 1 -printf '%P\\0' | LC_ALL=C sort -z | cpio -0 -o -H newc --quiet --reproducible";
    judge::run(Command::new("sh").args(["-c", script]).current_dir(tree)).stdout
}

/// Unpacks a newc archive the way initramfs-tools does.
pub(crate) fn unpack(archive: &[u8], into: &Path) {
    pipe(Command::new("cpio").args(["-idu", "--quiet", "--no-absolute-filenames", "-D"]).arg(into), archive);
}

/// The real program of a codec, with the options a generator gives it.
pub(crate) fn compressor(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::None => &["cat"],
        Codec::Gzip => &["gzip", "-n"],
        Codec::Bzip2 => &["bzip2"],
        Codec::Lzma => &["xz", "--format=lzma", "-1"],
        Codec::Xz => &["xz", "--check=crc32", "-1"],
        Codec::Lz4 => &["lz4", "-l", "-c"],
        Codec::Zstd => &["zstd", "-q"],
        _ => unreachable!(),
    }
}

pub(crate) fn compress(codec: Codec, data: &[u8]) -> Vec<u8> {
    let [program, arguments @ ..] = compressor(codec) else { unreachable!() };
    pipe(Command::new(program).args(arguments), data)
}

/// Judges a stream with the real program, which also unpacks it. lz4 data has no end mark, and padding is an
/// error.
pub(crate) fn decompress(codec: Codec, data: &[u8]) -> Vec<u8> {
    let program = compressor(codec)[0];
    let arguments: &[&str] = match codec {
        Codec::None => &[],
        Codec::Lzma => &["-dc", "--format=lzma"],
        _ => &["-dc"],
    };
    pipe(Command::new(program).args(arguments), data)
}

pub(crate) fn pipe(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feed = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    feed.join().unwrap().unwrap();
    output.stdout
}
