//! What can be typed.

mod check;
mod convert;
mod emit;
mod fleet;
mod fs;
mod migrate;

use std::path::{Path, PathBuf};

use clap::builder::{
    OsStringValueParser, PathBufValueParser, PossibleValue, PossibleValuesParser, StringValueParser,
    TypedValueParser,
};
use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use guestfix::handover::model::is_tag;
use guestfix::platform::TARGETS;
use guestfix::rule::CloudInit;
use guestfix::{Goal, Target};
use libdisk::Format;

use crate::answer::Help;
use crate::azure;
use crate::managed::AzureArgs;
use crate::name;
use crate::schema::SCHEMAS;

pub(crate) use check::{CheckArgs, RulesArgs};
pub(crate) use convert::{ConvertArgs, OutputFormat, ReadBackArg, VerifyArgs};
pub(crate) use emit::{EmitArgs, EmitFormat};
pub(crate) use fleet::{
    FleetArgs, FleetPlanArgs, FleetReportArgs, FleetRunArgs, FleetStatusArgs, FleetSurveyArgs, FleetTaskArgs,
    FleetTestArgs, FleetVerb,
};
pub(crate) use fs::{FsArgs, FsVerb};
pub(crate) use migrate::{MigrateArgs, TestMigrateArgs};

/// What is told below the options.
fn after_help() -> String {
    format!(
        "\
Addresses:
  disk.qcow2                  an image: {}
  raw:disk.img                an image whose format is known
  disk.qcow2@before           an internal snapshot of one, by its name or ID (qcow2:disk.img@before)
  disk.vhd#p2                 partition 2
  disk.vhd#disk2p1            partition 1 of the second disk (#disk2: all of it)
  disk.vhd#vg0/root           a logical volume
  disk.vhd#/etc/fstab         a path in the guest
  disk.vhd#p1:/EFI            a path in one volume
  ebs:snap-0abc@eu-west-1     a snapshot in AWS, of which only what is needed is read
  ebs:i-0abc@eu-west-1        all disks of an instance, by their newest snapshots
  azure:https://ACCOUNT.blob.core.windows.net/CONTAINER/disk.vhd?SAS
                              a page blob in Azure, to read or to write
  azure:SUBSCRIPTION/GROUP/DISK
                              a managed disk in Azure, to read or to write
  azure:SUBSCRIPTION/GROUP/snapshots/NAME
                              a snapshot of one, to read

A machine of several disks: os.qcow2 --disk data.vhd --disk more.raw

Environment:
  AWS_PROFILE, AWS_REGION, .. the credentials and region that the AWS CLI would use
  AWS_CA_BUNDLE               a PEM file with the certificates to trust [default: this system's]
  HTTPS_PROXY, NO_PROXY       the proxy to AWS and Azure, and the hosts that need none
  AZURE_TENANT_ID, AZURE_CLIENT_ID, ..
                              the application that makes managed disks; else the machine's identity, else az
  AZURE_CLOUD                 AzureCloud, AzureUSGovernment or AzureChinaCloud
  REFLOAT_AZURE_SAS           the shared access signature for blobs, as --sas-file has it
  REFLOAT_CACHE               the folder for blocks of snapshots and blobs
  REFLOAT_STATE               the folder for what was sent to Azure so far [default: ~/.local/state/refloat]
  REFLOAT_LOG                 what to log on standard error, as in REFLOAT_LOG=debug
  NO_COLOR                    no colours

Exit codes:
  0  done, ready or same
  1  the answer is no
  2  error; or stopped, and the same command starts over
  3  interrupted, or another process is at it; run the same command to resume

Start with:  refloat demo",
        Format::names()
    )
}

/// Know if a machine will boot on Azure before moving a byte; fix it with no root and no VM; undo everything.
#[derive(Debug, Parser)]
#[command(name = "refloat", version, about, after_help = after_help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Answer with one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on standard error
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// How to show progress on standard error
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: Progress,
    /// Show all evidence, and log more on standard error (-vv: all)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// A further disk of the machine; give it once for each
    #[arg(long = "disk", global = true, value_name = "IMAGE", value_parser = address())]
    pub(crate) disks: Vec<String>,
    /// Leave out this disk of an instance, by its device or its volume; give it once for each
    #[arg(long = "exclude-disk", global = true, value_name = "DEVICE|VOLUME")]
    pub(crate) exclude_disks: Vec<String>,
    /// Allow images to use backing files in this folder; without it they are refused
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) allow_backing: Option<PathBuf>,
    /// Threads for copying, at most 256 [default: one per core; 64 from a snapshot]
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        value_parser = threads()
    )]
    pub(crate) threads: usize,
    /// Maximum snapshot blocks per second, shared by all refloat processes on this machine (AWS allows 1000)
    #[arg(long, global = true, value_name = "N", default_value_t = 900.0)]
    pub(crate) ebs_requests_per_second: f64,
    /// Ask AWS as this role, which the credentials may assume
    #[arg(long, global = true, value_name = "ARN", value_parser = role())]
    pub(crate) aws_role: Option<String>,
    /// How long to keep retrying a request to AWS that is throttled or gets no answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) ebs_patience: u64,
    /// A file with the shared access signature for blobs in Azure, or with lines of URL?SAS; read again when
    /// a signature ends
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) sas_file: Option<PathBuf>,
    /// How long to keep retrying a request to Azure that is throttled or gets no answer
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) azure_patience: u64,
    /// The signatures that were typed.
    #[arg(skip)]
    pub(crate) signatures: azure::Typed,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Progress {
    /// A bar on a terminal, a line now and then elsewhere
    #[default]
    Auto,
    /// One JSON object per line, for programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the main job on the example inside this program; nothing to install
    Demo(DemoArgs),
    /// Show layers, partitions, file systems, operating system and boot chain
    Inspect(ImageArgs),
    /// Will it boot there? List findings; write nothing
    Check(CheckArgs),
    /// Show what would change, as a diff, and write the plan
    Plan(PlanArgs),
    /// Apply a plan: to an overlay, or in place with an undo file
    Apply(ApplyArgs),
    /// Put back what `apply --in-place` changed, bit for bit
    Undo(UndoArgs),
    /// Copy an image into a fixed VHD, raw or qcow2 file
    Convert(ConvertArgs),
    /// Is it a valid VHD for Azure? With two images: do they have the same content?
    Verify(VerifyArgs),
    /// Boot it in QEMU with the target's devices; the image is not changed
    Boot(BootArgs),
    /// Check, plan, apply and convert in one resumable run
    Migrate(MigrateArgs),
    /// Move it to a test machine in Azure that reaches nothing, see if it starts, and delete that again
    TestMigrate(Box<TestMigrateArgs>),
    /// Look inside without mounting
    Fs(FsArgs),
    /// How long the next cut-over takes, and what it costs, by what changed between two snapshots
    Forecast(ForecastArgs),
    /// Write the virtual machine around the disks as code, or its cut-over as a runbook
    Emit(Box<EmitArgs>),
    /// Move many machines, by a batch engine or on this machine
    Fleet(FleetArgs),
    /// Clean up in Azure what unfinished runs left
    Azure(AzureArgs),
    /// List the rules, explain one, or find those about what a serial console shows
    Rules(RulesArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print a man page
    Man(ManArgs),
    /// Print the JSON Schema of what a verb answers with --json
    Schema(SchemaArgs),
}

/// Refuses options of all verbs that a verb could not honour.
pub(crate) fn check(global: &Global, verb: &Verb) -> anyhow::Result<()> {
    let refuse = |option: &str, why: &str| -> anyhow::Result<()> {
        let error: anyhow::Result<()> = Err(anyhow::anyhow!("{option} cannot be used here: {why}"));
        error.help(format!("leave {option} out"))
    };
    match verb {
        Verb::Completions(_) if global.json => return refuse("--json", "the answer is a script for a shell"),
        Verb::Man(_) if global.json => return refuse("--json", "the answer is a man page"),
        Verb::Schema(_) if global.json => return refuse("--json", "the answer is a JSON Schema as it is"),
        _ => {}
    }
    let option = match (global.disks.is_empty(), global.exclude_disks.is_empty()) {
        (false, _) => "--disk",
        (true, false) => "--exclude-disk",
        (true, true) => return Ok(()),
    };
    let why = match verb {
        Verb::Undo(_) => "undo finds the other images that the plan changed by itself",
        Verb::Forecast(_) => "a forecast is of one volume",
        Verb::Fleet(_) => "each machine has its disks in the list",
        Verb::Demo(_)
        | Verb::Azure(_)
        | Verb::Rules(_)
        | Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Schema(_) => "this verb reads no machine",
        _ => return Ok(()),
    };
    refuse(option, why)
}

/// Options for the answer.
const ANSWER: &[&str] = &["json", "quiet", "progress", "verbose"];
/// Options for what reads a machine.
const MACHINE: &[&str] = &[
    "disks",
    "exclude_disks",
    "allow_backing",
    "threads",
    "ebs_requests_per_second",
    "aws_role",
    "ebs_patience",
    "sas_file",
];
/// Options for what asks Azure.
const AZURE: &[&str] = &["azure_patience"];
/// The options that a verb has no use for, and does not show in its help.
const USELESS: &[(&str, &[&[&str]])] = &[
    ("demo", &[MACHINE, AZURE]),
    ("undo", &[MACHINE, AZURE]),
    ("rules", &[MACHINE, AZURE]),
    ("azure", &[MACHINE]),
    ("fleet", &[&["disks", "exclude_disks", "allow_backing"]]),
    ("completions", &[ANSWER, MACHINE, AZURE]),
    ("man", &[ANSWER, MACHINE, AZURE]),
    ("schema", &[ANSWER, MACHINE, AZURE]),
];

impl Cli {
    /// What was typed.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let (words, signatures) = azure::take(std::env::args_os())
            .map_err(|error| Self::whole().error(ErrorKind::ValueValidation, error))?;
        let mut cli = Self::from_arg_matches(&Self::whole().try_get_matches_from(words)?)?;
        cli.global.signatures = signatures;
        Ok(cli)
    }

    /// All that can be typed. `plan --show` is the one way without a target.
    pub(crate) fn whole() -> clap::Command {
        let unless_shown = |arg: clap::Arg| arg.required(false).required_unless_present("show");
        let whole = Self::command().mut_subcommand("plan", |plan| plan.mut_arg("for", unless_shown));
        let global: Vec<clap::Arg> =
            whole.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
        let hidden = |ids: &[&[&str]]| -> Vec<clap::Arg> {
            let ids = ids.concat();
            let useless = global.iter().filter(|arg| ids.contains(&arg.get_id().as_str()));
            useless.map(|arg| arg.clone().hide(true)).collect()
        };
        USELESS
            .iter()
            .fold(whole, |whole, (verb, ids)| whole.mut_subcommand(verb, |verb| verb.args(hidden(ids))))
    }
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The verb; plan is a plan file as well, error an error alone, progress one event of the progress
    #[arg(value_parser = PossibleValuesParser::new(SCHEMAS.iter().map(|(name, _)| *name)))]
    pub(crate) verb: String,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The verb [default: refloat itself]
    pub(crate) verb: Option<String>,
    /// Write the pages of refloat and of all its verbs into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub(crate) dir: Option<PathBuf>,
}

