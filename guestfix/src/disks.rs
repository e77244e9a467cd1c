//! The disks of a guest, as its volumes are looked for on them.

use libdisk::block::{Disk, Sealed};

/// The disks of a guest; the first is the one that it starts from.
#[derive(Debug, Clone, Default)]
pub struct Disks {
    disks: Vec<Disk>,
    /// As many.
    devices: Vec<Option<String>>,
    remote: bool,
}

impl Disks {
    /// Whether any of them is fetched from elsewhere, so that each block costs time and money.
    pub fn are_remote(&self) -> bool {
        self.remote
    }

    /// All of them.
    pub fn all(&self) -> &[Disk] {
        &self.disks
    }

    /// The devices that they were on their machine, where that is known, in the same order.
    pub fn devices(&self) -> &[Option<String>] {
        &self.devices
    }

    /// The same disks with what an overlay over each holds.
    #[must_use]
    pub fn with(&self, sealed: &[Sealed]) -> Self {
        Self { disks: sealed.iter().map(Sealed::disk).collect(), ..self.clone() }
    }

    /// The same disks, but for the first.
    #[must_use]
    pub(crate) fn with_first(&self, disk: Disk) -> Self {
        let mut disks = self.clone();
        if let Some(first) = disks.disks.first_mut() {
            *first = disk;
        }
        disks
    }
}

/// A guest of one disk.
impl From<Disk> for Disks {
    fn from(disk: Disk) -> Self {
        Self { disks: vec![disk], devices: vec![None], remote: false }
    }
}

impl From<Vec<Disk>> for Disks {
    fn from(disks: Vec<Disk>) -> Self {
        let devices = vec![None; disks.len()];
        Self { disks, devices, remote: false }
    }
}

impl From<&libdisk::Machine> for Disks {
    fn from(machine: &libdisk::Machine) -> Self {
        let disks = machine.disks();
        Self {
            disks: disks.iter().map(|disk| disk.disk.clone()).collect(),
            devices: disks.iter().map(|disk| disk.device.clone()).collect(),
            remote: machine.is_remote(),
        }
    }
}
