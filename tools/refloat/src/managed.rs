//! Managed disks in Azure: how they are to be, and the ones that unfinished runs left.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use guestfix::handover::model::{EXPIRES_TAG, TEST_TAG};
use guestfix::platform::Firmware;
use guestfix::report::Page;
use guestfix::report::escape::escape;
use libdisk::ManagedDiskDestination;
use libdisk::cloud::azure::{
    DiskFacts, DiskId, DiskSettings, GroupId, ManagedDisk, Manager, SystemDisk, TAG,
};
use libdisk::image::Existing;
use libdisk::{PageBlobDestination, ReadBack};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::context::Context;
use crate::document::Document;
use crate::{azure, cli, day, help};

/// How a managed disk is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For a managed disk, azure:SUBSCRIPTION/GROUP/DISK")]
pub(crate) struct ManagedArgs {
    /// Its region [default: that of its group]
    #[arg(long, value_name = "REGION")]
    location: Option<String>,
    /// What it is stored on
    #[arg(long, value_name = "SKU", default_value = "Premium_LRS",
          value_parser = ["Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS"])]
    sku: String,
    /// Its availability zone
    #[arg(long, value_name = "N", value_parser = ["1", "2", "3"])]
    zone: Option<String>,
    /// A tag; give it once for each
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// The resource ID of the disk encryption set whose key encrypts it
    #[arg(long, value_name = "ID", value_parser = resource)]
    encryption_set: Option<String>,
    /// The resource ID of the disk access whose private endpoints alone reach it
    #[arg(long, value_name = "ID", value_parser = resource)]
    disk_access: Option<String>,
    /// The system on it
    #[arg(long, value_name = "OS")]
    os: Option<OsArg>,
    /// The generation of the virtual machine that starts from it [default: as --for says, where there is one]
    #[arg(long, value_name = "1|2", value_parser = ["1", "2"])]
    generation: Option<String>,
    /// Its system has a driver for NVMe controllers, too
    #[arg(long)]
    nvme: bool,
    /// Its system has drivers for accelerated networking
    #[arg(long)]
    accelerated_network: bool,
    /// What makes a disk one of trusted launch: not supported
    #[arg(long, value_name = "FILE", hide = true)]
    guest_state: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OsArg {
    Linux,
    Windows,
}

/// A tag, but for the one by which refloat knows its own disks.
fn tag(text: &str) -> Result<(String, String), String> {
    let tag = cli::tag(text)?;
    if tag.0.eq_ignore_ascii_case(TAG) { Err(format!("{TAG} is refloat's own tag")) } else { Ok(tag) }
}

fn resource(text: &str) -> Result<String, String> {
    let is_id = text.starts_with("/subscriptions/") && text.contains("/providers/Microsoft.Compute/");
    let what = "a resource ID is /subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/…";
    if is_id { Ok(text.to_owned()) } else { Err(what.to_owned()) }
}

impl ManagedArgs {
    /// The same, where it is known what it will start on.
    pub(crate) fn on(mut self, firmware: Firmware) -> Self {
        let generation = match firmware {
            Firmware::Bios => "1",
            Firmware::Uefi => "2",
        };
        self.generation.get_or_insert_with(|| generation.to_owned());
        self
    }

