//! What lies between a disk and its file systems: partition tables, and what a volume holds.
//!
//! - [`read`] reads a partition table, GPT ([`gpt`]) or MBR ([`mbr`]), with logical and hybrid partitions;
//! - [`signature`] names what a volume holds by its magic numbers;
//! - [`lvm2`] puts volume groups of Linux together, and opens their logical volumes;
//! - [`boot`] tells which firmware a disk has been made for;
//! - [`gpt::move_backup_to_end`] repairs a GPT after its disk grew, and [`pad`] makes it grow;
//! - [`wrap`] makes a disk that starts by BIOS of a bare file system, with [`grub`], and [`embed`] of one
//!   that has partitions.
//!
//! RAID and encryption are named, not opened.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod boot;
pub mod embed;
pub mod gpt;
pub mod grub;
pub mod lvm2;
pub mod mbr;
mod pad;
mod signature;
mod table;
mod types;
pub mod wrap;

pub use pad::{Fitted, fitted, pad};
pub use signature::{Raid, Signature, SignatureKind, UnknownKind, is_member, signature};
pub use table::{
    Kind, Partition, PartitionTable, PartitionType, Place, TableFault, TableKind, read, volume_name,
};