/// A tag of a resource of Azure, NAME=VALUE.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a tag is NAME=VALUE")?;
    match is_tag(name, value) {
        true => Ok((name.to_owned(), value.to_owned())),
        false => {
            Err("Azure takes no such tag: a name is without < > % & \\ ? /, and both are short".to_owned())
        }
    }
}

/// A target by its id, one of the table.
fn target() -> impl TypedValueParser<Value = &'static Target> {
    let values = TARGETS.iter().map(|target| PossibleValue::new(target.id).help(target.name));
    PossibleValuesParser::new(values)
        .try_map(|id| Target::of(&id).ok_or_else(|| format!("there is no target {id}")))
}

/// How to handle cloud-init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum CloudInitArg {
    /// Disable it: cloud-init does not reconfigure the machine
    #[default]
    Disable,
    /// Keep it, with the Azure datasource; users, host keys and hostname stay
    Azure,
}

/// The goal of a check or plan.
#[derive(Debug, Clone, Args)]
pub(crate) struct GoalArgs {
    /// Where it is to boot
    #[arg(id = "for", long, value_name = "TARGET", value_parser = target())]
    pub(crate) target: &'static Target,
    /// How to handle cloud-init
    #[arg(long, value_name = "POLICY", default_value = "disable")]
    pub(crate) cloud_init: CloudInitArg,
    /// Folder with GRUB's boot.img and core.img, or its modules, for a disk without a boot loader [default:
    /// that of the package grub-pc-bin]
    #[arg(long, value_name = "DIR")]
    pub(crate) grub: Option<PathBuf>,
    /// Folder with Azure's agent for a Windows that has none: the newest GuestAgent_… of C:\WindowsAzure on a
    /// machine that has it, or all of that
    #[arg(long, value_name = "DIR")]
    pub(crate) windows_agent: Option<PathBuf>,
    /// Give a Windows also what Microsoft asks of images and no start needs
    #[arg(long)]
    pub(crate) strict: bool,
}

