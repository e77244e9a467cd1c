//! `refloat fleet status`: how far it is, from the folder alone.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use guestfix::report::{Ink, Line, Page};
use libdisk::image::{Output, write_file};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::frozen::Fleet;
use super::state::{Known, Stage, all, because, now, time_of};
use super::store;
use super::tested::Tested;
use super::{metrics, page};
use crate::answer::{Answer, Help, Outcome};
use crate::cli::FleetStatusArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{name, present};

/// Machines that are listed on a terminal; the page and the document have all.
const LISTED: usize = 40;

/// How far all is, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    pub(super) folder: String,
    /// Seconds since 1970.
    pub(super) at: u64,
    pub(super) counts: Vec<Count>,
    /// Why machines did not get on, those that are most often told first.
    pub(super) causes: Vec<Cause>,
    /// Tests of moves in Azure, by what they came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tests: Vec<Count>,
    pub(super) machines: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Count {
    pub(super) stage: Stage,
    pub(super) machines: usize,
}

/// What stands against machines.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Cause {
    pub(super) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help: Option<String>,
    pub(super) machines: Vec<String>,
}

/// A machine.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub(super) row: usize,
    pub(super) id: String,
    pub(super) wave: u32,
    pub(super) stage: Stage,
    pub(super) attempts: u32,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) began: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<u64>,
    /// Bytes of the present step, or of all that was written.
    pub(super) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) help: Option<String>,
    /// The test of its move; absent where none was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) test: Option<Tested>,
}

impl Document for Status {
    const SCHEMA: &'static str = "refloat.fleet-status/1";
}

pub(crate) fn run(context: &Context, args: &FleetStatusArgs) -> Outcome {
    let store = store::open(context, &args.folder, Duration::from_secs(context.global.azure_patience))?;
    let fleet = Fleet::read(&*store)?;
    let known =
        all(&fleet, |row, _| Ok((Known::read(&*store, &fleet, row)?, Tested::read(&*store, &fleet, row)?)))?;
    let status = Status::of(present::quote(&name::shown(&args.folder)), &fleet, known);
    if let Some(path) = &args.html {
        write_again(path, page::START, &page::html(&status))?;
    }
    if let Some(path) = &args.metrics {
        write_again(path, metrics::START, &metrics::text(&status))?;
    }
    context.answer(&status, || Ok(text(&status)))?;
    Ok(Answer::Yes)
}

/// Writes a file that is written again and again: over what begins so, and over nothing else.
pub(super) fn write_again(path: &Path, start: &str, text: &str) -> Result<()> {
    debug_assert!(text.starts_with(start), "{start}");
    let is_own = || -> std::io::Result<bool> {
        let mut there = Vec::new();
        File::open(path)?.take(start.len() as u64).read_to_end(&mut there)?;
        Ok(std::fs::metadata(path)?.is_file() && there == start.as_bytes())
    };
    match is_own() {
        Ok(true) => {}
        Err(cause) if cause.kind() == ErrorKind::NotFound => {}
        Ok(false) => {
            let what = anyhow!("{} is there, and is not what is written here", name::shown(path));
            return Err(what).help("give the file another name, or remove that one");
        }
        Err(cause) => return Err(anyhow!(cause).context(name::shown(path))),
    }
    Ok(write_file(&Output::replacing(path), text.as_bytes())?)
}

/// Bytes that a receipt says were written or shared with the source's file, of all disks.
fn written(migrate: &Value) -> u64 {
    match migrate {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value.as_u64() {
                Some(bytes) if name == "written" || name == "shared" => bytes,
                _ => written(value),
            })
            .sum(),
        Value::Array(values) => values.iter().map(written).sum(),
        _ => 0,
    }
}

impl Row {
    fn of(row: usize, id: &str, wave: u32, (known, test): (&Known, Option<Tested>)) -> Self {
        let stage = known.stage();
        let (state, receipt) = (known.state.as_ref(), known.receipt.as_ref());
        // What is over has no owner any more.
        let owner = known.lease.as_ref().map(|lease| lease.owner.clone());
        let (why, help) = known.why();
        Self {
            row,
            id: id.to_owned(),
            wave,
            stage,
            attempts: receipt.map(|done| done.attempts).or(state.map(|state| state.attempts)).unwrap_or(0),
            began: receipt.map(|done| done.began).or(state.map(|state| state.began)),
            ended: receipt.map(|done| done.ended),
            bytes: receipt.map(|done| written(&done.migrate)).or(state.map(|state| state.bytes)).unwrap_or(0),
            of: state.filter(|_| receipt.is_none()).and_then(|state| state.of),
            owner,
            why,
            help,
            test,
        }
    }
}

