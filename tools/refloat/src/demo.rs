//! `refloat demo`: the main job on the example inside this program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use guestfix::report::{Page, Report};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::answer::{Answer, Outcome};
use crate::apply::Applied;
use crate::cli::{DemoArgs, Global};
use crate::context::Context;
use crate::convert::Converted;
use crate::document::Document;
use crate::name;
use crate::schema::{self, Kind};
use crate::verify::Verified;

/// The file that the example becomes: an endpoint that is a folder serves it as the snapshot of this name.
const SNAPSHOT: &str = "snap-0123456789abcdef0.img";

/// A small synthetic EC2 guest, made by `cargo xtask demo-image` with mke2fs.
const EXAMPLE: &[u8] = include_bytes!("demo/ec2-guest.img.zst");

/// What is typed, what it says, and the exit code that is right.
const STEPS: &[(&str, &str, i32)] = &[
    (
        "Will this machine boot on Azure? Only the blocks of its snapshot that tell are fetched.",
        "check ebs:snap-0123456789abcdef0@eu-west-1 --for azure-gen1",
        1,
    ),
    (
        "What would change? Nothing is written but the plan.",
        "plan ebs:snap-0123456789abcdef0@eu-west-1 --for azure-gen1 -o plan.json",
        0,
    ),
    ("Fetch the machine and carry it out; the snapshot is not touched.", "apply plan.json -o fixed.qcow2", 0),
    ("The same question again.", "check fixed.qcow2 --for azure-gen1", 0),
    ("The file that Azure takes.", "convert fixed.qcow2 azure.vhd", 0),
    ("Is it well formed, and has it the content?", "verify azure.vhd fixed.qcow2", 0),
];

#[derive(Serialize, JsonSchema)]
pub(crate) struct Step {
    command: String,
    exit: i32,
    /// What it answered.
    #[schemars(schema_with = "answers")]
    answer: serde_json::Value,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Demo {
    steps: Vec<Step>,
}

impl Document for Demo {
    const SCHEMA: &'static str = "refloat.demo/1";
}

/// What the steps answer.
fn answers(generator: &mut SchemaGenerator) -> Schema {
    let kinds: [Kind; 5] = [
        schema::answer::<Report>,
        schema::plan,
        schema::answer::<Applied>,
        schema::answer::<Converted>,
        schema::answer::<Verified>,
    ];
    schema::any_of(&kinds, generator)
}

pub(crate) fn run(context: &Context, args: &DemoArgs) -> Outcome {
    let temporary = tempfile::tempdir()?;
    let folder: PathBuf = match &args.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| name::shown(folder))?;
            folder.clone()
        }
        None => temporary.path().to_owned(),
    };
    let image = zstd::decode_all(EXAMPLE).context("the example inside this program")?;
    let folder = folder.canonicalize().with_context(|| name::shown(&folder))?;
    write_new(&folder.join(SNAPSHOT), &image)?;
    let story = "The example stands for a snapshot of 1 GiB. No network and no AWS account are used.\n";
    context.say(story.to_owned())?;
    let cache = tempfile::tempdir()?;
    let environment = [
        // The steps run in it.
        ("AWS_ENDPOINT_URL_EBS", OsStr::new("file://.")),
        ("REFLOAT_CACHE", cache.path().as_os_str()),
    ];
    let mut demo = Demo { steps: Vec::new() };
    for &(say, command, expected) in STEPS {
        context.say(format!("\n# {say}\n$ refloat {command}\n\n"))?;
        let step = step(&context.global, &folder, &environment, command)?;
        if step.exit != expected {
            bail!("`refloat {command}` ended with {} and not with {expected}", step.exit);
        }
        demo.steps.push(step);
    }
    context.answer(&demo, || {
        let kept = args.keep.as_ref().map(|folder| format!(" The files are in {}.", name::shown(folder)));
        Ok(Page::from(format!(
            "\nazure.vhd is ready to upload.{}\n\
             With a snapshot of your own:    refloat migrate ebs:snap-… azure.vhd --for azure-gen1\n\
             With a disk image of your own:  refloat migrate aws.qcow2 azure.vhd --for azure-gen1\n",
            kept.unwrap_or_default()
        )))
    })?;
    Ok(Answer::Yes)
}

/// The example's files never replace a user's.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = std::fs::File::create_new(path).with_context(|| name::shown(path))?;
    std::io::Write::write_all(&mut file, bytes).with_context(|| name::shown(path))
}

/// Runs this program as a user would.
fn step(global: &Global, folder: &Path, environment: &[(&str, &OsStr)], command: &str) -> Result<Step> {
    let mut child = Command::new(std::env::current_exe()?);
    child.args(command.split(' ')).current_dir(folder).envs(environment.iter().copied());
    if global.quiet {
        child.arg("--quiet");
    }
    let (status, answer) = if global.json {
        let output = child.arg("--json").stderr(Stdio::inherit()).output()?;
        (output.status, serde_json::from_slice(&output.stdout).context("the answer of a step")?)
    } else {
        (child.status()?, serde_json::Value::Null)
    };
    let exit = status.code().context("a step was killed")?;
    Ok(Step { command: format!("refloat {command}"), exit, answer })
}
