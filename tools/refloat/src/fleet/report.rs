//! `refloat fleet report`: what was done with each machine, for those who sign it off. From the folder alone.

use std::time::Duration;

use guestfix::edit::hex;
use guestfix::handover::document::{self, Block};
use guestfix::report::{Line, Page, Waiver, counted};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::frozen::{Fleet, Machine};
use super::state::{Known, Receipt, Stage, all, entry, key, now, time_of};
use super::status::{ink, write_again};
use super::store::{self, Store};
use super::tested::Tested;
use crate::answer::{Answer, Outcome};
use crate::cli::FleetReportArgs;
use crate::context::Context;
use crate::document::Document;

/// All machines, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SignOff {
    folder: String,
    /// SHA-256 of the list that was frozen.
    list: String,
    /// Seconds since 1970.
    at: u64,
    done: usize,
    not_done: usize,
    machines: Vec<Signed>,
}

impl Document for SignOff {
    const SCHEMA: &'static str = "refloat.fleet-report/1";
}

/// A machine.
#[derive(Debug, Serialize, JsonSchema)]
struct Signed {
    row: usize,
    id: String,
    wave: u32,
    stage: Stage,
    /// Why it is not done, or is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What was done with it, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<Moved>,
    /// What a test of its move found; absent where none came to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Tested>,
}

/// Whether it boots there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// All rules and the boot walk say so.
    Ready,
    /// Blockers stay, and somebody answers for each.
    Waived,
    /// Blockers stay, and it was moved all the same.
    Allowed,
}

/// What the receipt of a machine says.
#[derive(Debug, Serialize, JsonSchema)]
struct Moved {
    verdict: Verdict,
    command: String,
    /// The name of the user, where it was known, and the process that ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    owner: String,
    /// The version of refloat.
    version: String,
    /// Seconds since 1970.
    began: u64,
    ended: u64,
    attempts: u32,
    /// SHA-256 of the plan that was applied, and the rules that it satisfies.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    fixes: Vec<String>,
    /// What stays to be done by hand, as rules.
    left: Vec<String>,
    waived: Vec<Waiver>,
    disks: Vec<Disk>,
    /// SHA-256 of its receipt, and of those of the moves before, the newest first.
    receipts: Vec<String>,
}

/// A disk of a machine.
#[derive(Debug, Serialize, JsonSchema)]
struct Disk {
    /// What it was read from, and the digest that tells that from other disks.
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_sha256: Option<String>,
    target: String,
    /// In bytes.
    size: u64,
    /// The sum of its content as it was written (XXH3-128 of its blocks).
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Of a VHD: whether Azure takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    well_formed: Option<bool>,
}

pub(crate) fn run(context: &Context, args: &FleetReportArgs) -> Outcome {
    let store = store::open(context, &args.folder, Duration::from_secs(context.global.azure_patience))?;
    let fleet = Fleet::read(&*store)?;
    let report = SignOff::of(&*store, &fleet, store.to_string())?;
    let blocks = report.blocks();
    if let Some(path) = &args.markdown {
        let text = document::markdown(&blocks);
        write_again(path, text.lines().next().unwrap_or_default(), &text)?;
    }
    if let Some(path) = &args.html {
        let text = document::html(&blocks);
        write_again(path, text.split_inclusive("</title>").next().unwrap_or_default(), &text)?;
    }
    context.answer(&report, || Ok(report.page()))?;
    // Who signs wants to know that something is missing.
    Ok(Answer::from_bool(report.is_whole()))
}

fn text(value: &Value, at: &str) -> Option<String> {
    value.pointer(at).and_then(Value::as_str).map(str::to_owned)
}

fn texts<'a>(value: &'a Value, at: &str, field: &'a str) -> impl Iterator<Item = String> + 'a {
    let all = value.pointer(at).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(move |one| one.get(field).unwrap_or(one).as_str().map(str::to_owned))
}

impl SignOff {
    fn of(store: &dyn Store, fleet: &Fleet, folder: String) -> anyhow::Result<Self> {
        let machines = all(fleet, |row, machine| Signed::of(store, fleet, row, machine))?;
        let done = machines.iter().filter(|machine| machine.stage == Stage::Done).count();
        let not_done = machines.len() - done;
        Ok(Self { folder, list: fleet.list.clone(), at: now(), done, not_done, machines })
    }

