//! A start without firmware and boot loader: QEMU hands the kernel and the initramfs of the menu's default
//! entry to the machine, on a command line that leaves its network card the name that Hyper-V's has.
//!
//! udev names a card by its place on a bus, and VMBus gives it none: on Hyper-V it keeps the kernel's name,
//! `eth0`. QEMU has no such card; but udev can be told to leave the names alone.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guestfix::bootwalk::{self, MenuEntry};
use guestfix::tree::Tree;
use guestfix::{Goal, Guest, Stage, Target};
use tempfile::TempDir;

use crate::{Error, Result};

/// What the kernel's command line gets besides: systemd's udev and Dell's biosdevname name no card.
const NAMES: &str = "net.ifnames=0 biosdevname=0";

/// The largest kernel or initramfs that is handed over, in bytes.
const LARGEST: u64 = 512 << 20;

/// QEMU's network cards with the modules that drive them, in the order of preference.
const CARDS: &[(&str, &str)] = &[
    ("virtio-net-pci", "virtio_net"),
    ("e1000", "e1000"),
    ("e1000e", "e1000e"),
    ("vmxnet3", "vmxnet3"),
    ("rtl8139", "8139cp"),
];

/// What is handed to the machine, and the card that its kernel has a driver for.
#[derive(Clone, Debug)]
pub struct Direct {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: Option<PathBuf>,
    pub(crate) cmdline: String,
    pub(crate) card: &'static str,
    _folder: Arc<TempDir>,
}

impl Direct {
    /// The default entry of the guest's menu, as the boot walk finds it; its files are copied out of the
    /// guest.
    ///
    /// # Errors
    /// `NotDirect` when no entry is the default, when a file of it is not there, or when its kernel has no
    /// driver for a card of QEMU's; when the guest cannot be read; `State`.
    pub fn of(tree: &Tree, goal: &Goal) -> Result<Self> {
        let mut stage = Stage::new(tree, goal);
        let guest = stage.guest()?;
        let walk = bootwalk::walk(&guest)?;
        let Some(route) = walk.default_route() else {
            let why = walk.chain().why().unwrap_or_else(|| "the menu has no default entry".into());
            return Err(Error::NotDirect(why));
        };
        let card = card(&guest, &route.entry)?;
        let folder = TempDir::with_prefix("refloat-boot-").map_err(Error::state(&std::env::temp_dir()))?;
        let kernel = folder.path().join("kernel");
        copy(tree, &[&route.entry.kernel], &kernel)?;
        let initrds: Vec<&str> = route.entry.initrds.iter().map(String::as_str).collect();
        let initramfs = (!initrds.is_empty()).then(|| folder.path().join("initramfs"));
        if let Some(file) = &initramfs {
            copy(tree, &initrds, file)?;
        }
        let cmdline = format!("{} {NAMES}", route.entry.cmdline);
        Ok(Self { kernel, initramfs, cmdline, card, _folder: Arc::new(folder) })
    }

    /// The options by which QEMU starts it.
    pub(crate) fn options(&self) -> Vec<OsString> {
        let mut options = vec!["-kernel".into(), self.kernel.clone().into()];
        options.extend(self.initramfs.iter().flat_map(|file| ["-initrd".into(), file.into()]));
        options.extend(["-append".into(), self.cmdline.clone().into()]);
        options
    }

    /// The options of its network: one that leads nowhere but has a DHCP server, and a way in for `port`.
    pub(crate) fn network(&self, target: &Target, port: u16) -> [String; 4] {
        let network = format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22");
        let card = format!("{},netdev=net,mac={},romfile=", self.card, mac(target));
        ["-netdev".into(), network, "-device".into(), card]
    }
}

/// An address as the target's cards have them.
pub(crate) fn mac(target: &Target) -> String {
    format!("{}:5e:f1:0a", target.platform.mac)
}

/// Copies files of the guest, one behind the other, as a loader puts them in memory.
fn copy(tree: &Tree, paths: &[&str], to: &Path) -> Result<()> {
    let mut out = File::create(to).map_err(Error::state(to))?;
    for path in paths {
        let size = tree.metadata(path.as_bytes(), true)?.map(|metadata| metadata.size);
        match size {
            Some(size) if size > LARGEST => {
                return Err(Error::NotDirect(format!("{path} has {size} bytes, and {LARGEST} are the most")));
            }
            Some(_) if tree.copy_to(path.as_bytes(), &mut out)?.is_some() => {}
            _ => return Err(Error::NotDirect(format!("{path}: there is no such file"))),
        }
    }
    Ok(())
}

