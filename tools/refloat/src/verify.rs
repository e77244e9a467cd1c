//! `refloat verify`: is it a well-formed upload, and has it the content of another image?

use std::path::Path;

use anyhow::{Result, anyhow};
use guestfix::report::{Page, counted};
use guestfix::undo;
use libdisk::block::{self, ContentSum, ErrorKind};
use libdisk::image::ova::{self, Found};
use libdisk::image::{transfer, vhd};
use libdisk::{Address, FileFormat, Format, Location, MachineDisk, Place, volume};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::{self, Answer, Help};
use crate::azure;
use crate::cli::VerifyArgs;
use crate::context::Context;
use crate::document::Document;
use crate::image::{self, Takes};
use crate::next::{self, Command};

/// The id of a finding: it is in a format that is not judged.
const FORMAT: &str = "format";

/// What was found, for `--json`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// It can be uploaded as it is; absent where two images that are no VHDs are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) well_formed: Option<bool>,
    /// What was looked at.
    pub(crate) findings: Vec<Finding>,
    /// Whether it has the content of the other image; absent where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) same: Option<bool>,
    /// The sizes of both in bytes, if they differ by more than padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    sizes: Option<[u64; 2]>,
    /// The first byte that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_difference: Option<u64>,
    /// What its content was compared with.
    #[serde(skip)]
    other: String,
    /// It is no upload, and its content can be read, so that a copy is one.
    #[serde(skip)]
    mends: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Finding {
    id: &'static str,
    outcome: Outcome,
    text: String,
}

/// What a look at one thing has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Ok,
    Wrong,
    /// It was not looked at; the text says why.
    NotChecked,
}

impl Finding {
    fn new(id: &'static str, ok: bool, text: impl Into<String>) -> Self {
        Self { id, outcome: if ok { Outcome::Ok } else { Outcome::Wrong }, text: text.into() }
    }
}

impl Verdict {
    /// The verdict on the form alone.
    pub(crate) fn of_form(report: vhd::Report) -> Self {
        let well_formed = Some(report.well_formed());
        let findings = report.findings.into_iter().map(|found| Finding::new(found.id, found.ok, found.text));
        Self { well_formed, findings: findings.collect(), ..Self::default() }
    }

    /// Whether nothing is wrong.
    fn good(&self) -> bool {
        self.findings.iter().all(|finding| finding.outcome != Outcome::Wrong)
    }
}

pub(crate) fn run(context: &Context, args: &VerifyArgs) -> answer::Outcome {
    let verdicts = judge(context, args)?;
    let good = |verdict: &Verdict| verdict.good() && verdict.same != Some(false);
    let answer = Answer::from_bool(verdicts.iter().all(|(_, verdict)| good(verdict)));
    let mut page = Page::default();
    for (name, verdict) in &verdicts {
        page.append(render(verdict, name).into());
    }
    let wrong: Vec<_> = verdicts.iter().filter(|(_, verdict)| !good(verdict)).collect();
    if let ([(first, _), ..], 2..) = (wrong.as_slice(), verdicts.len()) {
        let those = format!(
            "{} of {} disks are not as they should be; the first is {first}",
            wrong.len(),
            verdicts.len()
        );
        page.line(next::verdict(false, those));
    }
    let other = |verdict: &Verdict| verdict.findings.iter().any(|finding| finding.id == FORMAT);
    let advice = if verdicts.iter().any(|(_, verdict)| other(verdict)) {
        Some("verify takes a VHD, or two images to compare; to make a VHD of it:")
    } else if verdicts.iter().any(|(_, verdict)| verdict.mends) {
        Some("to make one of it, with all that it holds:")
    } else {
        None
    };
    if let Some(advice) = advice {
        let output = next::free(next::output_name(&args.image, "vhd"));
        let convert = Command::new("convert").word(&args.image).path(&output).opening(context);
        page.line(next::advice(advice));
        page.line(next::line(&convert));
    }
    let mut verdicts = verdicts.into_iter().map(|(_, verdict)| verdict);
    let verified = Verified { os: verdicts.next(), data: verdicts.collect() };
    context.answer(&verified, || Ok(page))?;
    Ok(answer)
}