    /// Whether each machine is moved, and nothing is said against one.
    fn is_whole(&self) -> bool {
        self.machines.iter().all(|machine| machine.stage == Stage::Done && machine.why.is_none())
    }

    fn page(&self) -> Page {
        let mut page = Page::new();
        let all = self.machines.len();
        page.line(Line::new(format!(
            "{} of {} done; list {}",
            self.done,
            counted(all, "machine"),
            self.list
        )));
        page.gap();
        for machine in &self.machines {
            let Signed { id, stage, .. } = machine;
            let mut line =
                Line::default().ink(ink(*stage), format!("{:<11}", stage.word())).text(format!("  {id}"));
            if let Some(moved) = &machine.moved {
                let by = moved.by.as_deref().unwrap_or("somebody");
                let (verdict, at) = (moved.verdict.words(), time_of(moved.ended));
                line = line.text(format!(", {verdict}, by {by} at {at}"));
            }
            if let Some(why) = &machine.why {
                line = line.text(format!(": {why}"));
            }
            page.line(line.hang(13));
        }
        page
    }

    fn blocks(&self) -> Vec<Block> {
        let all = self.machines.len();
        let summary = format!(
            "{} of {} moved, {} not, as of {}. The list that was frozen has the SHA-256 {}.",
            self.done,
            counted(all, "machine"),
            self.not_done,
            time_of(self.at),
            self.list
        );
        let row = |machine: &Signed| {
            let moved = machine.moved.as_ref();
            let test = match &machine.test {
                None => "not tested".to_owned(),
                Some(Tested { stage, why, .. }) => {
                    why.clone().unwrap_or_else(|| Tested::word(*stage).to_owned())
                }
            };
            vec![
                machine.id.clone(),
                machine.wave.to_string(),
                machine.stage.word().to_owned(),
                moved.map(|moved| moved.verdict.words().to_owned()).unwrap_or_default(),
                test,
                moved.map(|moved| time_of(moved.ended)).unwrap_or_default(),
                moved.and_then(|moved| moved.by.clone()).unwrap_or_default(),
                machine.why.clone().unwrap_or_default(),
            ]
        };
        let head = vec![
            "Machine",
            "Wave",
            "Stage",
            "Verdict",
            "Test in Azure",
            "Done at",
            "By",
            "What is against it",
        ];
        let mut blocks = vec![
            Block::Heading(1, format!("Migration of {}", self.folder)),
            Block::Text(summary),
            Block::Table(head, self.machines.iter().map(row).collect()),
        ];
        self.machines.iter().for_each(|machine| blocks.extend(machine.blocks()));
        blocks
    }
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waived => "blockers stay, and are answered for",
            Self::Allowed => "blockers stay, and were allowed",
        }
    }
}

impl Signed {
    fn of(store: &dyn Store, fleet: &Fleet, row: usize, machine: &Machine) -> anyhow::Result<Self> {
        let known = Known::read(store, fleet, row)?;
        let stage = known.stage();
        let (why, _) = known.why();
        let mut why = why.or_else(|| (stage == Stage::Waiting).then(|| "nothing was done yet".to_owned()));
        let moved = match &known.receipt {
            Some(receipt) => {
                let (receipts, broken) = chain(store, row, receipt)?;
                why = why.or(broken);
                Some(Moved::of(receipt, receipts))
            }
            None => None,
        };
        let test = Tested::read(store, fleet, row)?.filter(Tested::is_over);
        Ok(Self { row, id: machine.id.clone(), wave: machine.wave, stage, why, moved, test })
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![Block::Heading(2, self.id.clone())];
        let Some(moved) = &self.moved else {
            let why = self.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            blocks.push(Block::Text(format!("Not moved, {}{why}.", self.stage.word())));
            return blocks;
        };
        let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        let mut rows = vec![
            vec!["Run by".to_owned(), moved.by.clone().unwrap_or_else(|| "not on record".to_owned())],
            vec!["Process".to_owned(), format!("{}, refloat {}", moved.owner, moved.version)],
            vec!["Time".to_owned(), format!("{} to {}", time_of(moved.began), time_of(moved.ended))],
            vec!["Plan".to_owned(), moved.plan.clone().unwrap_or_else(|| "not on record".to_owned())],
            vec!["Mended".to_owned(), list(&moved.fixes)],
            vec!["Left to be done by hand".to_owned(), list(&moved.left)],
            vec!["Receipts".to_owned(), moved.receipts.join(", ")],
        ];
        for Waiver { rule, owner, expires, reason } in &moved.waived {
            rows.push(vec![format!("Waived: {rule}"), format!("{owner}, until {expires}: {reason}")]);
        }
        blocks.push(Block::Table(vec!["", ""], rows));
        let disk = |disk: &Disk| {
            let content = disk.content.clone().unwrap_or_else(|| "not known".to_owned());
            let source = disk.source_sha256.clone().unwrap_or_default();
            vec![disk.source.clone(), source, disk.target.clone(), disk.size.to_string(), content]
        };
        let head = vec!["Read from", "Its SHA-256", "Written to", "Bytes", "Sum of the content"];
        blocks.push(Block::Table(head, moved.disks.iter().map(disk).collect()));
        blocks.push(Block::Code(moved.command.clone()));
        blocks
    }
}

