//! `refloat emit`: the virtual machine around the disks, as code, and the cut-over as a runbook.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use guestfix::facts::Facts;
use guestfix::handover::model::{
    AttachedDisk, Backup, Controller, Handover, Network, Placement, Security, Subnet,
};
use guestfix::handover::references::{References, references};
use guestfix::handover::runbook::Runbook;
use guestfix::handover::{arm, az, bicep, document, terraform};
use guestfix::report::{Line, Page};
use guestfix::{View, facts::OsKind, inspect, plan};
use libdisk::block;
use libdisk::image::{Output, write_file};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::{EmitArgs, EmitFormat};
use crate::context::Context;
use crate::document::Document;
use crate::image::{self, Image};
use crate::next::Command;
use crate::{help, name};

/// Where SQL Server is on Linux ("Configure SQL Server on Linux", Microsoft Learn, 2026).
const SQL_SERVER: &str = "/opt/mssql/bin/sqlservr";
/// Addresses of a network that is made, if none are given.
const ADDRESSES: &str = "10.20.0.0/24";

/// What was made.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Emitted {
    format: EmitFormat,
    /// The virtual machine's name.
    name: String,
    /// The file that it was written to; none if `text` is the answer alone.
    output: Option<String>,
    /// The whole file.
    text: String,
    /// What the guest's configuration still says of AWS: of a runbook alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<References>,
}

impl Document for Emitted {
    const SCHEMA: &'static str = "refloat.emit/1";
}

pub(crate) fn run(context: &Context, args: &EmitArgs) -> Outcome {
    if let Some(output) = &args.output {
        free(output, args.force)?;
    }
    let image = image::open(context, &args.image)?;
    let tree = image.guest_for(&args.goal)?;
    let facts = inspect::gather(&tree)?;
    let handover = handover(args, &image, &tree, &facts)?;
    if let Err(mistake) = handover.check() {
        let instead = mistake.instead;
        return Err(mistake).help(instead);
    }
    if tree.exists(SQL_SERVER)? && handover.sql.is_none() && handover.expires.is_none() {
        context.note("note: SQL Server is on this machine: --sql-license registers it in Azure");
    }
    let (text, found) = match args.format {
        EmitFormat::Arm => (arm::render(&handover), None),
        EmitFormat::Bicep => (bicep::render(&handover), None),
        EmitFormat::Terraform => (terraform::render(&handover), None),
        EmitFormat::Az => (az::render(&handover), None),
        EmitFormat::Runbook => {
            let (text, found) = runbook(context, args, &image, &tree, &facts, &handover)?;
            (text, Some(found))
        }
    };
    if let Some(output) = &args.output {
        let replacing = Output::replacing(output);
        write_file(&replacing, text.as_bytes()).help(help::OTHER_NAME)?;
    }
    let emitted = Emitted {
        format: args.format,
        name: handover.name,
        output: args.output.as_deref().map(name::shown),
        text,
        references: found,
    };
    context.answer(&emitted, || Ok(page(&emitted)))?;
    Ok(Answer::Yes)
}

fn page(emitted: &Emitted) -> Page {
    match &emitted.output {
        Some(output) => {
            let mut page = Page::new();
            page.line(Line::new(format!("wrote {output}: {} lines", emitted.text.lines().count())));
            page
        }
        None => Page::from(emitted.text.clone()),
    }
}

/// Whether a file may be written there.
fn free(path: &Path, force: bool) -> Result<()> {
    if block::check_sidecar(path).help(help::OTHER_NAME)? && !force {
        return Err(anyhow!("{} already exists", name::shown(path))).help(help::FORCE);
    }
    Ok(())
}

