//! Volumes of Windows, which are recorded beside the checkout, and of ntfs-3g.
//!
//! What is replayed is compared with what Windows made of it, and with what rust-fs-ntfs makes of it.

mod changed;
mod cut;
mod judged;
mod made;
mod mounted;
mod recorded;
mod refused;
mod replayed;
mod scripted;
mod second_writer;
#[path = "../support/mod.rs"]
mod support;
mod writing;