/// A verdict on each disk of the machine, with its name.
fn judge(context: &Context, args: &VerifyArgs) -> Result<Vec<(String, Verdict)>> {
    let image = match image::open(context, &args.image) {
        Ok(image) => image,
        Err(error) => return Ok(vec![(args.image.clone(), malformed(context, &args.image, error)?)]),
    };
    let mut verdicts = Vec::new();
    for disk in image.machine.disks() {
        let whole = image.address.place == Place::Disk;
        let file = disk.origin.path().filter(|_| whole);
        let uploaded = if whole { azure::uploaded(disk)? } else { None };
        if file.is_none() && uploaded.is_none() && args.other.is_none() {
            let error: Result<Verdict> =
                Err(anyhow!("{}: not a file that could be a VHD for Azure", args.image));
            error.help("name a second image to compare its content with")?;
        }
        let mut verdict = match file {
            Some(path) if is_vhd(path, disk) => well_formed(path)?,
            Some(_) if args.other.is_none() => other_format(disk.origin.format()),
            _ => uploaded
                .as_ref()
                .and_then(|found| found.form.clone())
                .map(Verdict::of_form)
                .unwrap_or_default(),
        };
        verdict.mends = file.is_some() && verdict.well_formed == Some(false);
        if let Some(path) = file.filter(|_| *disk.origin.format() == ova::FORMAT && verdicts.is_empty()) {
            verdict.findings.splice(0..0, manifest(path)?);
        }
        if let Some(written) = uploaded.and_then(|found| found.content) {
            verdict.findings.push(content(context, disk, written)?);
            verdict.well_formed = verdict.well_formed.map(|_| verdict.good());
        }
        if let Some(path) = file {
            verdict.findings.extend(as_written(context, path, disk)?);
            verdict.well_formed = verdict.well_formed.map(|_| verdict.good());
        }
        verdicts.push((disk.origin.to_string(), verdict));
    }
    if let Some(typed) = &args.other {
        let other = image::open_disks(context, typed, &args.other_disks, Takes::Volume)?;
        let (ours, theirs) = (image.machine.disks(), other.machine.disks());
        if ours.len() != theirs.len() {
            let has = counted(ours.len(), "disk");
            let what = format!("{} has {has}, and {} has {}", image.name, other.name, theirs.len());
            let error: Result<()> = Err(anyhow!(what));
            error.help(
                "name the further disks of the first with --disk, those of the second with --other-disk",
            )?;
        }
        for (at, ((ours, theirs), (_, verdict))) in ours.iter().zip(theirs).zip(&mut verdicts).enumerate() {
            compare(context, verdict, ours, theirs)?;
            verdict.other = if at == 0 { typed.clone() } else { theirs.origin.to_string() };
        }
    }
    Ok(verdicts)
}

/// Whether it is a VHD, or is called one.
fn is_vhd(path: &Path, disk: &MachineDisk) -> bool {
    is_named_vhd(path) || *disk.origin.format() == vhd::FORMAT
}

fn is_named_vhd(path: &Path) -> bool {
    FileFormat::of(path, None) == Ok(FileFormat::Vhd)
}

/// An image that nobody takes for a VHD.
fn other_format(format: &Format) -> Verdict {
    let text = format!("this is an image in the format {format}, and Azure takes fixed VHDs");
    Verdict {
        well_formed: Some(false),
        findings: vec![Finding::new(FORMAT, false, text)],
        ..Verdict::default()
    }
}

/// Whether the files in an archive are those that its manifest lists.
fn manifest(path: &Path) -> Result<Vec<Finding>> {
    const ID: &str = "manifest";
    let Some(listed) = ova::check_manifest(path)? else {
        let text = "there is none, which would say what its files have to be".to_owned();
        return Ok(vec![Finding { id: ID, outcome: Outcome::NotChecked, text }]);
    };
    let finding = |ova::Listed { name, algorithm, found }| match found {
        Found::Same => Finding::new(ID, true, format!("{name} has its {algorithm}")),
        Found::Other => Finding::new(ID, false, format!("{name} has another {algorithm} than is listed")),
        Found::Missing => Finding::new(ID, false, format!("{name} is listed, and not in the archive")),
        Found::Unknown => {
            let text = format!("{name}: not compared, as {algorithm:?} is no digest that refloat knows");
            Finding { id: ID, outcome: Outcome::NotChecked, text }
        }
    };
    Ok(listed.into_iter().map(finding).collect())
}

/// What cannot be opened may be a malformed VHD, and that is an answer.
fn malformed(context: &Context, name: &str, error: anyhow::Error) -> Result<Verdict> {
    let of_image = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref().map(block::Error::kind);
    let kind = answer::causes(&error).find_map(of_image);
    let corrupt = matches!(kind, Some(ErrorKind::Corrupt | ErrorKind::Unsupported));
    if let Ok(Address { location: Location::File { path, .. }, place: Place::Disk, path: None }) =
        name.parse()
        && path
            .metadata()
            .is_ok_and(|file| file.is_file() && (corrupt || (file.len() == 0 && is_named_vhd(&path))))
    {
        let verdict = well_formed(&path)?;
        if verdict.well_formed == Some(false) {
            context.sources.add_unreadable(&path, format!("{error:#}"));
            return Ok(verdict);
        }
    }
    Err(error)
}

