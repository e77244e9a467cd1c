//! `refloat fleet survey`: the machines of an account or of a list, each judged from what `check` reads of it.
//!
//! What is known of a machine is a file of the folder, so a survey that was stopped goes on, and one that is
//! done costs nothing again.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use guestfix::edit::hex;
use guestfix::report::{Ink, Line, Page};
use libdisk::cloud::ebs::{self, BLOCK};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::{self, Found, Refused};
use super::program::program;
use super::state::because;
use super::store::{Directory, Store};
use super::{policy, portfolio};
use crate::answer::{Answer, Help, Outcome, stopped};
use crate::cli::FleetSurveyArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{name, present};

/// What a machine comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It boots there as it is.
    Ready,
    /// It will, once `migrate` has mended it.
    Fixable,
    /// Something has to be done by hand first.
    Blocked,
    /// It could not be looked at.
    Unknown,
}

impl Verdict {
    pub(crate) const ALL: [Self; 4] = [Self::Ready, Self::Fixable, Self::Blocked, Self::Unknown];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Fixable => "fixable",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}

/// A machine of the survey, as its file has it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Surveyed {
    pub(crate) id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) source: String,
    /// The account that it is in, where several were looked at, and the role that it was looked at by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    /// The instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    pub(crate) wave: u32,
    pub(crate) verdict: Verdict,
    /// Where it can go.
    #[serde(rename = "for")]
    pub(crate) target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) os: Option<String>,
    /// Of all its disks.
    pub(crate) gib: u64,
    /// Rules that found something, with their severity.
    pub(crate) rules: Vec<(String, String)>,
    /// Why it is not ready, or could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// Requests to EBS, and the blocks of snapshots that were read by them.
    pub(crate) requests: u64,
    pub(crate) blocks: u64,
    pub(crate) dollars: f64,
    /// A page of its own, beside that of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<String>,
}

/// The survey, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Survey {
    pub(super) folder: String,
    pub(super) machines: usize,
    pub(super) counts: Vec<(Verdict, usize)>,
    /// Accounts and Regions that gave no answer, so that none of their machines is here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<Refused>,
    pub(super) gib: u64,
    /// What was read for it, by this run and those before it, and what that cost, by AWS's example region.
    pub(super) requests: u64,
    pub(super) blocks: u64,
    pub(super) dollars: f64,
    /// How long this run took.
    pub(super) seconds: u64,
    /// How long all of it would be read, if every block of it had data.
    pub(super) hours: f64,
    /// The list that `fleet plan` takes, the page, and all that is known, a line each.
    pub(super) list: String,
    pub(super) page: String,
    pub(super) lines: String,
    /// What it has to be allowed in AWS, where it looks there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
}

impl Document for Survey {
    const SCHEMA: &'static str = "refloat.fleet-survey/1";
}

pub(crate) fn run(context: &Context, args: &FleetSurveyArgs) -> Outcome {
    let began = Instant::now();
    let store = Directory::new(&args.output);
    if !args.regions.is_empty() {
        // Before anything is asked: who is refused looks there.
        let policy = policy::survey(&args.regions, found::roles(context, args), args.all_accounts);
        store.write(POLICY, (serde_json::to_string_pretty(&policy)? + "\n").as_bytes())?;
    }
    let (found, refused) = found::machines(context, args)?;
    if found.is_empty() {
        let why = refused.first().map(|one| format!(": {}: {}", one.place(), one.why)).unwrap_or_default();
        return Err(anyhow!("there is no machine with a volume{why}"))
            .help("look at the Region, the account, the role and the tags");
    }
    let (todo, surveyed) = (Mutex::new(found.iter().enumerate()), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        while !context.observer.cancelled() {
            let next = todo.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, found)) = next else { break };
            let machine = surveyed_once(context, args, &store, found)?;
            surveyed.lock().unwrap_or_else(PoisonError::into_inner).push((at, machine));
        }
        Ok(())
    };
    context.resumes.store(true, std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a check ended in a panic"))?)
    })?;
    if context.observer.cancelled() {
        return Err(stopped()).goes_on("run the same command to go on");
    }
    let mut surveyed = surveyed.into_inner().unwrap_or_else(PoisonError::into_inner);
    surveyed.sort_by_key(|(at, _)| *at);
    let machines: Vec<Surveyed> = surveyed.into_iter().map(|(_, machine)| machine).collect();
    let mut survey = Survey::of(args, &machines, refused, context.global.ebs_requests_per_second);
    survey.seconds = began.elapsed().as_secs();
    if let Some(other) = write(&store, args, &survey, &machines)? {
        context.note(format!(
            "note: {} was edited and stays as it is; what this survey proposes is in {other}",
            survey.list
        ));
    }
    context.answer(&survey, || Ok(page(&survey)))?;
    // What gave no answer was not looked at.
    let looked = machines.iter().any(|machine| machine.verdict != Verdict::Unknown);
    Ok(Answer::from_bool(survey.refused.is_empty() && looked))
}

