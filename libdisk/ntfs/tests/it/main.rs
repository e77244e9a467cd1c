//! Volumes of Windows, which are recorded beside the checkout, and of ntfs-3g.
//!
//! What is replayed is compared with what Windows made of it, and with what rust-fs-ntfs makes of it.

mod changed;
mod cut;
mod judged;
mod log_writer;
mod made;
mod mounted;
mod recorded;
mod replayed;
mod scripted;
mod structures;
mod writing;