impl Moved {
    fn of(receipt: &Receipt, receipts: Vec<String>) -> Self {
        let answer = &receipt.migrate;
        let waived = answer.get("waived").cloned();
        let waived: Vec<Waiver> = waived.and_then(|all| serde_json::from_value(all).ok()).unwrap_or_default();
        let verdict = match answer.get("ready").and_then(Value::as_bool) {
            Some(true) => Verdict::Ready,
            _ if !waived.is_empty() => Verdict::Waived,
            _ => Verdict::Allowed,
        };
        let further = answer.get("data").and_then(Value::as_array).into_iter().flatten();
        let written = std::iter::once(answer).chain(further);
        let sources = answer.get("source").and_then(Value::as_array).cloned().unwrap_or_default();
        let disk = |(at, disk): (usize, &Value)| {
            let source = sources.get(at).unwrap_or(&Value::Null);
            Some(Disk {
                source: text(source, "/address").unwrap_or_default(),
                source_sha256: text(source, "/sha256"),
                target: text(disk, "/written/target")?,
                size: disk.pointer("/written/size")?.as_u64()?,
                content: text(disk, "/written/content"),
                well_formed: disk.pointer("/verdict/well_formed").and_then(Value::as_bool),
            })
        };
        Self {
            verdict,
            command: receipt.command.clone(),
            by: receipt.by.clone(),
            owner: receipt.owner.clone(),
            version: receipt.version.clone(),
            began: receipt.began,
            ended: receipt.ended,
            attempts: receipt.attempts,
            plan: text(answer, "/plan"),
            fixes: texts(answer, "/fixes", "").collect(),
            left: texts(answer, "/by_hand", "rule").collect(),
            waived,
            disks: written.enumerate().filter_map(disk).collect(),
            receipts,
        }
    }
}

/// The digests of a machine's receipts, the newest first, and what is wrong with them: each names the one before.
fn chain(store: &dyn Store, row: usize, last: &Receipt) -> anyhow::Result<(Vec<String>, Option<String>)> {
    // What lies there and is no file is not the one that is named either.
    let digest = |key: &str| -> anyhow::Result<Option<(String, Vec<u8>)>> {
        let found = entry(store, key, &mut |_| {})?;
        Ok(found.map(|entry| (hex(&Sha256::digest(&entry.bytes)), entry.bytes)))
    };
    let mut digests: Vec<String> =
        digest(&key(row, "receipt.json"))?.into_iter().map(|(digest, _)| digest).collect();
    let (mut before, mut round) = (last.before.clone(), last.round);
    while let Some(named) = before {
        round = round.saturating_sub(1);
        let found =
            digest(&key(row, &format!("receipts/{round:04}.json")))?.filter(|(found, _)| *found == named);
        let Some((found, bytes)) = found else {
            return Ok((
                digests,
                Some(format!("the receipt of move {round} is not the one that the next names")),
            ));
        };
        digests.push(found);
        let earlier: Option<Receipt> = serde_json::from_slice(&bytes).ok();
        before = earlier.and_then(|earlier| earlier.before).filter(|_| round > 0);
    }
    Ok((digests, None))
}