    /// The same with further tags.
    pub(crate) fn tagged(mut self, tags: impl Iterator<Item = (String, String)>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The region, where one is named.
    pub(crate) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The availability zone.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The disk encryption set.
    pub(crate) fn encryption_set(&self) -> Option<&str> {
        self.encryption_set.as_deref()
    }

    fn settings(&self) -> Result<DiskSettings> {
        if self.guest_state.is_some() {
            let what = "--guest-state is not supported: a disk of trusted launch is made of a page blob";
            return Err(anyhow!(what)).help(
                "write to azure:https://…, then az disk create --source URL --security-type TrustedLaunch \
                 --hyper-v-generation V2; or upload it without, and enable trusted launch on the virtual machine",
            );
        }
        let os = self.os.map(|os| match os {
            OsArg::Linux => "Linux",
            OsArg::Windows => "Windows",
        });
        let generation = self.generation.as_deref().map(|number| if number == "2" { "V2" } else { "V1" });
        let (nvme, accelerated) = (self.nvme, self.accelerated_network);
        let is_known = os.is_some() || generation.is_some() || nvme || accelerated;
        Ok(DiskSettings {
            location: self.location.clone(),
            sku: self.sku.clone(),
            zone: self.zone.clone(),
            tags: self.tags.clone(),
            encryption_set: self.encryption_set.clone(),
            disk_access: self.disk_access.clone(),
            system: is_known.then_some(SystemDisk { os, generation, nvme, accelerated }),
        })
    }
}

/// Azure Resource Manager, as the environment names it.
pub(crate) fn manager(context: &Context) -> Result<Arc<Manager>> {
    Ok(Arc::new(Manager::of_environment(Duration::from_secs(context.global.azure_patience))?))
}

/// A managed disk as a destination.
pub(crate) fn destination(
    context: &Context,
    name: &str,
    args: &ManagedArgs,
    existing: Existing,
    read_back: ReadBack,
) -> Result<ManagedDiskDestination> {
    let id: DiskId = name.parse().help(help::BLOB)?;
    let (settings, manager) = (args.settings()?, manager(context)?);
    let (options, state) = (azure::options(&context.global)?, azure::state()?);
    Ok(ManagedDiskDestination { id, settings, manager, options, existing, read_back, state })
}

/// What is asked of Azure itself.
#[derive(Debug, Args)]
pub(crate) struct AzureArgs {
    #[command(subcommand)]
    pub(crate) verb: AzureVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AzureVerb {
    /// List the managed disks that unfinished runs left, those that stand open, and test machines; with --yes
    /// close and delete them
    Cleanup {
        /// The resource group
        #[arg(value_name = "SUBSCRIPTION/GROUP")]
        group: String,
        /// Do it: disks of refloat's that were never finished are deleted, finished ones that stand open are
        /// closed, test machines whose day is over are deleted with their disks and networks
        #[arg(long)]
        yes: bool,
        /// Test machines whose day is not over, too
        #[arg(long)]
        tests: bool,
    },
}

/// A disk that was left, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Left {
    /// `azure:SUBSCRIPTION/GROUP/DISK`.
    disk: String,
    /// Its state, in Azure's words.
    state: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// Whether it is deleted, or only closed.
    delete: bool,
    /// Whether that was done.
    done: bool,
}

/// What is left of a test machine, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LeftTest {
    /// The machine's name.
    test: String,
    /// The day from which on it may be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// What there is of it, as "KIND NAME", in the order of deletion.
    resources: Vec<String>,
    /// Whether it is to be deleted: its day is over, or `--tests` was given.
    delete: bool,
    /// Whether that was done.
    done: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cleanup {
    group: String,
    disks: Vec<Left>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tests: Vec<LeftTest>,
}

impl Document for Cleanup {
    const SCHEMA: &'static str = "refloat.azure/1";
}

pub(crate) fn run(context: &Context, args: &AzureArgs) -> Outcome {
    let AzureVerb::Cleanup { group, yes, tests } = &args.verb;
    let id: GroupId = group.strip_prefix("azure:").unwrap_or(group).parse().help(help::GROUP)?;
    let manager = manager(context)?;
    let mut disks = Vec::new();
    // What refloat did not make is somebody else's, whatever its state.
    let ours = |facts: &DiskFacts| facts.source.is_some() && (facts.is_unfinished() || facts.is_open());
    for (disk, facts) in id.disks(&manager)?.into_iter().filter(|(_, facts)| ours(facts)) {
        let delete = facts.is_unfinished();
        if *yes {
            remove(&ManagedDisk::new(&manager, &disk), &facts)?;
            if delete {
                forget(&disk)?;
            }
        }
        let (state, created) = (facts.state, facts.created);
        disks.push(Left { disk: format!("azure:{disk}"), state, created, delete, done: *yes });
    }
    let tests = left_tests(&id, &manager, *tests, *yes)?;
    let cleanup = Cleanup { group: id.to_string(), disks, tests };
    context.answer(&cleanup, || Ok(Page::from(text(&cleanup))))?;
    Ok(Answer::Yes)
}

/// Forgets what was sent to a disk that is no more.
pub(crate) fn forget(disk: &DiskId) -> Result<()> {
    if let Ok(state) = azure::state() {
        PageBlobDestination::forget(&format!("azure:{disk}"), &state)?;
    }
    Ok(())
}

/// The test machines that are left in a group; deletes those whose day is over, or `all`, if it is to.
fn left_tests(group: &GroupId, manager: &Manager, all: bool, yes: bool) -> Result<Vec<LeftTest>> {
    let today = day::in_days(0);
    let mut tests: Vec<LeftTest> = Vec::new();
    for resource in group.with_tag(manager, TEST_TAG)? {
        let expires = resource.tags.iter().find(|(name, _)| name == EXPIRES_TAG).map(|(_, day)| day.clone());
        // Days of this form have the order of their texts.
        let delete = all || expires.as_ref().is_some_and(|day| *day <= today);
        if yes && delete {
            resource.delete(manager)?;
            if resource.is_disk() {
                forget(&group.disk(&resource.name)?)?;
            }
        }
        let what = format!("{} {}", resource.kind, resource.name);
        match tests.iter_mut().find(|test| test.test == resource.tag) {
            Some(test) => test.resources.push(what),
            None => {
                let (test, resources, done) = (resource.tag, vec![what], yes && delete);
                tests.push(LeftTest { test, expires, resources, delete, done });
            }
        }
    }
    Ok(tests)
}

fn remove(disk: &ManagedDisk, facts: &DiskFacts) -> Result<()> {
    let closed = if facts.is_open() { disk.close() } else { Ok(()) };
    if facts.is_unfinished() {
        // That no VHD was found in it when it was closed is why it goes.
        disk.delete()?;
    } else {
        closed?;
    }
    Ok(())
}

fn text(cleanup: &Cleanup) -> String {
    let line = |left: &Left| {
        let Left { disk, state, created, delete, done } = left;
        let what = match (delete, done) {
            (true, true) => "closed and deleted",
            (true, false) => "never finished; --yes deletes it",
            (false, true) => "closed",
            (false, false) => "whole, but open to whoever has its signature; --yes closes it",
        };
        let created = created.as_ref().map_or(String::new(), |at| format!(", made {}", escape(at)));
        format!("{}: {}{created}: {what}\n", escape(disk), escape(state))
    };
    let lines: String = cleanup.disks.iter().map(line).collect();
    let test = |left: &LeftTest| {
        let LeftTest { test, expires, resources, delete, done } = left;
        let until = expires.as_ref().map_or(String::new(), |day| format!(", until {}", escape(day)));
        let what = match (delete, done) {
            (_, true) => "deleted",
            (true, false) => "its time is over, or is not asked for; --yes deletes it",
            (false, _) => "may still be looked at; --tests --yes deletes it",
        };
        let resources = resources.iter().map(|resource| format!("  {}\n", escape(resource)));
        format!("test machine {}{until}: {what}\n{}", escape(test), resources.collect::<String>())
    };
    let lines = lines + &cleanup.tests.iter().map(test).collect::<String>();
    match cleanup.disks.iter().any(|left| left.delete && !left.done) {
        _ if lines.is_empty() => format!("{}: no run of refloat's left a disk there\n", cleanup.group),
        true => lines + "a run that is under way leaves the same trace: end it first, or let it end\n",
        false => lines,
    }
}