/// What is known of a machine, and what is not yet is looked at.
fn surveyed_once(
    context: &Context,
    args: &FleetSurveyArgs,
    store: &dyn Store,
    found: &Found,
) -> Result<Surveyed> {
    let digest = hex(&<sha2::Sha256 as sha2::Digest>::digest(found.source.as_bytes()));
    let stem = format!("survey/{}-{}", found.id, &digest[..8]);
    let key = format!("{stem}.json");
    let known = store.read(&key)?.and_then(|entry| serde_json::from_slice::<Surveyed>(&entry.bytes).ok());
    // What could not be looked at may be now.
    if let Some(known) = known.filter(|known| !args.again && known.verdict != Verdict::Unknown) {
        return Ok(Surveyed { wave: found.wave, ..known });
    }
    let own = format!("{stem}.html");
    let look = Look { context, args, found, report: store.folder("survey")?.with_file_name(&own) };
    let mut check = look.at("azure-gen1")?;
    let firmware = check.pointer("/guest/firmware").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut target = "azure-gen1";
    if !firmware.is_empty() && !firmware.iter().any(|name| name == "BIOS") {
        target = "azure-gen2";
        check = look.at(target)?;
    }
    let page = look.report.exists().then_some(own);
    let machine = Surveyed { page, ..surveyed(found, target, &check) };
    store.write(&key, &serde_json::to_vec_pretty(&machine)?)?;
    context.note(format!("{} {}{}", machine.id, machine.verdict.word(), because(machine.why.as_ref())));
    Ok(machine)
}

/// How a machine is looked at.
struct Look<'a> {
    context: &'a Context,
    args: &'a FleetSurveyArgs,
    found: &'a Found,
    /// Where the page of its own goes.
    report: PathBuf,
}

impl Look<'_> {
    /// What `check --json` answers.
    fn at(&self, target: &str) -> Result<Value> {
        let global = &self.context.global;
        let report = format!("html={}", name::text(&self.report));
        let mut words =
            vec!["check", &self.found.source, "--for", target, "--quiet", "--report", &report, "--force"];
        words.extend(self.found.role.iter().flat_map(|role| ["--aws-role", role]));
        let mut command = program(global, &words, global.ebs_requests_per_second)?;
        if ebs::default_folder().is_none() {
            // Somewhere they have to meet, to take turns.
            command.env("REFLOAT_CACHE", name::absolute(&self.args.output).join("cache"));
        }
        let output =
            command.stderr(Stdio::null()).output().context("this program cannot be started again")?;
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }
}

fn surveyed(found: &Found, target: &str, check: &Value) -> Surveyed {
    let text = |at: &str| check.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let is = |name: &str| check.get(name).and_then(Value::as_bool) == Some(true);
    let items = check.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let found_by = items.iter().filter(|item| ["wrong", "unknown"].contains(&of(item, "verdict").as_str()));
    let rules: Vec<(String, String)> =
        found_by.map(|item| (of(item, "rule"), of(item, "severity"))).collect();
    let verdict = match check.get("items") {
        None => Verdict::Unknown,
        Some(_) if is("ready") => Verdict::Ready,
        Some(_) if is("ready_after_fix") => Verdict::Fixable,
        Some(_) => Verdict::Blocked,
    };
    let by_hand =
        items.iter().filter(|item| of(item, "severity") == "blocker" && of(item, "remedy") != "fix");
    let by_hand = by_hand.filter(|item| ["wrong", "unknown"].contains(&of(item, "verdict").as_str()));
    let why = match verdict {
        Verdict::Ready | Verdict::Fixable => None,
        Verdict::Unknown => Some(text("/error").unwrap_or_else(|| "check gave no answer".to_owned())),
        Verdict::Blocked => {
            let rules: Vec<String> = by_hand.map(|item| of(item, "rule")).collect();
            Some(if rules.is_empty() { "the boot walk does not arrive".to_owned() } else { rules.join(", ") })
        }
    };
    let disks = check.get("source").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let bytes: u64 = disks.iter().filter_map(|disk| disk.get("size")?.as_u64()).sum();
    let read = |name: &str| check.get("transfer").and_then(|transfer| transfer.get(name));
    Surveyed {
        id: found.id.clone(),
        name: found.name.clone(),
        source: found.source.clone(),
        account: found.account.clone(),
        role: found.role.clone(),
        kind: found.kind.clone(),
        wave: found.wave,
        verdict,
        target: target.to_owned(),
        os: text("/guest/os"),
        gib: bytes.div_ceil(1 << 30),
        rules,
        why,
        requests: read("requests").and_then(Value::as_u64).unwrap_or(0),
        blocks: read("blocks").and_then(Value::as_u64).unwrap_or(0),
        dollars: read("dollars").and_then(Value::as_f64).unwrap_or(0.0),
        page: None,
    }
}

