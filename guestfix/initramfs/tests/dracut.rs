//! Images that dracut itself built, changed by us, judged by its own `lsinitrd`, by `cpio` and by `modprobe`.

mod lab;

use std::fs;
use std::path::PathBuf;

use anyhow::ensure;
use initramfs::{Archive, Codec, Generator, Limits};
use lab::{DESIRED, Kernel, REQUIRED, image};
use testimages::{cache, judge};

/// What an image of EC2 would not have.
const OMITTED: &str = "hv_vmbus hv_storvsc hv_netvsc hv_utils hv_balloon hv_sock hyperv-keyboard hid-hyperv pci-hyperv hyperv_fb";

/// An image by dracut, host programs and all, without drivers of Hyper-V; not compressed yet.
fn build(kernel: &Kernel) -> PathBuf {
    let recipe = [kernel.kver.as_bytes(), OMITTED.as_bytes()];
    let built = cache::cached("dracut.img", &recipe, |out| {
        let mut dracut = judge::tool("dracut");
        dracut.args(["--force", "--no-hostonly", "--no-early-microcode", "--no-compress", "--reproducible"]);
        dracut.args(["--modules", "base kernel-modules rootfs-block udev-rules", "--omit-drivers", OMITTED]);
        dracut.arg("--kmoddir").arg(kernel.directory()).arg(out.join("dracut.img")).arg(&kernel.kver);
        let output = dracut.output()?;
        ensure!(output.status.success(), "dracut: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    });
    built.unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn images_by_dracut_get_the_drivers() {
    let programs = ["dracut", "lsinitrd", "cpio", "modprobe", "gzip", "lz4", "xz", "zstd"];
    let Some(kernel) = Kernel::cloud().filter(|_| judge::need_all(&programs)) else { return };
    let long = testimages::length::long();
    let plain = fs::read(build(&kernel)).unwrap();
    for codec in [Codec::Zstd, Codec::Gzip, Codec::Lz4, Codec::Xz] {
        // packing some ten MiB again takes xz long
        if codec == Codec::Xz && !long {
            continue;
        }
        let old = image::compress(codec, &plain);
        let archive = Archive::parse(&old, &Limits::default()).unwrap();
        assert_eq!(archive.generator(), Generator::Dracut);
        assert_eq!(archive.segments().last().unwrap().codec, codec);
        let wanted = [REQUIRED, DESIRED].concat();
        let new = initramfs::inject(&archive, &lab::request(&kernel.kver, &wanted, &kernel)).unwrap();
        assert!(new.added.iter().any(|path| path.contains("hv_storvsc.ko")), "{codec}: {:?}", new.added);
        let names: Vec<&str> = new.loadable.iter().map(String::as_str).collect();
        initramfs::verify(&new.bytes, &kernel.kver, &names).unwrap();

        let work = tempfile::tempdir().unwrap();
        let path = work.path().join("new.img");
        fs::write(&path, &new.bytes).unwrap();
        let listed = judge::run(judge::tool("lsinitrd").arg(&path)).stdout;
        let listed = String::from_utf8_lossy(&listed);
        assert!(
            listed.contains("hv_storvsc.ko") && listed.contains("etc/cmdline.d/90-azure.conf"),
            "{codec}: {listed}"
        );

        let last = Archive::parse(&new.bytes, &Limits::default()).unwrap();
        let start = usize::try_from(last.segments().last().unwrap().offset).unwrap();
        let tree = work.path().join("tree");
        fs::create_dir(&tree).unwrap();
        image::unpack(&image::decompress(codec, &new.bytes[start..]), &tree);
        let order = image::insmod_order(&tree, &kernel.kver, "vmbus:d96361baa104294db60572e2ffb1dc7f");
        assert!(order.last().unwrap().contains("hv_storvsc.ko"), "{codec}: {order:?}");
    }
}