impl GoalArgs {
    /// The policy as it was typed, where it is not the usual one.
    pub(crate) fn cloud_init_given(&self) -> Option<&'static str> {
        (self.cloud_init == CloudInitArg::Azure).then_some("azure")
    }

    /// Of a boot of what was written: where alone.
    pub(crate) fn booted(self) -> Self {
        Self { cloud_init: CloudInitArg::default(), grub: None, windows_agent: None, strict: false, ..self }
    }

    pub(crate) fn goal(&self) -> Goal {
        let cloud_init = match self.cloud_init {
            CloudInitArg::Disable => CloudInit::Disable,
            CloudInitArg::Azure => CloudInit::Azure,
        };
        Goal { cloud_init, strict: self.strict, ..Goal::new(self.target) }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// The image
    #[arg(value_parser = address())]
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The image; with --show it is where the plan says
    #[arg(required_unless_present = "show", value_parser = address())]
    pub(crate) image: Option<String>,
    #[command(flatten)]
    pub(crate) goal: Option<GoalArgs>,
    /// Where to write the plan [default: only show it]
    #[arg(short, long, value_name = "PLAN.json", value_parser = plan_name())]
    pub(crate) output: Option<PathBuf>,
    /// Replace a plan that exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Show a plan that was written before
    #[arg(long, value_name = "PLAN.json", conflicts_with_all = ["for", "cloud_init", "grub", "windows_agent", "strict", "output", "force"])]
    pub(crate) show: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true)))]