/// The first card that the entry's kernel has a driver for.
fn card(guest: &Guest<'_>, entry: &MenuEntry) -> Result<&'static str> {
    let kernels = &guest.facts.kernels;
    let named = || kernels.iter().find(|kernel| entry.kernel.ends_with(&kernel.version));
    let kernel = kernels.iter().find(|kernel| kernel.image.as_ref() == Some(&entry.kernel)).or_else(named);
    let Some((kernel, modules)) = kernel.and_then(|kernel| Some((kernel, kernel.modules.as_ref()?))) else {
        return Err(Error::NotDirect(format!("{}: nobody knows where its modules are", entry.kernel)));
    };
    let text = |name: &str| guest.view.text(&format!("{modules}/{name}"));
    let lists = [text("modules.dep")?, text("modules.builtin")?];
    let has = |module: &str| {
        let file = format!("/{module}.ko");
        lists.iter().flatten().any(|list| {
            list.lines().any(|line| line.split(':').next().is_some_and(|path| path.contains(&file)))
        })
    };
    let card = CARDS.iter().find(|(_, module)| has(module));
    card.map(|(card, _)| *card).ok_or_else(|| {
        let cards: Vec<_> = CARDS.iter().map(|(card, _)| *card).collect();
        Error::NotDirect(format!(
            "Linux {} has a driver for no network card of QEMU's ({})",
            kernel.version,
            cards.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use guestfix::platform::azure;
    use libdisk::block::FileDisk;
    use testimages::judge::{self, KernelMount};
    use testimages::synthetic;

    use super::*;

    const GOAL: Goal = Goal::new(&azure::GEN1);

    fn direct(image: &Path) -> Result<Direct> {
        Direct::of(&Tree::open(FileDisk::open(image).unwrap().disk()).unwrap(), &GOAL)
    }

    #[track_caller]
    fn refused(image: &Path) -> String {
        match direct(image) {
            Err(error @ Error::NotDirect(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_default_entry_is_started_on_a_card_that_its_kernel_drives() {
        if !judge::need_kernel_mounts() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let Some(image) = synthetic::demo().copy_into(folder.path()) else { return };
        // The modules of synthetic kernels are those of the clouds.
        let why = refused(&image);
        assert!(why.contains("no network card of QEMU's (virtio-net-pci, e1000"), "{why}");

        let mount = KernelMount::read_write(&image, 1 << 20..32 << 20);
        let modules = fs::read_dir(mount.path().join("lib/modules")).unwrap().next().unwrap().unwrap().path();
        let version = modules.file_name().unwrap().to_str().unwrap().to_owned();
        let file = |name: &str| fs::read(mount.path().join(format!("boot/{name}-{version}"))).unwrap();
        let (kernel, initramfs) = (file("vmlinuz"), file("initrd.img"));
        let index = modules.join("modules.dep");
        let mut text = fs::read_to_string(&index).unwrap();
        text.push_str("kernel/drivers/net/ethernet/intel/e1000/e1000.ko.xz:\n");
        text.push_str("kernel/drivers/other/needs.ko: kernel/drivers/net/virtio_net.ko\n");
        fs::write(&index, text).unwrap();
        drop(mount);
        let direct = direct(&image).unwrap();
        assert_eq!(direct.card, "e1000");
        assert!(fs::read(&direct.kernel).unwrap() == kernel);
        assert!(fs::read(direct.initramfs.as_ref().unwrap()).unwrap() == initramfs);
        let (own, names) = direct.cmdline.split_at(direct.cmdline.len() - NAMES.len() - 1);
        assert!(own.contains("root=") && names.trim_start() == NAMES, "{}", direct.cmdline);
        let network = direct.network(&azure::GEN1, 1022).join(" ");
        assert!(network.contains("hostfwd=tcp:127.0.0.1:1022-:22"), "{network}");
        assert!(network.contains("e1000,netdev=net,mac=00:0d:3a:"), "{network}");

        let mount = KernelMount::read_write(&image, 1 << 20..32 << 20);
        fs::remove_file(mount.path().join(format!("boot/initrd.img-{version}"))).unwrap();
        drop(mount);
        let why = refused(&image);
        assert!(why.contains(&format!("initrd.img-{version}: there is no such file")), "{why}");
    }
}
