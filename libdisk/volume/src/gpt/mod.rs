//! GUID partition tables.
//!
//! Reference: UEFI specification 2.10, chapter 5, "GUID Partition Table (GPT) Disk Layout".
//!
//! Why not the crate `gpt`: a repair must keep every byte that it does not mean to change (reserved fields,
//! entries of other sizes), and a hostile header must not size an allocation.

mod ondisk;
mod read;
mod repair;

pub(crate) use read::{Gpt, sector_sizes};
pub use repair::{Moved, move_backup_to_end};
pub(crate) use repair::{needed, size_needed};

const LAYER: &str = "gpt";
