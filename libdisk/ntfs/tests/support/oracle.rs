//! rust-fs-ntfs, an independent driver with a replay.

use block::{Disk, DiskMut, Overlay};
use fs_ntfs::block_io::BlockIo;

/// A volume, as rust-fs-ntfs changes it.
pub(crate) struct Oracle(pub(crate) DiskMut);

impl BlockIo for Oracle {
    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), String> {
        self.0.read_at(buf, offset).map_err(|error| error.to_string())
    }

    fn write_all_at(&mut self, offset: u64, buf: &[u8]) -> Result<(), String> {
        self.0.write_at(buf, offset).map_err(|error| error.to_string())
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

/// The volume that rust-fs-ntfs makes of one.
pub(crate) fn oracle(disk: &Disk) -> Result<Overlay, String> {
    let overlay = Overlay::new(disk.clone()).unwrap();
    match fs_ntfs::fsck::replay_logfile_io(&mut Oracle(overlay.writer())) {
        Ok(_) => Ok(overlay),
        Err(error) => Err(error.to_string()),
    }
}
