//! The laboratory: a QEMU with Hyper-V's VMBus and its storage, beside the checkout and no part of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{cache, judge};

/// The laboratory's QEMU, unpacked; `None`, after a visible skip, when it or what it needs to run is not
/// here.
///
/// Its guests find their disk behind VMBus only, as on Azure: one whose initramfs lacks the drivers does not
/// boot.
///
/// # Panics
/// When it is there and cannot be unpacked.
#[track_caller]
pub fn qemu() -> Option<PathBuf> {
    const NAME: &str = "qemu-system-x86_64-hyperv";
    let packed = judge::shared()?.join(format!("lab/{NAME}.zst"));
    judge::need("zstd")?;
    judge::need("qemu-system-x86_64")?; // for its keymaps and option ROMs
    if !Path::new("/usr/share/seabios/bios-256k.bin").exists() {
        judge::skip("SeaBIOS (Debian package seabios)");
        return None;
    }
    let recipe =
        fs::read(&packed).unwrap_or_else(|error| panic!("cannot read {}: {error}", packed.display()));
    let unpacked = cache::cached(NAME, &[&recipe], |out| {
        let program = out.join(NAME);
        judge::run(judge::tool("zstd").args(["-q", "-d"]).arg(&packed).arg("-o").arg(&program));
        Ok(fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?)
    });
    Some(unpacked.unwrap_or_else(|error| panic!("{error:?}")))
}
