//! What the guest is, what is wrong with it for its new home, and what to change.
//!
//! `check -> plan -> apply -> verify`: a [`Rule`] only reads the guest through a [`View`] and stages edits; a
//! [`Plan`](plan::Plan) is those edits as data, each with the digest of what it replaces; [`apply`] carries
//! them out in an overlay; the same [`Rule::detect`] that found a fault proves it gone.
//!
//! ```no_run
//! use guestfix::plan::{Identity, plan};
//! use guestfix::platform::azure;
//! use guestfix::tree::Tree;
//! use guestfix::{Goal, apply};
//! use libdisk::OpenOptions;
//! use libdisk::block::Silent;
//!
//! let disk = libdisk::open(&"disk.qcow2".parse()?, &OpenOptions::default())?.disk;
//! let source = [Identity::of("disk.qcow2", &disk)?];
//! let plan = plan(&Tree::open(disk.clone())?, &source, &Goal::new(&azure::GEN2))?;
//! if plan.ready() {
//!     // Each disk as the plan makes it, sealed: the source is as it was.
//!     for fixed in apply::apply(disk, &source, &plan, &Silent)? {
//!         println!("{} ranges were changed", fixed.dirty().len());
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/assess.rs` is a program that tells whether a machine will boot.
//!
//! Start with [`rule`], then [`rules`] (one flat table of all rules), then [`plan`].

pub mod apply;
mod archives;
pub mod bootwalk;
pub mod device;
mod disks;
pub mod edit;
mod elf;
mod error;
pub mod facts;
mod firewall;
mod glob;
pub mod handover;
pub mod inspect;
pub mod instance;
mod kernel_image;
mod label;
mod limits;
pub mod memo;
mod modprobe;
mod modules;
pub mod network;
mod packaged;
mod path;
mod pe;
mod place;
pub mod plan;
pub mod platform;
mod programs;
pub mod registry;
pub mod report;
pub mod rule;
pub mod rules;
mod runs;
mod script;
pub mod secrets;
mod services;
pub mod sizing;
pub mod stage;
pub mod symptoms;
mod systemd;
pub mod text;
pub mod tree;
pub mod undo;
pub mod unread;
pub mod view;
pub mod windows_agent;

pub use archives::Archives;
pub use device::Device;
pub use disks::Disks;
pub use edit::Edit;
pub use error::{Error, Result};
pub use facts::Facts;
pub use platform::Target;
pub use rule::{Finding, Fixed, Goal, Guest, Phase, Rule, RuleMeta, Severity};
pub use stage::Stage;
pub use view::View;
pub use windows_agent::WindowsAgent;
