//! The platforms that binaries are made for.

use anyhow::{Context, Result};

/// A platform, by the names that each kind of package has for it.
#[derive(Debug)]
pub(super) struct Target {
    /// The compiler's.
    pub(super) triple: &'static str,
    /// The kernel's, and RPM's.
    pub(super) arch: &'static str,
    /// Debian's, and that of images for containers.
    pub(super) deb: &'static str,
}

const TARGETS: [Target; 2] = [
    Target { triple: "x86_64-unknown-linux-gnu", arch: "x86_64", deb: "amd64" },
    Target { triple: "aarch64-unknown-linux-gnu", arch: "aarch64", deb: "arm64" },
];

/// The one with this triple.
pub(super) fn of(triple: &str) -> Result<&'static Target> {
    let names = || TARGETS.map(|target| target.triple).join(", ");
    let found = TARGETS.iter().find(|target| target.triple == triple);
    found.with_context(|| format!("nothing is made for {triple}, but for {}", names()))
}

/// This machine's.
pub(super) fn here() -> Result<&'static Target> {
    let arch = std::env::consts::ARCH;
    let found = TARGETS.iter().find(|target| target.arch == arch);
    found.with_context(|| format!("nothing is made for {arch}: name another --target"))
}

impl Target {
    /// Whether its programs run on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.arch == std::env::consts::ARCH
    }
}
