//! `refloat boot`: start the machine on a throw-away overlay and read its serial console.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use libdisk::Place;
use testboot::{Error, Outcome, Request, Verdict};

use crate::answer::{self, Answer, Help};
use crate::cli::{BootArgs, Global};
use crate::{image, stop};

/// What to do where there is no QEMU that can.
const NEEDS_QEMU: &str = "test boots need QEMU: Debian packages qemu-system-x86 and ovmf, or --qemu PATH";
/// What to do about a log that cannot be kept.
const OTHER_LOG: &str = "name another file with --log";

pub(crate) fn run(global: &Global, args: &BootArgs) -> answer::Outcome {
    // Our own opening comes first: what it refuses, a backing file anywhere say, QEMU never sees.
    let image = image::open(global, &args.image)?;
    ensure!(image.address.place == Place::Disk, "{}: only a whole disk can boot", args.image);
    let log = args.log.clone().unwrap_or_else(|| default_log(&image.opened.path));
    image::not_read(&log).help(OTHER_LOG)?;
    let request = Request {
        image: image.opened.path.clone(),
        format: image.opened.format,
        size: image.disk().size(),
        target: args.target.into(),
        qemu: args.qemu.clone(),
        memory: args.memory,
        timeout: Duration::from_secs(args.timeout),
        log,
    };
    let told = testboot::run(&request, stop::heeded(), |milestone| {
        if !global.quiet {
            answer::aside(&format!("{:6.1} s  {}", milestone.seconds, milestone.step.label()));
        }
    });
    let outcome = match told {
        Ok(outcome) => outcome,
        Err(Error::Cancelled) => return Ok(Answer::Stopped),
        Err(error @ (Error::Log { .. } | Error::NoLog(_))) => return Err(error).help(OTHER_LOG),
        Err(error @ (Error::Start { .. } | Error::NotQemu { .. } | Error::NoFirmware)) => {
            return Err(error).help(NEEDS_QEMU);
        }
        Err(error) => return Err(error.into()),
    };
    if global.json {
        answer::json("refloat.boot/1", &outcome)?;
    } else {
        answer::text(&render(&outcome)?)?;
    }
    match &outcome.verdict {
        Verdict::Login => Ok(Answer::Yes),
        Verdict::Stopped { .. } => Ok(Answer::No),
        Verdict::Unknown { why } => {
            let unknown: Result<Answer> = Err(anyhow!("no verdict: {why}"));
            let log = outcome.log.display();
            unknown.help(format!("read {log}; a longer --timeout, or a --qemu with VMBus storage, may tell"))
        }
    }
}

/// Beside nothing of the user's: in the current folder, named after the image.
fn default_log(image: &std::path::Path) -> PathBuf {
    let name = image.file_name().unwrap_or(image.as_os_str()).to_string_lossy();
    format!("{name}.serial.log").into()
}

/// The answer, for people.
fn render(outcome: &Outcome) -> Result<String> {
    let mut text = String::new();
    match &outcome.verdict {
        Verdict::Login => {
            let login = outcome.milestones.last().map_or(outcome.seconds, |milestone| milestone.seconds);
            writeln!(text, "boots: it asks for a login after {login:.0} s")?;
        }
        Verdict::Stopped { step, why, evidence } => {
            writeln!(
                text,
                "does not boot: stopped at: {}\n  why       {why}\n  evidence  {evidence}",
                step.label()
            )?;
        }
        Verdict::Unknown { why } => writeln!(text, "no verdict: {why}")?,
    }
    for device in &outcome.waited_for {
        writeln!(text, "  slow      it waited for {device}, which is not there: see /etc/fstab")?;
    }
    writeln!(text, "  devices   {}", outcome.devices.label())?;
    writeln!(text, "  log       {}", outcome.log.display())?;
    Ok(text)
}
