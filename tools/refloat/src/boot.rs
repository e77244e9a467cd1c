//! `refloat boot`: start the machine on a throw-away overlay and read its serial console.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use guestfix::report::{Line, Page};
use libdisk::{MachineDisk, Origin};
use testboot::{Drive, Error, Outcome, Request, Verdict};

use crate::answer::{self, Answer, Help};
use crate::cli::BootArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{help, image, name, next};

pub(crate) fn run(context: &Context, args: &BootArgs) -> answer::Outcome {
    // Our own opening comes first: what it refuses, a backing file anywhere say, QEMU never sees.
    let image = image::open(context, &args.image)?;
    let drive = |disk: &MachineDisk| match &disk.origin {
        Origin::File { path, format } => Drive::File { path: path.clone(), format, size: disk.disk.size() },
        // What the guest reads is fetched, and kept in the cache.
        Origin::Snapshot(_) => Drive::Served(disk.disk.clone()),
    };
    let disks: Vec<_> = image.machine.disks().iter().map(drive).collect();
    let log = args.log.clone().unwrap_or_else(|| default_log(&image.machine.os_disk().origin));
    image::not_read(&log).help(help::LOG)?;
    let request = Request {
        disks,
        target: args.target,
        qemu: args.qemu.clone(),
        memory: args.memory,
        timeout: Duration::from_secs(args.timeout),
        log,
    };
    let told = testboot::run(&request, context.cancel.flag(), |milestone| {
        context.note(format!("{:6.1} s  {}", milestone.seconds, milestone.hop));
    });
    let outcome = match told {
        Ok(outcome) => outcome,
        Err(Error::Cancelled) => return Err(answer::stopped()),
        Err(error @ (Error::Log { .. } | Error::NoLog(_))) => return Err(error).help(help::LOG),
        Err(error @ Error::Disks { .. }) => {
            return Err(error).help(
                "leave out disks that the boot does not need; the QEMU of the system has places for four",
            );
        }
        Err(error @ (Error::Start { .. } | Error::NotQemu { .. } | Error::NoFirmware)) => {
            return Err(error).help(help::NEEDS_QEMU);
        }
        Err(error) => return Err(error.into()),
    };
    context.answer(&outcome, || Ok(page(&outcome)))?;
    match &outcome.verdict {
        Verdict::Login => Ok(Answer::Yes),
        Verdict::Stopped { .. } => Ok(Answer::No),
        Verdict::Unknown { why, .. } => {
            let unknown: Result<Answer> = Err(anyhow!("no verdict: {why}"));
            let log = name::shown(&outcome.log);
            unknown.help(format!("read {log}; a longer --timeout, or a --qemu with VMBus storage, may tell"))
        }
    }
}

impl Document for Outcome {
    const SCHEMA: &'static str = "refloat.boot/2";
}

/// Beside nothing of the user's: in the current folder, named after the image.
fn default_log(origin: &Origin) -> PathBuf {
    let mut name = match origin {
        Origin::File { path, .. } => path.file_name().unwrap_or(path.as_os_str()).to_owned(),
        Origin::Snapshot(snapshot) => snapshot.id().into(),
    };
    name.push(".serial.log");
    name.into()
}

/// The answer, for people.
fn page(outcome: &Outcome) -> Page {
    let mut page = Page::new();
    let mut field = |name: &str, text: &str| page.line(Line::new(format!("  {name:<10}{text}")).hang(12));
    let (good, verdict) = match &outcome.verdict {
        Verdict::Login => {
            let login = outcome.milestones.last().map_or(outcome.seconds, |milestone| milestone.seconds);
            (true, format!("boots: it asks for a login after {login:.0} s"))
        }
        Verdict::Stopped { hop, why, evidence } => {
            field("why", why);
            field("evidence", evidence);
            (false, format!("does not boot: it stops at the {hop}"))
        }
        Verdict::Unknown { why, .. } => (false, format!("no verdict: {why}")),
    };
    for device in &outcome.waited_for {
        field("slow", &format!("it waited for {device}, which is not there: see /etc/fstab"));
    }
    field("devices", outcome.devices.label());
    field("log", &name::shown(&outcome.log));
    let mut whole = Page::new();
    whole.line(next::verdict(good, verdict));
    whole.append(page);
    whole
}
