//! `refloat verify`: is it a well-formed upload, and has it the content of another image?

use anyhow::{Result, anyhow};
use libdisk::block::{Disk, ExtentKind};
use libdisk::image::vhd;
use libdisk::{MachineDisk, volume};
use serde::Serialize;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::VerifyArgs;
use crate::context::Context;
use crate::image;

/// How much is compared at once, in bytes.
const PIECE: usize = 1 << 20;

/// What was found, for `--json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// It can be uploaded as it is.
    pub(crate) well_formed: bool,
    /// What was looked at.
    pub(crate) findings: Vec<Finding>,
    /// Whether it has the content of the other image; absent where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) same: Option<bool>,
    /// The first byte that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_difference: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    id: &'static str,
    ok: bool,
    text: String,
}

pub(crate) fn run(context: &Context, args: &VerifyArgs) -> Outcome {
    let image = image::open(context, &args.image)?;
    let mut verdicts = Vec::new();
    for MachineDisk { origin, .. } in image.machine.disks() {
        let Some(path) = origin.path() else {
            let error: Outcome = Err(anyhow!("{origin} is no file, so it has no form to judge"));
            return error.help("give the file first: refloat verify FILE ebs:… compares its content");
        };
        verdicts.push((origin.to_string(), well_formed(path)?));
    }
    if let Some(other) = &args.other {
        let other = image::open_other(context, other)?;
        let (ours, theirs) = (image.machine.disks(), other.machine.disks());
        if ours.len() != theirs.len() {
            let what =
                format!("{} has {} disks, and {} has {}", image.name, ours.len(), other.name, theirs.len());
            let error: Outcome = Err(anyhow!(what));
            return error.help("name the further disks of the first machine with --disk");
        }
        for ((ours, theirs), (_, verdict)) in ours.iter().zip(theirs).zip(&mut verdicts) {
            compare(verdict, &ours.disk, &theirs.disk)?;
        }
    }
    let good = |verdict: &Verdict| verdict.well_formed && verdict.same != Some(false);
    let answer = Answer::from_bool(verdicts.iter().all(|(_, verdict)| good(verdict)));
    let text: String = verdicts.iter().map(|(name, verdict)| render(verdict, name, args)).collect();
    let mut verdicts = verdicts.into_iter().map(|(_, verdict)| verdict);
    let verified = Verified { os: verdicts.next(), data: verdicts.collect() };
    context.answer("refloat.verify/1", &verified, || Ok(text.into()))?;
    Ok(answer)
}

/// The answer, for `--json`.
#[derive(Debug, Serialize)]
struct Verified {
    /// Of the disk that the machine starts from.
    #[serde(flatten)]
    os: Option<Verdict>,
    /// Of its other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<Verdict>,
}

/// The form of the file alone.
pub(crate) fn well_formed(path: &std::path::Path) -> Result<Verdict> {
    let report = vhd::check(path)?;
    let well_formed = report.well_formed();
    let findings =
        report.findings.into_iter().map(|found| Finding { id: found.id, ok: found.ok, text: found.text });
    Ok(Verdict { well_formed, findings: findings.collect(), ..Verdict::default() })
}

/// The content: that of `other`, padded as `convert` pads it.
fn compare(verdict: &mut Verdict, disk: &Disk, other: &Disk) -> Result<()> {
    let padded = if disk.size() == other.size() { other.clone() } else { volume::pad_to_mib(other.clone())? };
    verdict.first_difference = if disk.size() == padded.size() {
        first_difference(disk, &padded)?
    } else {
        Some(disk.size().min(padded.size()))
    };
    verdict.same = Some(verdict.first_difference.is_none());
    Ok(())
}

/// The first byte at which two devices of the same size differ. What is zero on both sides is not read.
fn first_difference(a: &Disk, b: &Disk) -> Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < a.size() {
        let (x, y) = (a.extent_at(at..a.size())?, b.extent_at(at..b.size())?);
        let run = x.len.min(y.len);
        if (x.kind, y.kind) == (ExtentKind::Zero, ExtentKind::Zero) {
            at += run;
            continue;
        }
        let len = run.min(PIECE as u64) as usize;
        a.read_at(&mut left[..len], at)?;
        b.read_at(&mut right[..len], at)?;
        if left[..len] != right[..len] {
            let within = left[..len].iter().zip(&right[..len]).position(|(x, y)| x != y).unwrap_or(0);
            return Ok(Some(at + within as u64));
        }
        at += len as u64;
    }
    Ok(None)
}

fn render(verdict: &Verdict, name: &str, args: &VerifyArgs) -> String {
    let mut out = String::new();
    for Finding { id, ok, text } in &verdict.findings {
        let mark = if *ok { "ok     " } else { "WRONG  " };
        out += &format!("{mark}  {id:<12}  {text}\n");
    }
    if let (Some(same), Some(other)) = (verdict.same, &args.other) {
        out += &match (same, verdict.first_difference) {
            (true, _) => format!("ok       content       the same as {other}\n"),
            (false, at) => {
                format!("WRONG    content       differs from {other} at byte {:#x}\n", at.unwrap_or(0))
            }
        };
    }
    let answer = match (verdict.well_formed, verdict.same) {
        (true, None) => "a valid VHD for Azure",
        (true, Some(true)) => "a valid VHD for Azure, with the same content",
        (true, Some(false)) => "a valid VHD for Azure, but its content differs",
        (false, Some(true)) => "not a valid VHD for Azure; the content is the same",
        (false, _) => "not a valid VHD for Azure",
    };
    out + &format!("\n{name}: {answer}\n")
}

#[cfg(test)]
mod tests {
    use libdisk::block::{Memory, Zeros};

    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        let mut bytes = vec![0; 3 << 20];
        let zeros = Disk::new(Zeros::new(3 << 20));
        assert_eq!(first_difference(&Disk::new(Memory::new(bytes.clone())), &zeros).unwrap(), None);
        bytes[(2 << 20) + 17] = 1;
        assert_eq!(first_difference(&zeros, &Disk::new(Memory::new(bytes))).unwrap(), Some((2 << 20) + 17));
    }
}
