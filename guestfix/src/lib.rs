//! What the guest is, what is wrong with it for its new home, and what to change.
//!
//! `check -> plan -> apply -> verify`: a [`Rule`] only reads the guest through a [`View`] and stages edits; a
//! [`Plan`](plan::Plan) is those edits as data, each with the digest of what it replaces; [`apply`] carries
//! them out in an overlay; the same [`Rule::detect`] that found a fault proves it gone.
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
