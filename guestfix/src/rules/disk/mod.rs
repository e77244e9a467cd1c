//! Rules about the disk below the files.

pub(super) mod filesystem_state;
pub(super) mod partition_table;
pub(super) mod sector_size;
pub(super) mod size_limit;
pub(super) mod size_mib;
pub(super) mod whole;
