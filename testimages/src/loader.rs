//! GRUB for BIOS, as Debian has it.

use std::path::Path;

use crate::judge;

/// Where the Debian package grub-pc-bin puts it.
pub const GRUB: &str = "/usr/lib/grub/i386-pc";

/// GRUB's `boot.img`, and a `core.img` with what it takes to read an ext4 in the first partition of the disk
/// it is on; `None`, after a visible skip, where GRUB is not installed.
///
/// # Panics
/// When it is, and makes none.
#[track_caller]
pub fn grub() -> Option<(Vec<u8>, Vec<u8>)> {
    let boot = Path::new(GRUB).join("boot.img");
    if !boot.exists() {
        judge::missing("GRUB for BIOS (Debian package grub-pc-bin)");
        return None;
    }
    judge::need("grub-mkimage")?;
    let mut mkimage = judge::tool("grub-mkimage");
    mkimage.args(["-O", "i386-pc", "-d", GRUB, "-p", "(,msdos1)/boot/grub"]);
    let work = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
    let core = work.path().join("core.img");
    judge::run(mkimage.arg("-o").arg(&core).args(["biosdisk", "part_msdos", "ext2", "normal", "linux"]));
    let read = |file: &Path| {
        std::fs::read(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
    };
    Some((read(&boot), read(&core)))
}
