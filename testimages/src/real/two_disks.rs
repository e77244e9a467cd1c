//! A guest whose root is a logical volume over two disks.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{CHROOT, GAP, build, debian};
use crate::lvm::Devices;
use crate::{cache, judge};

const TWO_DISKS: &str = include_str!("two_disks.sh");

const NAME: &str = "two-disks.raw";
const MIB: u64 = 1 << 20;

/// The logical volume that is the root.
pub const TWO_DISKS_ROOT: &str = "vg0/root";

/// Where /boot is on the first disk of [`two_disks`], in bytes.
pub const TWO_DISKS_BOOT: Range<u64> = MIB..321 * MIB;

/// Where the physical volumes are, the one on the first disk and all of the second.
pub const TWO_DISKS_PHYSICAL: [Range<u64>; 2] = [321 * MIB..1024 * MIB, 0..1300 * MIB];

/// The same Debian as [`debian`] on two disks, as raw images: GRUB in the MBR and /boot by the name of its
/// device on the first, the root on a logical volume of which the first has a third and the second the rest.
/// Copy them, or put overlays on them, before you write to them.
///
/// The first call takes some minutes and a Debian mirror. `None`, after a visible skip, without root and its
/// tools.
///
/// # Panics
/// When the recipe fails.
#[track_caller]
pub fn two_disks() -> Option<[PathBuf; 2]> {
    judge::need_all(&["lvm", "losetup"]).then_some(())?;
    let source = debian()?;
    let recipe = [CHROOT, GAP, TWO_DISKS].concat();
    let parts = [recipe.as_bytes(), include_bytes!("two_disks.rs"), source.as_os_str().as_bytes()];
    let built = cache::cached(NAME, &parts, |out| {
        let (first, second) = (out.join(NAME), data_of(&out.join(NAME)));
        build(&recipe, &first, source.as_os_str())?;
        File::create(&second)?.set_len(TWO_DISKS_PHYSICAL[1].end)?;
        let volume = out.join(format!("{NAME}.volume"));
        put_on_both(&volume, &[&first, &second]);
        Ok(fs::remove_file(volume)?)
    });
    let first = built.unwrap_or_else(|error| panic!("{error:?}"));
    Some([first.clone(), data_of(&first)])
}

fn data_of(first: &Path) -> PathBuf {
    first.with_file_name("two-disks-data1.raw")
}

/// Makes the group over both disks, and the volume in two pieces: it grew onto the second disk.
fn put_on_both(volume: &Path, disks: &[&Path; 2]) {
    let [first, second] = TWO_DISKS_PHYSICAL;
    let places = [(disks[0], first), (disks[1], second)];
    let devices = Devices::over(&places);
    devices.lvm("vgcreate", &["vg0", devices.path(0), devices.path(1)]);
    devices.lvm("lvcreate", &["-an", "-Zn", "-Wn", "-L", "640m", "-n", "root", "vg0", devices.path(0)]);
    devices.lvm("lvextend", &["-L", "1920m", TWO_DISKS_ROOT, devices.path(1)]);
    let mut at = 0;
    for (device, range) in devices.runs(TWO_DISKS_ROOT) {
        let (disk, place) = &places[device];
        let count = (range.end - range.start) / MIB;
        let mut dd = judge::tool("dd");
        dd.args(["bs=1M", "conv=notrunc,sparse", "status=none"]);
        dd.args([format!("skip={at}"), format!("seek={}", (place.start + range.start) / MIB)]);
        dd.arg(format!("count={count}")).arg(format!("if={}", volume.display()));
        judge::run(dd.arg(format!("of={}", disk.display())));
        at += count;
    }
}