/// Whether the content is what refloat wrote, if it did.
fn as_written(context: &Context, path: &Path, disk: &MachineDisk) -> Result<Option<Finding>> {
    let Some(written) = transfer::content(path)? else { return Ok(None) };
    if undo::status(path)?.is_some() {
        let text = "not compared with what was written: apply --in-place has changed it since".to_owned();
        return Ok(Some(Finding { id: "content", outcome: Outcome::NotChecked, text }));
    }
    content(context, disk, written).map(Some)
}

/// Whether the content is the one that was written.
fn content(context: &Context, disk: &MachineDisk, written: ContentSum) -> Result<Finding> {
    let options = context.copy_options(disk.origin.path().is_none());
    disk.origin.set_streaming(true);
    let found = block::content_sum(&disk.disk, &options, &*context.observer)?;
    let ok = found == written;
    let text = if ok {
        format!("as it was written (XXH3 sum {found})")
    } else {
        format!("not what was written: the XXH3 sum is {found}, and was {written}")
    };
    Ok(Finding::new("content", ok, text))
}

/// The answer, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Verified {
    /// Of the disk that the machine starts from.
    #[serde(flatten)]
    os: Option<Verdict>,
    /// Of its other disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<Verdict>,
}

impl Document for Verified {
    const SCHEMA: &'static str = "refloat.verify/2";
}

/// The form of the file alone.
fn well_formed(path: &Path) -> Result<Verdict> {
    Ok(Verdict::of_form(vhd::check(path)?))
}

/// The content: that of `other`, padded as `convert` pads it.
fn compare(context: &Context, verdict: &mut Verdict, disk: &MachineDisk, other: &MachineDisk) -> Result<()> {
    let (size, theirs) = (disk.disk.size(), &other.disk);
    let mib = |size: u64| Ok(size.next_multiple_of(vhd::SIZE_UNIT));
    // As it is, as refloat pads it, and as others do.
    let padded = match theirs.size() == size {
        true => Some(theirs.clone()),
        false => [vhd::upload_size as fn(u64) -> block::Result<u64>, mib]
            .into_iter()
            .filter_map(|fit| volume::pad(theirs.clone(), fit).ok())
            .find(|padded| padded.size() == size),
    };
    // Of disks that no padding makes equal, what both have is compared.
    let both = size.min(theirs.size());
    let [ours, theirs] = match &padded {
        Some(padded) => [disk.disk.clone(), padded.clone()],
        None => [disk.disk.slice(0..both)?, theirs.slice(0..both)?],
    };
    let far = [disk, other].map(|disk| Some(&disk.origin).filter(|origin| origin.path().is_none()));
    let options = context.copy_options(far.iter().any(Option::is_some));
    // The first is read in whole blocks, each once: of two that are far away the other goes through the cache.
    let [first, second] = match far {
        [None, Some(_)] => [&theirs, &ours],
        _ => [&ours, &theirs],
    };
    if let Some(streamed) = far.into_iter().flatten().next() {
        streamed.set_streaming(true);
    }
    let difference = block::compare(first, second, &options, &*context.observer)?;
    verdict.first_difference = difference.or(padded.is_none().then_some(both));
    verdict.sizes = padded.is_none().then_some([size, other.disk.size()]);
    verdict.same = Some(verdict.first_difference.is_none());
    Ok(())
}

fn render(verdict: &Verdict, name: &str) -> String {
    let mut out = String::new();
    for Finding { id, outcome, text } in &verdict.findings {
        let mark = match outcome {
            Outcome::Ok => "ok     ",
            Outcome::Wrong => "WRONG  ",
            Outcome::NotChecked => "note   ",
        };
        out += &format!("{mark}  {id:<12}  {text}\n");
    }
    let other = &verdict.other;
    if let Some(same) = verdict.same {
        out += &match (same, verdict.first_difference) {
            (true, _) => format!("ok       content       the same as {other}\n"),
            (false, at) => {
                format!("WRONG    content       differs from {other} at byte {:#x}\n", at.unwrap_or(0))
            }
        };
        if let Some([ours, theirs]) = verdict.sizes {
            out += &format!("WRONG    size          {ours} bytes, and {other} has {theirs}\n");
        }
    }
    let answer = match (verdict.well_formed, verdict.same) {
        (Some(true), None) => "a valid VHD for Azure",
        (Some(true), Some(true)) => "a valid VHD for Azure, with the same content",
        (Some(true), Some(false)) => "a valid VHD for Azure, but its content differs",
        (Some(false), Some(true)) => "not a valid VHD for Azure; the content is the same",
        (Some(false), _) => "not a valid VHD for Azure",
        (None, Some(true)) => "the same content",
        (None, _) => "the content differs",
    };
    out + &format!("\n{name}: {answer}\n")
}
