//! What can be typed behind `refloat fleet`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::file_name;

/// Many machines, each one `migrate`: a list is frozen into a folder, any batch engine or this machine alone
/// works through it, and the folder tells how far it is.
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    #[command(subcommand)]
    pub(crate) verb: FleetVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FleetVerb {
    /// Find the machines of an account, and judge each from a hundred blocks; no agent, nothing started
    Survey(FleetSurveyArgs),
    /// Check a list of machines, and freeze it into a folder with job files for batch engines
    Plan(FleetPlanArgs),
    /// Move one machine of the folder, or all of them
    Run(FleetRunArgs),
    /// Start each machine in Azure as it will be, in a network that reaches nothing, and delete that again
    Test(FleetTestArgs),
    /// How far is it? Reads the folder only
    Status(FleetStatusArgs),
    /// What was done with each machine, for those who sign it off. Reads the folder only
    Report(FleetReportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FleetSurveyArgs {
    /// All instances of this Region: @eu-west-1; several may be named
    #[arg(value_name = "@REGION", required_unless_present = "from_list", value_parser = region)]
    pub(crate) regions: Vec<String>,
    /// The addresses in this file instead, one a line, or ID,ADDRESS
    #[arg(long, value_name = "FILE", conflicts_with = "regions")]
    pub(crate) from_list: Option<PathBuf>,
    /// Only instances with this tag; give it once for each
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = super::tag, requires = "regions")]
    pub(crate) tags: Vec<(String, String)>,
    /// The tag whose number is the machine's wave
    #[arg(long, value_name = "NAME", requires = "regions")]
    pub(crate) wave_tag: Option<String>,
    /// All active accounts of the organization; the credentials have to be those of its management account, or of a
    /// delegated administrator
    #[arg(long, requires_all = ["regions", "role"], conflicts_with = "accounts")]
    pub(crate) all_accounts: bool,
    /// Only this account; give it once for each
    #[arg(long = "account", value_name = "ID", requires_all = ["regions", "role"], value_parser = account)]
    pub(crate) accounts: Vec<String>,
    /// The role that is assumed in each account, which the credentials may assume
    #[arg(long, value_name = "NAME", requires = "regions")]
    pub(crate) role: Option<String>,
    /// The folder for what is found: fleet.csv, survey.html, survey.jsonl
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// The targets in fleet.csv; {id} is the machine's
    #[arg(long, value_name = "TARGET", default_value = "azure:SUBSCRIPTION/GROUP/{id}")]
    pub(crate) target: String,
    /// Machines that are looked at at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: u32,
    /// Look again at what is known already
    #[arg(long)]
    pub(crate) again: bool,
}

/// A Region of AWS, as it is typed.
fn region(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('@').unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name { Ok(name.to_owned()) } else { Err("a Region is @eu-west-1".to_owned()) }
}

/// An account of AWS.
fn account(text: &str) -> Result<String, String> {
    let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_id { Ok(text.to_owned()) } else { Err("an account has twelve digits".to_owned()) }
}

#[derive(Debug, Args)]
pub(crate) struct FleetPlanArgs {
    /// The list: a .csv with a header, or a .jsonl. Columns: id, source, target and for; and, where they are
    /// needed, those that README names
    pub(crate) list: PathBuf,
    /// The folder to make, or a place in S3 or in Azure: s3://BUCKET/PREFIX, azure:https://…/CONTAINER/PREFIX
    #[arg(short, long, value_name = "DIR", required_unless_present = "simulate")]
    pub(crate) output: Option<PathBuf>,
    /// Machines that are moved at the same time; each task has its share of --ebs-requests-per-second
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) tasks: u32,
    /// The container image that job files for Kubernetes and AWS Batch name
    #[arg(long, value_name = "IMAGE", default_value = "refloat")]
    pub(crate) image: String,
    /// Replace a list that was frozen there before; what was done stays done where the row is the same
    #[arg(long)]
    pub(crate) force: bool,
    /// Write nothing: say how long it takes and what it costs, by the column gib and the quotas
    #[arg(long)]
    pub(crate) simulate: bool,
}

/// Which machines of a folder a task works on, and how.
#[derive(Debug, Args)]
pub(crate) struct FleetTaskArgs {
    /// The folder, or the place in S3 or in Azure
    pub(crate) folder: PathBuf,
    /// The machine, by its row, the first is 0 [default: as Slurm, AWS Batch, Kubernetes or HyperQueue says;
    /// without any, all machines]
    #[arg(long, value_name = "N")]
    pub(crate) index: Option<usize>,
    /// Only machines of this wave
    #[arg(long, value_name = "N")]
    pub(crate) wave: Option<u32>,
    /// Machines that this process works on at the same time, where it does all
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: u32,
    /// How long a machine stays this process's own if nothing is heard of it
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = clap::value_parser!(u64).range(3..=86_400))]
    pub(crate) lease: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FleetRunArgs {
    #[command(flatten)]
    pub(crate) tasks: FleetTaskArgs,
    /// Bring each machine that was moved up to its newest snapshots: only what changed since is fetched and sent
    #[arg(long)]
    pub(crate) delta: bool,
    /// Move in full what was moved before, over what is there: where --delta cannot go on from that
    #[arg(long, conflicts_with = "delta")]
    pub(crate) again: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FleetTestArgs {
    #[command(flatten)]
    pub(crate) tasks: FleetTaskArgs,
    /// Delete what tests left, and test nothing
    #[arg(long)]
    pub(crate) cleanup: bool,
    /// Leave the test machines when they are done; --cleanup deletes them
    #[arg(long, conflicts_with = "cleanup")]
    pub(crate) keep: bool,
    /// Test also what came to its login before
    #[arg(long, conflicts_with = "cleanup")]
    pub(crate) again: bool,
    /// Give up on a machine after it has run for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    pub(crate) timeout: u64,
    /// The pause between two looks at a console
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 15_000, hide = true)]
    pub(crate) every: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FleetReportArgs {
    /// The folder, or the place in S3 or in Azure
    pub(crate) folder: PathBuf,
    /// Write it as Markdown
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) markdown: Option<PathBuf>,
    /// Write it as a page for a browser
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FleetStatusArgs {
    /// The folder, or the place in S3 or in Azure
    pub(crate) folder: PathBuf,
    /// Write a page for a browser
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) html: Option<PathBuf>,
    /// Write a file for Prometheus' textfile collector
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) metrics: Option<PathBuf>,
}
