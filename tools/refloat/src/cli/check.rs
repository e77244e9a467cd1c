//! What can be typed behind `refloat check` and `refloat rules`.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use guestfix::Severity;
use guestfix::report::{FailOn, Kind};
use guestfix::rules::packs::{PACKS, RulePack};

use super::{GoalArgs, address};
use crate::name;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The image
    #[arg(value_parser = address())]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) goal: GoalArgs,
    /// Write a report as well; give it once for each: text, json, jsonl, junit, sarif, markdown, html or
    /// azure-migrate-csv
    #[arg(long = "report", value_name = "KIND=FILE", value_parser = report())]
    pub(crate) reports: Vec<(Kind, PathBuf)>,
    /// Replace reports that exist
    #[arg(long)]
    pub(crate) force: bool,
    /// A pack of rules to ask, and to show; give it once for each [default: boot, and for Azure azure-vm]
    #[arg(long = "pack", value_name = "PACK", value_parser = pack())]
    pub(crate) packs: Vec<&'static RulePack>,
    /// A rule that does not count for the exit code; give it once for each
    #[arg(long, value_name = "RULE")]
    pub(crate) skip: Vec<String>,
    /// The only rule that counts for the exit code; give it once for each
    #[arg(long, value_name = "RULE", conflicts_with = "skip")]
    pub(crate) only: Vec<String>,
    /// Findings that somebody answers for: a list in JSON of rule, owner, expires and reason
    #[arg(long, value_name = "FILE.json")]
    pub(crate) waivers: Option<PathBuf>,
    /// From which severity on the exit code is 1 [default: by whether the machine is ready]
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) fail_on: Option<FailOnArg>,
    /// An earlier report in JSON: tells what changed since, and what is new alone fails
    #[arg(long, value_name = "REPORT.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// The type of instances that the machine ran on, for the size that it gets, as in m5.large [default: what
    /// EC2 says of ebs:i-…]
    #[arg(long, value_name = "TYPE")]
    pub(crate) instance_type: Option<String>,
    /// The sizes to choose from, as az vm list-skus --output json prints them [default: a table of 2026-11]
    #[arg(long, value_name = "FILE.json")]
    pub(crate) skus: Option<PathBuf>,
    /// What the sizes cost: an answer of Azure's Retail Prices API (prices.azure.com) as JSON (several as a list), or a
    /// table region,size,usd_hour
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// The region of Azure's whose prices are meant, as in westeurope [default: the only one in FILE]
    #[arg(long, value_name = "REGION")]
    pub(crate) location: Option<String>,
}

/// From which severity on a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOnArg {
    /// A blocker
    Blocker,
    /// A warning, or a blocker
    Warning,
    /// Any finding
    Note,
    /// None
    Never,
}

impl From<FailOnArg> for FailOn {
    fn from(arg: FailOnArg) -> Self {
        match arg {
            FailOnArg::Blocker => Self::Severity(Severity::Blocker),
            FailOnArg::Warning => Self::Severity(Severity::Warning),
            FailOnArg::Note => Self::Severity(Severity::Note),
            FailOnArg::Never => Self::Never,
        }
    }
}

/// A pack of rules by its id, one of the table.
fn pack() -> impl TypedValueParser<Value = &'static RulePack> {
    let values = PACKS.iter().map(|pack| PossibleValue::new(pack.id).help(pack.title));
    PossibleValuesParser::new(values)
        .try_map(|id| RulePack::of(&id).ok_or_else(|| format!("there is no pack {id}")))
}

/// A report and the file that it goes to.
fn report() -> impl TypedValueParser<Value = (Kind, PathBuf)> {
    OsStringValueParser::new().try_map(|text| {
        let text = name::text(text);
        let kinds = || Kind::ALL.map(Kind::name).join(", ");
        let (kind, file) = text.split_once('=').ok_or("a report is KIND=FILE, as in html=report.html")?;
        let kind = Kind::of(kind).ok_or_else(|| format!("there is no report {kind:?}, but {}", kinds()))?;
        match file {
            "" | "-" => Err("a report goes to a file; check --json answers on standard output".to_owned()),
            file => Ok((kind, name::path(file))),
        }
    })
}

#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// A rule's id
    pub(crate) id: Option<String>,
    /// What a serial console shows: a line or words of one, a file with its log, or - for standard input; the
    /// answer is what that means, the rules about it, and what to do
    #[arg(long, value_name = "TEXT|FILE", conflicts_with = "id")]
    pub(crate) symptom: Option<String>,
    /// Print a page of all rules as Markdown
    #[arg(long, conflicts_with_all = ["id", "symptom", "json"])]
    pub(crate) markdown: bool,
}
