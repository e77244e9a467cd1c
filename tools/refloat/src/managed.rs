//! Managed disks in Azure: how they are to be, and the ones that unfinished runs left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use guestfix::handover::model::{EXPIRES_TAG, TEST_TAG};
use guestfix::platform::Firmware;
use guestfix::report::escape::escape;
use guestfix::report::{Page, counted};
use libdisk::cloud::azure::{
    Blob, DiskFacts, DiskId, DiskSettings, GroupId, ManagedDisk, Manager, OpenDisk, SystemDisk, TAG,
};
use libdisk::image::Existing;
use libdisk::{Destination, ImportedDiskDestination, ManagedDiskDestination, PageBlobDestination, ReadBack};
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
    /// What it is stored on; once for all disks of a machine, or once for each in their order
    #[arg(long = "sku", value_name = "SKU", default_value = "Premium_LRS",
          value_parser = ["Standard_LRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Premium_LRS", "Premium_ZRS"])]
    skus: Vec<String>,
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
    /// The security type of the virtual machine that starts from it; trusted launch takes --via or --guest-state
    #[arg(long, value_name = "TYPE", default_value = "standard")]
    security_type: SecurityArg,
    /// Write a page blob in a storage account first, which Azure then makes the disk of; it is deleted
    /// afterwards
    #[arg(long, value_name = "azure:URL?SAS")]
    via: Option<String>,
    /// The resource ID of that storage account [default: the one of its name in the subscription]
    #[arg(long, value_name = "ID", requires = "via", value_parser = account)]
    via_account: Option<String>,
    /// Leave that blob when the disk is made, and those of the machine's other disks: they can become newer
    /// snapshots (--since)
    #[arg(long, requires = "via")]
    keep_via: bool,
    /// The guest state of a virtual machine of trusted launch (VMGS), uploaded with the disk; a machine from
    /// elsewhere has none
    #[arg(long, value_name = "FILE", conflicts_with = "via")]
    guest_state: Option<PathBuf>,
}

/// What a virtual machine does for the integrity of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SecurityArg {
    /// Nothing
    Standard,
    /// A virtual TPM, and Secure Boot if it is on; for generation 2
    TrustedLaunch,
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

fn account(text: &str) -> Result<String, String> {
    let is_id = text.starts_with("/subscriptions/")
        && text.contains("/providers/Microsoft.Storage/storageAccounts/")
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    let what = "the ID of a storage account is \
                /subscriptions/…/resourceGroups/…/providers/Microsoft.Storage/storageAccounts/…";
    if is_id { Ok(text.to_owned()) } else { Err(what.to_owned()) }
}

