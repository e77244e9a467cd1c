//! What can be typed behind `refloat migrate` and `refloat test-migrate`.

use std::path::PathBuf;

use clap::Args;

use super::{GoalArgs, OutputFormat, ReadBackArg, address, file_name, plan_name};
use crate::managed::ManagedArgs;

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Any image
    #[arg(value_parser = address())]
    pub(crate) source: String,
    /// What to write: a VHD to upload, a .raw or .qcow2, a blob azure:https://…, or a managed disk
    /// azure:SUBSCRIPTION/GROUP/DISK
    #[arg(value_name = "OUTPUT", value_parser = file_name())]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) goal: GoalArgs,
    /// The target already holds what this command, on this machine, made of this older snapshot of the same
    /// volume: fetch and write only what has changed since; for several disks ebs:snap-…,snap-…, in their order
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) since: Option<String>,
    /// Its format [default: by its extension]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<OutputFormat>,
    /// Keep the plan here
    #[arg(long, value_name = "PLAN.json", value_parser = plan_name())]
    pub(crate) plan: Option<PathBuf>,
    /// Continue even if blockers remain
    #[arg(long)]
    pub(crate) allow_blockers: bool,
    /// Continue with blockers that somebody answers for: a list in JSON of rule, owner, expires and reason
    #[arg(long, value_name = "FILE.json")]
    pub(crate) waivers: Option<PathBuf>,
    /// How much to read back of what was sent to Azure
    #[arg(long, value_name = "HOW", default_value = "sample")]
    pub(crate) read_back: ReadBackArg,
    #[command(flatten)]
    pub(crate) managed: ManagedArgs,
    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// The disks are uploaded and attached to a virtual machine in a network without route or name server; it is
/// listened to on its serial console, as `refloat boot` does, and then deleted with all that is around it. An
/// earlier test of the same name is deleted first.
#[derive(Debug, Args)]
pub(crate) struct TestMigrateArgs {
    /// Any image
    #[arg(value_parser = address())]
    pub(crate) source: String,
    /// The machine; what is made is called NAME-test
    #[arg(value_name = "azure:SUBSCRIPTION/GROUP/NAME")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) goal: GoalArgs,
    /// The size of the virtual machine
    #[arg(long, default_value = "Standard_D2s_v5")]
    pub(crate) size: String,
    /// Give up after it has run for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    pub(crate) timeout: u64,
    /// Where to keep the serial console's log [default: NAME-test.serial.log in this folder]
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) log: Option<PathBuf>,
    /// Attach the disks by NVMe; the size must be able to, and the system have a driver
    #[arg(long)]
    pub(crate) attach_nvme: bool,
    /// With trusted launch: start nothing that is not signed
    #[arg(long)]
    pub(crate) secure_boot: bool,
    /// Leave it when it is done; azure cleanup deletes it
    #[arg(long)]
    pub(crate) keep: bool,
    /// The day from which on azure cleanup deletes it, should it be left [default: in three days]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) expires: Option<String>,
    /// Continue even if blockers remain
    #[arg(long)]
    pub(crate) allow_blockers: bool,
    /// How much to read back of what was sent
    #[arg(long, value_name = "HOW", default_value = "sample")]
    pub(crate) read_back: ReadBackArg,
    /// Replace disks of that name that hold something else
    #[arg(long)]
    pub(crate) force: bool,
    /// The pause between two looks at the console
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 15_000, hide = true)]
    pub(crate) every: u64,
    #[command(flatten)]
    pub(crate) managed: ManagedArgs,
}
