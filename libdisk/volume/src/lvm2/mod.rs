//! Logical volumes of Linux (LVM2): from physical volumes to devices.
//!
//! [`scan`] takes devices, finds the physical volumes among them and puts their groups together;
//! [`scan_places`] does so with the partitions of all disks of a machine. A [`LogicalVolume`] then has a
//! [`Map`], which opens on the same devices, for reading or for writing; or it says why it has none: linear
//! and striped volumes open, those of other types are refused by name, as are volumes that lie on a device
//! that is missing or there twice.
//!
//! Where several physical volumes know of different states of their group the newest one counts, as LVM has
//! it. Metadata are never written.
//!
//! # On the disk
//!
//! | file | structure |
//! |---|---|
//! | `label` | which device is which physical volume, and where its metadata areas are |
//! | `area` | the ring that holds the metadata |
//! | `text` | the language in which the metadata are written |
//! | `metadata` | the group, its physical and logical volumes, and their segments |
//!
//! Reference: the LVM2 volume format as documented by libyal, and the manual pages of lvm2 (`lvm.conf`,
//! `lvmraid`, `vgcfgbackup`).

mod area;
mod group;
mod label;
mod map;
mod metadata;
mod ondisk;
mod scan;
mod text;

pub use group::{LogicalVolume, VolumeGroup};
pub(crate) use label::uuid;
pub use map::Map;
pub use scan::{PhysicalVolume, Scan, scan, scan_disk, scan_places};

const LAYER: &str = "lvm2";