/// What was asked for, over what the machine is.
fn handover(args: &EmitArgs, image: &Image, view: &dyn View, facts: &Facts) -> Result<Handover> {
    let host = facts.hostname.as_deref().and_then(|host| host.split('.').next());
    let name = args.name.as_deref().or(host).unwrap_or_default();
    if name.is_empty() {
        return Err(anyhow!("the guest has no host name to name the virtual machine by")).help("give --name");
    }
    let name = if args.test { format!("{name}-test") } else { name.to_owned() };
    let os = facts.os.as_ref().map_or(OsKind::Linux, |os| os.kind);
    if args.sql_license.is_some() && !view.exists(SQL_SERVER)? {
        return Err(anyhow!("no SQL Server is on this machine")).help("leave --sql-license out");
    }
    let prefix = args.address_space.clone().unwrap_or_else(|| ADDRESSES.to_owned());
    let subnet = match &args.subnet {
        Some(id) => Subnet::Existing(id.clone()),
        None if args.test => Subnet::Isolated(prefix),
        None => Subnet::New(prefix),
    };
    let placement = match (&args.zone, &args.availability_set) {
        (Some(zone), _) => Placement::Zone(zone.clone()),
        (None, Some(set)) => Placement::Set(set.clone()),
        (None, None) => Placement::Region,
    };
    let security = if args.trusted_launch {
        Security::TrustedLaunch { secure_boot: args.secure_boot }
    } else {
        Security::Standard
    };
    Ok(Handover {
        disks: disks(args, image, &name)?,
        group: args.resource_group.clone(),
        location: args.location.clone(),
        size: args.size.clone(),
        target: args.goal.target,
        os,
        placement,
        network: Network {
            subnet,
            address: args.private_ip.map(|address| address.to_string()),
            accelerated: args.accelerated_networking,
        },
        security,
        controller: if args.nvme { Controller::Nvme } else { Controller::Scsi },
        licence: args.license_type,
        encryption_set: args.disk_encryption_set.clone(),
        encryption_at_host: args.encryption_at_host,
        tags: args.tags.clone(),
        backup: args.backup.as_deref().map(backup),
        maintenance: args.maintenance_configuration.clone(),
        just_in_time: args.just_in_time.clone(),
        sql: args.sql_license,
        expires: args.expires.clone(),
        name,
    })
}

/// VAULT, or VAULT/POLICY.
fn backup(text: &str) -> Backup {
    let (vault, policy) = text.split_once('/').unwrap_or((text, "DefaultPolicy"));
    Backup { vault: vault.to_owned(), policy: policy.to_owned() }
}

/// One disk of Azure's for each of the machine's.
fn disks(args: &EmitArgs, image: &Image, name: &str) -> Result<Vec<AttachedDisk>> {
    let count = image.machine.data_disks().len();
    let given = args.data_disks.len();
    if given > 0 && given != count {
        let what = anyhow!("of data disks, {given} are named, and the machine has {count}");
        return Err(what).help("give --data-disk once for each, in the order of the machine's disks");
    }
    let first = args.os_disk.clone().unwrap_or_else(|| format!("{name}-os"));
    // As migrate names the disks beside that one.
    let stem = args.os_disk.as_deref().unwrap_or(name);
    let data = (1..=count).map(|number| format!("{stem}-data{number}"));
    let data = if given > 0 { args.data_disks.clone() } else { data.collect() };
    Ok(std::iter::once(first).chain(data).map(|disk| AttachedDisk::of(&disk)).collect())
}

fn runbook(
    context: &Context,
    args: &EmitArgs,
    image: &Image,
    view: &dyn View,
    facts: &Facts,
    handover: &Handover,
) -> Result<(String, References)> {
    let plan = plan::plan(view, &image.plan_identities()?, &args.goal.goal())?;
    let found = references(view).context("looking for what names AWS")?;
    let migrate = Command::new("migrate").word(&args.image).word(format!("{}.vhd", handover.name));
    let migrate = migrate.goal(&args.goal).opening(context).text();
    let runbook = Runbook { handover, view, facts, plan: &plan, references: &found, migrate };
    let blocks = runbook.blocks();
    let html = args.html || args.output.as_deref().is_some_and(is_html);
    let text = if html { document::html(&blocks) } else { document::markdown(&blocks) };
    Ok((text, found))
}

fn is_html(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("html"))
}