impl Survey {
    /// Of these machines; `rate` is the requests a second.
    fn of(args: &FleetSurveyArgs, machines: &[Surveyed], refused: Vec<Refused>, rate: f64) -> Self {
        let count = |verdict| machines.iter().filter(|machine| machine.verdict == verdict).count();
        let place = |file: &str| name::shown(args.output.join(file));
        let gib: u64 = machines.iter().map(|machine| machine.gib).sum();
        let blocks = gib.saturating_mul((1 << 30) / BLOCK);
        Self {
            folder: name::shown(&args.output),
            machines: machines.len(),
            counts: Verdict::ALL.into_iter().map(|verdict| (verdict, count(verdict))).collect(),
            refused,
            gib,
            requests: machines.iter().map(|machine| machine.requests).sum(),
            blocks: machines.iter().map(|machine| machine.blocks).sum(),
            dollars: machines.iter().map(|machine| machine.dollars).sum(),
            seconds: 0,
            hours: blocks as f64 / rate.max(1.0) / 3600.0,
            list: place("fleet.csv"),
            page: place("survey.html"),
            lines: place("survey.jsonl"),
            policy: (!args.regions.is_empty()).then(|| place(POLICY)),
        }
    }
}

/// What a survey has to be allowed.
const POLICY: &str = "aws-policy.json";
/// The list of what can be moved, as it was written here; people edit the other one.
const PROPOSED: &str = "survey/fleet.csv";

/// Writes all files of a survey. A list that somebody has edited stays: the name of the one beside it then.
fn write(
    store: &Directory,
    args: &FleetSurveyArgs,
    survey: &Survey,
    machines: &[Surveyed],
) -> Result<Option<&'static str>> {
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["id", "source", "target", "for", "wave", "gib", "aws-role"])?;
    for machine in machines.iter().filter(|machine| machine.verdict < Verdict::Blocked) {
        let target = args.target.replace("{id}", &machine.id);
        let (wave, gib) = (machine.wave.to_string(), machine.gib.to_string());
        let role = machine.role.as_deref().unwrap_or_default();
        list.write_record([&machine.id, &machine.source, &target, &machine.target, &wave, &gib, role])?;
    }
    let list = list.into_inner().map_err(|error| anyhow!("{error}"))?;
    let there = store.read("fleet.csv")?.map(|entry| entry.bytes);
    let proposed = store.read(PROPOSED)?.map(|entry| entry.bytes);
    let is_edited = there.is_some() && there != proposed && there.as_ref() != Some(&list);
    store.write(PROPOSED, &list)?;
    if !is_edited {
        store.write("fleet.csv", &list)?;
    }
    let lines: Vec<String> = machines.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    store.write("survey.jsonl", (lines.join("\n") + "\n").as_bytes())?;
    store.write("survey.html", portfolio::html(survey, machines).as_bytes())?;
    Ok(is_edited.then_some(PROPOSED))
}

fn page(survey: &Survey) -> Page {
    let mut page = Page::new();
    let mut first = Line::new(format!("{} machines", survey.machines));
    for (verdict, machines) in survey.counts.iter().filter(|(_, machines)| *machines > 0) {
        let ink = match verdict {
            Verdict::Ready | Verdict::Fixable => Ink::Good,
            Verdict::Blocked => Ink::Bad,
            Verdict::Unknown => Ink::Warning,
        };
        first = first.text(", ").ink(ink, format!("{machines} {}", verdict.word()));
    }
    page.line(first);
    for refused in &survey.refused {
        let text = format!("not looked at: {}: {}", refused.place(), refused.why);
        page.line(Line::default().ink(Ink::Warning, text).hang(2));
    }
    if survey.blocks > 0 {
        let Survey { blocks, requests, dollars, .. } = survey;
        page.line(Line::new(format!("{blocks} blocks were read by {requests} requests, ${dollars:.2}")));
    }
    page.gap();
    page.line(Line::new(format!("{}: a page for a browser", survey.page)).hang(2));
    if let Some(policy) = &survey.policy {
        page.line(
            Line::new(format!("{policy}: what a survey has to be allowed in AWS, and no more")).hang(2),
        );
    }
    let movable = |(verdict, machines): &(Verdict, usize)| *verdict < Verdict::Blocked && *machines > 0;
    if !survey.counts.iter().any(movable) {
        page.line(Line::new("no machine can be moved as it is").hang(2));
        return page;
    }
    page.line(Line::new(format!("{}: what can be moved; look at its targets", survey.list)).hang(2));
    page.gap();
    let list = present::quote(&survey.list);
    page.line(
        Line::default().ink(Ink::Heading, "next: ").text(format!("refloat fleet plan {list} -o DIR")).hang(6),
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_no_answer_is_unknown() {
        let found = Found { id: "a".into(), source: "a".into(), ..Found::default() };
        assert_eq!(surveyed(&found, "azure-gen1", &Value::Null).verdict, Verdict::Unknown);
        let failed = serde_json::json!({ "error": "no such image" });
        assert_eq!(surveyed(&found, "azure-gen1", &failed).why.as_deref(), Some("no such image"));
    }
}