pub(crate) struct ApplyArgs {
    /// The plan
    pub(crate) plan: PathBuf,
    /// The file to write: a .qcow2 is an overlay whose backing file is the image; a .vhd or .raw is the
    /// whole disk; with several disks, a folder
    #[arg(
        short,
        long,
        value_name = "FIXED.qcow2",
        value_parser = file_name(),
        group = "where"
    )]
    pub(crate) output: Option<PathBuf>,
    /// Its format [default: by its extension]
    #[arg(long, value_name = "FORMAT", conflicts_with = "in_place")]
    pub(crate) format: Option<OutputFormat>,
    /// Change the image itself (raw or VHD), keeping IMAGE.undo
    #[arg(long, group = "where")]
    pub(crate) in_place: bool,
    /// The image, if it is not where the plan says
    #[arg(long, value_name = "IMAGE", value_parser = address())]
    pub(crate) image: Option<String>,
    /// Replace an output that exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// The image
    pub(crate) image: PathBuf,
}

/// How many threads: more than a few hundred only stand in each other's way.
fn threads() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u16).range(0..=256).map(usize::from)
}

/// A role of an account of AWS.
fn role() -> impl TypedValueParser<Value = String> {
    StringValueParser::new().try_map(|text| {
        let is_role = text.starts_with("arn:") && text.contains(":role/");
        if is_role { Ok(text) } else { Err("a role is arn:aws:iam::123456789012:role/NAME") }
    })
}

/// An address, whatever the bytes of its names.
fn address() -> impl TypedValueParser<Value = String> {
    const STDIN: &str =
        "this is no file name, and refloat reads no images from standard input; ./- is a file of that name";
    OsStringValueParser::new().try_map(|name| if name == "-" { Err(STDIN) } else { Ok(name::text(name)) })
}

/// The name of a file that is written: "-" is none.
fn file_name() -> impl TypedValueParser<Value = PathBuf> {
    named("this is no file name, and refloat writes no images to standard output; ./- is a file of that name")
}

/// The same of a plan.
fn plan_name() -> impl TypedValueParser<Value = PathBuf> {
    named(
        "this is no file name, and plan --json prints the plan to standard output; ./- is a file of that name",
    )
}

fn named(why: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |path| if path == Path::new("-") { Err(why) } else { Ok(path) })
}

#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// The image; it is not changed
    #[arg(value_parser = address())]
    pub(crate) image: String,
    /// Where it is to boot
    #[arg(long = "for", value_name = "TARGET", value_parser = target())]
    pub(crate) target: &'static Target,
    /// The QEMU to use; one with VMBus storage is used as Hyper-V [default: qemu-system-x86_64]
    #[arg(long, value_name = "PATH")]
    pub(crate) qemu: Option<PathBuf>,
    /// Give up after this long
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    /// Where to keep the serial console's log [default: IMAGE.serial.log in this folder]
    #[arg(long, value_name = "FILE", value_parser = file_name())]
    pub(crate) log: Option<PathBuf>,
    /// Memory of the machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u32,
    /// See if it takes an address and answers on port 22; the default menu entry is started without its boot
    /// loader, on a card that is named as there
    #[arg(long)]
    pub(crate) network: bool,
}

/// Only lists of blocks are read: what is fetched and sent at the cut-over is no more than what changed.
#[derive(Debug, Args)]
pub(crate) struct ForecastArgs {
    /// The snapshot that was moved
    #[arg(value_parser = address())]
    pub(crate) older: String,
    /// A newer one of the same volume
    #[arg(value_parser = address())]
    pub(crate) newer: String,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the example's files in this folder [default: a temporary one, removed]
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}