impl Status {
    fn of(folder: String, fleet: &Fleet, known: Vec<(Known, Option<Tested>)>) -> Self {
        let machines: Vec<Row> = (fleet.machines.iter().zip(known).enumerate())
            .map(|(row, (machine, (known, test)))| Row::of(row, &machine.id, machine.wave, (&known, test)))
            .collect();
        let tests = |stage| {
            let of = machines.iter().filter(|row| row.test.as_ref().is_some_and(|test| test.stage == stage));
            Count { stage, machines: of.count() }
        };
        let tests = Stage::ALL.into_iter().map(tests).filter(|count| count.machines > 0).collect();
        let count = |stage| machines.iter().filter(|row| row.stage == stage).count();
        let counts = Stage::ALL.into_iter().map(|stage| Count { stage, machines: count(stage) }).collect();
        let mut causes: Vec<Cause> = Vec::new();
        for row in machines.iter().filter(|row| matches!(row.stage, Stage::Failed | Stage::Refused)) {
            let why = row.why.clone().unwrap_or_else(|| "no cause is on record".to_owned());
            match causes.iter_mut().find(|cause| cause.why == why) {
                Some(cause) => cause.machines.push(row.id.clone()),
                None => causes.push(Cause { why, help: row.help.clone(), machines: vec![row.id.clone()] }),
            }
        }
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.machines.len()));
        Self { folder, at: now(), counts, causes, tests, machines }
    }

    pub(super) fn count(&self, stage: Stage) -> usize {
        self.counts.iter().filter(|count| count.stage == stage).map(|count| count.machines).sum()
    }

    /// What to type next, if there is something.
    pub(super) fn next(&self) -> Option<String> {
        let left = self.machines.iter().any(|row| !matches!(row.stage, Stage::Done | Stage::Running));
        left.then(|| format!("refloat fleet run {}", self.folder))
    }
}

/// The ink of a stage.
pub(super) fn ink(stage: Stage) -> Ink {
    match stage {
        Stage::Done => Ink::Good,
        Stage::Failed | Stage::Refused => Ink::Bad,
        Stage::Interrupted => Ink::Warning,
        Stage::Running | Stage::Waiting => Ink::Plain,
    }
}

/// How far tests of moves are, and those that did not come to a login.
fn tests(status: &Status, page: &mut Page) {
    if status.tests.is_empty() {
        return;
    }
    page.gap();
    let mut first = Line::new("tests in Azure: ");
    for (at, Count { stage, machines }) in status.tests.iter().enumerate() {
        let part = if at > 0 { ", " } else { "" };
        first = first.text(part).ink(ink(*stage), format!("{machines} {}", Tested::word(*stage)));
    }
    page.line(first.hang(2));
    let others = status.machines.iter().filter_map(|row| Some((row, row.test.as_ref()?)));
    let others: Vec<_> = others.filter(|(_, test)| test.stage != Stage::Done).collect();
    for (row, test) in others.iter().take(LISTED) {
        let why = because(test.why.as_ref());
        let line = Line::default().ink(ink(test.stage), Tested::word(test.stage));
        page.line(line.text(format!("  {}{why}", row.id)).hang(6));
    }
    if others.len() > LISTED {
        page.line(Line::new(format!("and {} more; --json has all", others.len() - LISTED)));
    }
}

fn text(status: &Status) -> Page {
    let mut page = Page::new();
    let mut first =
        Line::new(format!("{} of {} machines done", status.count(Stage::Done), status.machines.len()));
    for count in status.counts.iter().filter(|count| count.machines > 0 && count.stage != Stage::Done) {
        first = first.text(", ").ink(ink(count.stage), format!("{} {}", count.machines, count.stage.word()));
    }
    page.line(first);
    let under_way: Vec<&Row> = status.machines.iter().filter(|row| row.stage != Stage::Done).collect();
    if !under_way.is_empty() {
        page.gap();
    }
    for row in under_way.iter().take(LISTED) {
        let far = match (row.stage, row.of) {
            (Stage::Running, Some(of)) => format!("  {} of {}", present::size(row.bytes), present::size(of)),
            _ => String::new(),
        };
        let since = row.began.map(|began| format!("  since {}", time_of(began))).unwrap_or_default();
        let why = row.why.as_ref().map(|why| format!("  {why}")).unwrap_or_default();
        let word = format!("{:<11}", row.stage.word());
        let line = Line::default().ink(ink(row.stage), word).text(format!("  {}{far}{since}{why}", row.id));
        page.line(line.hang(15));
    }
    if under_way.len() > LISTED {
        page.line(Line::new(format!("and {} more; --json has all", under_way.len() - LISTED)));
    }
    tests(status, &mut page);
    if let Some(next) = status.next() {
        page.gap();
        page.line(Line::default().ink(Ink::Heading, "next: ").text(next).hang(6));
    }
    page
}
