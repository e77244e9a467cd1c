//! Snapshots read and pulled from the stand-in EBS server, from moto, and from a folder.

mod folder;
mod snapshot;
mod support;
mod transfer;