/// How to a disk of trusted launch.
const TRUSTED: &str = "add --via azure:https://ACCOUNT.blob.core.windows.net/CONTAINER/NAME.vhd?SAS, a page blob that \
                       Azure makes the disk of, or --guest-state FILE; or leave --security-type out, and enable \
                       trusted launch on the virtual machine when it is made";

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

    /// The same for one disk of a machine, the first of which has the number 0.
    pub(crate) fn of_disk(mut self, index: usize) -> Self {
        if index < self.skus.len() {
            self.skus.swap(0, index);
        }
        self
    }

    /// Refuses what is said of each disk, where there are not so many.
    ///
    /// # Errors
    /// If it is neither once nor once for each.
    pub(crate) fn check_disks(&self, disks: usize) -> Result<()> {
        let skus = self.skus.len();
        if skus == 1 || skus == disks {
            return Ok(());
        }
        Err(anyhow!("--sku is given {skus} times, and the machine has {}", counted(disks, "disk")))
            .help("give it once for all disks, or once for each in their order")
    }

    /// The same, where it is known that it is attached by NVMe.
    pub(crate) fn attached_by(mut self, nvme: bool) -> Self {
        self.nvme |= nvme;
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

    /// Whether the disk is for a virtual machine of trusted launch.
    pub(crate) fn is_trusted(&self) -> bool {
        self.security_type == SecurityArg::TrustedLaunch
    }

    /// Refuses what is asked of a managed disk alone, where another target is named.
    pub(crate) fn check_unused(&self) -> Result<()> {
        let option = match self {
            Self { security_type: SecurityArg::TrustedLaunch, .. } => "--security-type",
            Self { via: Some(_), .. } => "--via",
            Self { guest_state: Some(_), .. } => "--guest-state",
            _ => return Ok(()),
        };
        Err(anyhow!("{option} is for a managed disk"))
            .help("write to azure:SUBSCRIPTION/GROUP/DISK, or leave it out")
    }

    /// Refuses what Azure would refuse, before a byte is sent.
    fn check(&self) -> Result<()> {
        let trusted = self.is_trusted();
        if trusted && self.generation.as_deref() == Some("1") {
            return Err(anyhow!("trusted launch is for generation 2 alone"))
                .help("leave --security-type out, or migrate the machine for azure-gen2");
        }
        if trusted && self.via.is_none() && self.guest_state.is_none() {
            return Err(anyhow!("Azure makes no disk of trusted launch by a plain upload")).help(TRUSTED);
        }
        if !trusted && self.guest_state.is_some() {
            return Err(anyhow!("a guest state is of a virtual machine of trusted launch"))
                .help("add --security-type trusted-launch, or leave --guest-state out");
        }
        Ok(())
    }

    fn settings(&self) -> Result<DiskSettings> {
        self.check()?;
        let os = self.os.map(|os| match os {
            OsArg::Linux => "Linux",
            OsArg::Windows => "Windows",
        });
        let trusted_launch = self.is_trusted();
        let generation = self.generation.as_deref().or(trusted_launch.then_some("2"));
        let generation = generation.map(|number| if number == "2" { "V2" } else { "V1" });
        let (nvme, accelerated) = (self.nvme, self.accelerated_network);
        let is_known = os.is_some() || generation.is_some() || nvme || accelerated;
        Ok(DiskSettings {
            location: self.location.clone(),
            sku: self.skus.first().cloned().unwrap_or_default(),
            zone: self.zone.clone(),
            tags: self.tags.clone(),
            encryption_set: self.encryption_set.clone(),
            disk_access: self.disk_access.clone(),
            system: is_known.then_some(SystemDisk { os, generation, nvme, accelerated, trusted_launch }),
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
) -> Result<Box<dyn Destination>> {
    let id: DiskId = name.parse().help(help::BLOB)?;
    if id.is_snapshot() {
        return Err(anyhow!("azure:{id} is a snapshot, and is only read"))
            .help("write to a disk: azure:SUBSCRIPTION/GROUP/DISK");
    }
    let (settings, manager) = (args.settings()?, manager(context)?);
    let (options, state, guest_state) =
        (azure::options(&context.global)?, azure::state()?, args.guest_state.clone());
    let disk =
        ManagedDiskDestination { id, settings, manager, options, existing, read_back, state, guest_state };
    let Some(via) = &args.via else { return Ok(Box::new(disk)) };
    let url = via.strip_prefix("azure:").unwrap_or(via);
    let via = azure::destination(context, url, existing, read_back)?;
    let (account, keep) = (args.via_account.clone(), args.keep_via);
    let may_delete = via.options.signatures.of(&via.url).is_none_or(|signature| signature.allows('d'));
    if !keep && !may_delete {
        return Err(anyhow!("{}: its shared access signature allows no deletion", via.name()))
            .help("get one that does (sp=rcwd), or add --keep-via to leave the blob when the disk is made");
    }
    Ok(Box::new(ImportedDiskDestination { disk, via, account, keep }))
}

/// What is asked of Azure itself.
#[derive(Debug, Args)]
pub(crate) struct AzureArgs {
    #[command(subcommand)]
    pub(crate) verb: AzureVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AzureVerb {
    /// List the managed disks and page blobs that unfinished runs left, disks that stand open, and test machines;
    /// with --yes close and delete them
    Cleanup {
        /// The resource group
        #[arg(value_name = "SUBSCRIPTION/GROUP")]
        group: String,
        /// Do it: disks of refloat's that were never finished are deleted, and blobs of imports from this machine
        /// that came to no end; finished disks that stand open are closed; test machines whose day is over are
        /// deleted with their disks and networks
        #[arg(long)]
        yes: bool,
        /// Test machines whose day is not over, too
        #[arg(long)]
        tests: bool,
        /// Only the test machine of this name, and nothing else
        #[arg(long, value_name = "NAME", conflicts_with = "tests")]
        test: Option<String>,
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

/// The page blob of an import that came to no end, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LeftBlob {
    /// Its address, without a signature.
    blob: String,
    /// The disk that was to be made of it.
    disk: String,
    /// Whether it was deleted.
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
    blobs: Vec<LeftBlob>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tests: Vec<LeftTest>,
}

impl Document for Cleanup {
    const SCHEMA: &'static str = "refloat.azure/1";
}

pub(crate) fn run(context: &Context, args: &AzureArgs) -> Outcome {
    let AzureVerb::Cleanup { group, yes, tests, test } = &args.verb;
    let id: GroupId = group.strip_prefix("azure:").unwrap_or(group).parse().help(help::GROUP)?;
    let manager = manager(context)?;
    if test.is_some() {
        let tests = left_tests(&id, &manager, test.as_deref(), true, *yes)?;
        let cleanup = Cleanup { group: id.to_string(), disks: Vec::new(), blobs: Vec::new(), tests };
        context.answer(&cleanup, || Ok(Page::from(text(&cleanup))))?;
        return Ok(Answer::Yes);
    }
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
    disks.extend(left_open(&id, &manager, *yes)?);
    let blobs = left_blobs(context, &id, *yes)?;
    let tests = left_tests(&id, &manager, None, *tests, *yes)?;
    let cleanup = Cleanup { group: id.to_string(), disks, blobs, tests };
    context.answer(&cleanup, || Ok(Page::from(text(&cleanup))))?;
    Ok(Answer::Yes)
}

/// What this machine has opened to read it and never closed; closes it, if it is to.
fn left_open(group: &GroupId, manager: &Arc<Manager>, yes: bool) -> Result<Vec<Left>> {
    let Ok(state) = azure::state() else { return Ok(Vec::new()) };
    let mut left = Vec::new();
    for id in OpenDisk::left(&state, group) {
        let disk = ManagedDisk::new(manager, &id);
        // What is closed, or gone, is no matter any more.
        let open = disk.facts()?.filter(DiskFacts::is_open);
        if open.is_some() && yes {
            disk.close()?;
        }
        if open.is_none() || yes {
            OpenDisk::forget(&state, &id)?;
        }
        left.extend(open.map(|DiskFacts { state, created, .. }| Left {
            disk: format!("azure:{id}"),
            state,
            created,
            delete: false,
            done: yes,
        }));
    }
    Ok(left)
}

/// The blobs that imports into a group have left; deletes them, if it is to.
fn left_blobs(context: &Context, group: &GroupId, yes: bool) -> Result<Vec<LeftBlob>> {
    let Ok(state) = azure::state() else { return Ok(Vec::new()) };
    let mut left = Vec::new();
    for (disk, url) in ImportedDiskDestination::left(&state, group) {
        if yes {
            Blob::new(&url, &azure::options(&context.global)?)?.delete()?;
            ImportedDiskDestination::forget(&disk, &url, &state)?;
        }
        left.push(LeftBlob { blob: format!("azure:{url}"), disk: format!("azure:{disk}"), done: yes });
    }
    Ok(left)
}

/// Forgets what was sent to a disk that is no more.
pub(crate) fn forget(disk: &DiskId) -> Result<()> {
    if let Ok(state) = azure::state() {
        PageBlobDestination::forget(&format!("azure:{disk}"), &state)?;
    }
    Ok(())
}

/// The test machines that are left in a group, or the one of this name; deletes those whose day is over, or `all`, if it is
/// to.
fn left_tests(
    group: &GroupId,
    manager: &Manager,
    only: Option<&str>,
    all: bool,
    yes: bool,
) -> Result<Vec<LeftTest>> {
    let today = day::in_days(0);
    let mut tests: Vec<LeftTest> = Vec::new();
    let left = group.with_tag(manager, TEST_TAG)?.into_iter();
    for resource in left.filter(|resource| only.is_none_or(|name| resource.tag == name)) {
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
    let blob = |left: &LeftBlob| {
        let LeftBlob { blob, disk, done } = left;
        let what = if *done { "deleted" } else { "--yes deletes it, with a signature that allows that" };
        format!("{}: a page blob for {}, which was not made of it: {what}\n", escape(blob), escape(disk))
    };
    let lines: String = cleanup.disks.iter().map(line).collect();
    let lines = lines + &cleanup.blobs.iter().map(blob).collect::<String>();
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
    let under_way = cleanup.disks.iter().any(|left| left.delete && !left.done)
        || cleanup.blobs.iter().any(|left| !left.done);
    match under_way {
        _ if lines.is_empty() => format!("{}: no run of refloat's left a disk there\n", cleanup.group),
        true => lines + "a run that is under way leaves the same trace: end it first, or let it end\n",
        false => lines,
    }
}
