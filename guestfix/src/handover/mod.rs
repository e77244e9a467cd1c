//! The hand-over: the virtual machine around disks that were uploaded, as code for four tools, and the
//! cut-over of this very machine as a runbook.
//!
//! [`model`] says once what there is to be; [`resources`] lowers it to Azure's resources, which [`arm`] and
//! [`bicep`] print; [`terraform`] and [`az`] print the model in their own words. [`runbook`] is for people;
//! [`references`] finds what the guest's configuration still says of AWS.
//!
//! Disks are attached, never made: a template that made the uploaded disk again would lose what is on it.

pub mod arm;
pub mod az;
pub mod bicep;
pub mod document;
pub mod licence;
pub mod model;
pub mod references;
pub mod resources;
pub mod runbook;
pub mod terraform;

pub use model::{Handover, Mistake};
