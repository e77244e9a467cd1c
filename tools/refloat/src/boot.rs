//! `refloat boot`: start the machine on a throw-away overlay and read its serial console; with `--network`,
//! see what becomes of its network as well.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use guestfix::report::{Line, Page};
use guestfix::{Goal, Target};
use libdisk::{MachineDisk, Origin};
use testboot::{Direct, Drive, Error, Network, Outcome, Request, Started, Verdict};

use crate::answer::{self, Answer, Help};
use crate::cli::BootArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{help, image, name, next, symptom};

pub(crate) fn run(context: &Context, args: &BootArgs) -> answer::Outcome {
    // Our own opening comes first: what it refuses, a backing file anywhere say, QEMU never sees.
    let image = image::open(context, &args.image)?;
    let drive = |disk: &MachineDisk| match &disk.origin {
        Origin::File { path, format, snapshot: None, .. }
            if format.is_flat(path) || ["qcow2", "vdi"].contains(&format.name) =>
        {
            Drive::File { path: path.clone(), format, size: disk.disk.size() }
        }
        // QEMU reads other formats in part only, and another size of some; of internal snapshots it starts the active state. What the guest reads of a snapshot
        // is fetched, and kept in the cache.
        _ => Drive::Served(disk.disk.clone()),
    };
    let disks: Vec<_> = image.machine.disks().iter().map(drive).collect();
    let log = args.log.clone().unwrap_or_else(|| default_log(&image.machine.os_disk().origin));
    image::not_read(&log).help(help::LOG)?;
    let goal = Goal::new(args.target);
    let direct = match args.network {
        true => Some(Direct::of(&image.guest()?, &goal).or_else(refused)?),
        false => None,
    };
    let request = Request {
        disks,
        direct,
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
        Err(error) => return refused(error),
    };
    context.answer(&outcome, || Ok(page(args.target, &outcome)))?;
    match &outcome.verdict {
        Verdict::Login => {
            Ok(Answer::from_bool(outcome.network.as_ref().is_none_or(|network| network.answered)))
        }
        Verdict::Stopped { .. } => Ok(Answer::No),
        Verdict::Unknown { why, .. } => {
            let unknown: Result<Answer> = Err(anyhow!("no verdict: {why}"));
            let log = name::shown(&outcome.log);
            unknown.help(format!("read {log}; a longer --timeout, or a --qemu with VMBus storage, may tell"))
        }
    }
}

/// What keeps it from a verdict, with what to do.
fn refused<T>(error: Error) -> Result<T> {
    match error {
        Error::Log { .. } | Error::NoLog(_) => Err(error).help(help::LOG),
        Error::Disks { .. } => Err(error)
            .help("leave out disks that the boot does not need; the QEMU of the system has places for four"),
        Error::Start { .. } | Error::NotQemu { .. } | Error::NoFirmware => Err(error).help(help::NEEDS_QEMU),
        Error::NotDirect(_) => {
            Err(error).help("leave out --network: the boot loader may start what this cannot")
        }
        error => Err(error.into()),
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
        Origin::Blob(blob, _) => blob.url().name().into(),
        Origin::Managed(open, _) => open.id().name().into(),
    };
    name.push(".serial.log");
    name.into()
}

/// The answer, for people.
fn page(target: &Target, outcome: &Outcome) -> Page {
    let mut page = Page::new();
    let mut field = |name: &str, text: &str| page.line(Line::new(format!("  {name:<10}{text}")).hang(12));
    let (good, verdict) = match &outcome.verdict {
        Verdict::Login => {
            let login = outcome.milestones.last().map_or(outcome.seconds, |milestone| milestone.seconds);
            let answers = outcome.network.as_ref().is_none_or(|network| network.answered);
            let but = if answers { "" } else { "; its network does not answer" };
            (answers, format!("boots: it asks for a login after {login:.0} s{but}"))
        }
        Verdict::Stopped { hop, why, evidence } => {
            field("why", why);
            field("evidence", evidence);
            for symptom in symptom::of_verdict(&outcome.verdict) {
                symptom.rules().for_each(|rule| field("rule", &rule));
            }
            (false, format!("does not boot: it stops at the {hop}"))
        }
        Verdict::Unknown { why, .. } => (false, format!("no verdict: {why}")),
    };
    for device in &outcome.waited_for {
        field("slow", &format!("it waited for {device}, which is not there: see /etc/fstab"));
    }
    if let Some(network) = &outcome.network {
        field("network", &network_line(target, network));
    }
    if outcome.started == Started::Qemu {
        field("start", "the default menu entry, by QEMU: boot loader and menu were not tried");
    }
    field("devices", &outcome.devices.label(outcome.started));
    field("log", &name::shown(&outcome.log));
    let mut whole = Page::new();
    whole.line(next::verdict(good, verdict));
    whole.append(page);
    whole
}

/// What the network showed, with what the card leaves unproven.
fn network_line(target: &Target, network: &Network) -> String {
    let Network { card, mac, seconds, .. } = network;
    let showed = match &network.banner {
        Some(banner) => format!("it took its address, and port 22 says {banner} after {seconds:.0} s"),
        None if network.address => "it took its address, and no SSH server answers on port 22".to_owned(),
        None => "nothing answers at the address that DHCP gives".to_owned(),
    };
    let driver = target.platform.drivers.network;
    format!("{showed}; the card was {card} ({mac}): proves the configuration, not the driver {driver}")
}
