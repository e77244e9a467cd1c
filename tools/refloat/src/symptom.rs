//! `refloat rules --symptom`: from what a serial console shows to what it means, and the rules about it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use guestfix::bootwalk::HopKind;
use guestfix::report::{Ink, Line, Page};
use guestfix::rule::Source;
use guestfix::rules;
use guestfix::symptoms::{self, Symptom};
use schemars::JsonSchema;
use serde::Serialize;
use testboot::{Console, Verdict};

use crate::answer::{Answer, Help, Outcome};
use crate::context::Context;
use crate::document::Document;
use crate::{help, next};

/// More than this of a log is not read: Azure keeps 1 MiB of a serial console.
const LOG: u64 = 256 << 20;

/// A rule by its name.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct About {
    id: &'static str,
    title: &'static str,
}

/// Where a log shows a symptom.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// The first line that shows it, counted from 1.
    line: usize,
    text: String,
    /// How many lines show it.
    times: usize,
}

/// A symptom.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Found {
    means: &'static str,
    /// The hop of the boot that is not got past; none for that at which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    hop: Option<HopKind>,
    /// The rules that find the cause, the likeliest first; none where only the boot walk of a check does.
    rules: Vec<About>,
    advice: &'static str,
    /// Who writes such lines, or tells of them.
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<Shown>,
}

/// All that were found: by the words, those that explain most first; in a log, in its order.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Symptoms {
    symptoms: Vec<Found>,
}

impl Document for Symptoms {
    const SCHEMA: &'static str = "refloat.symptoms/1";
}

impl Found {
    /// The rules, for people.
    pub(crate) fn rules(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(|About { id, title }| format!("{id}: {title}"))
    }

    /// What to do.
    pub(crate) fn advice(&self) -> &'static str {
        self.advice
    }

    fn of(symptom: &Symptom, shown: Option<Shown>) -> Self {
        let Symptom { hop, why: means, advice, source, .. } = *symptom;
        let rules = about(symptom).map(|(id, title)| About { id, title }).collect();
        Self { means, hop, rules, advice, source, shown }
    }
}

/// The symptom that a verdict rests on.
pub(crate) fn of_verdict(verdict: &Verdict) -> Vec<Found> {
    let Verdict::Stopped { why, evidence, .. } = verdict else { return Vec::new() };
    let found = symptoms::of_line(evidence).into_iter().filter(|symptom| symptom.why == *why).take(1);
    found.map(|symptom| Found::of(symptom, None)).collect()
}

/// The rules that a symptom leads to, each with its title.
fn about(symptom: &Symptom) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rule = |id: &&str| rules::ALL.iter().find(|rule| rule.meta.id == *id);
    symptom.rules.iter().filter_map(rule).map(|rule| (rule.meta.id, rule.meta.title))
}

/// `given` is a line or some words of one, a file with a log, or - for a log on standard input.
pub(crate) fn run(context: &Context, given: &str) -> Outcome {
    let path = Path::new(given);
    if given.trim().is_empty() {
        let nothing: Result<()> = Err(anyhow!("no line and no words were given"));
        nothing.help(help::SYMPTOM)?;
    }
    let (found, what) = if given == "-" {
        (in_log(io::stdin().lock())?, "the log".to_owned())
    } else if path.is_file() {
        let file = File::open(path).with_context(|| given.to_owned())?;
        (in_log(file).with_context(|| given.to_owned())?, given.to_owned())
    } else {
        let like = symptoms::like(given);
        // One word with a slash is a path; no console prints one alone.
        if like.is_empty() && (path.exists() || (given.contains('/') && !given.contains(char::is_whitespace)))
        {
            let what = if path.exists() { "not a file with a log" } else { "there is no such file" };
            let error: Result<()> = Err(anyhow!("{given}: {what}"));
            error.help(help::SYMPTOM)?;
        }
        (like.into_iter().map(|symptom| Found::of(symptom, None)).collect(), given.to_owned())
    };
    let any = !found.is_empty();
    let symptoms = Symptoms { symptoms: found };
    context.answer(&symptoms, || Ok(page(&symptoms, &what)))?;
    Ok(Answer::from_bool(any))
}

/// Whether bytes are of a log. A serial line may garble some; an image or an archive has few of text.
fn is_text(bytes: &[u8]) -> bool {
    let text = bytes.iter().filter(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | b' '..=b'~')).count();
    text >= bytes.len() / 2
}

/// What a log shows of the boots in it that the last one did not get past, each meaning once.
fn in_log(log: impl Read) -> Result<Vec<Found>> {
    let mut log = log.take(LOG + 1);
    let (mut console, mut reader) = (Console::default(), symptoms::Log::default());
    let mut found: Vec<(&'static Symptom, Shown)> = Vec::new();
    let (mut number, mut read) = (0, 0);
    let mut take = |number: usize, text: &str| {
        let shown = reader.line(text);
        found.retain(|(known, _)| !reader.is_past(known));
        for symptom in shown {
            match found.iter_mut().find(|(known, _)| known.why == symptom.why) {
                Some((_, shown)) => shown.times += 1,
                None => {
                    let text = text.trim().to_owned();
                    found.push((symptom, Shown { line: number, text, times: 1 }));
                }
            }
        }
    };
    let mut buffer = [0; 64 << 10];
    loop {
        let count = log.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        if read == 0 && !is_text(bytes) {
            let what: Result<()> = Err(anyhow!("this is no text, so not the log of a console"));
            what.help(help::SYMPTOM)?;
        }
        read += count as u64;
        // A line of the log ends where its line feed is, whatever the console makes of it.
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            console.feed(piece, |text| take(number + 1, text));
            number += usize::from(piece.ends_with(b"\n"));
        }
    }
    take(number + 1, &console.pending());
    if read > LOG {
        let what: Result<()> = Err(anyhow!("the log is larger than {} MiB", LOG >> 20));
        what.help(help::SYMPTOM)?;
    }
    Ok(found.into_iter().map(|(symptom, shown)| Found::of(symptom, Some(shown))).collect())
}

fn page(symptoms: &Symptoms, what: &str) -> Page {
    let mut page = Page::new();
    if symptoms.symptoms.is_empty() {
        page.line(next::verdict(false, format!("{what}: no symptom that is known")));
        page.line(next::advice(help::SYMPTOM));
        return page;
    }
    for Found { means, hop, rules, advice, source, shown } in &symptoms.symptoms {
        page.gap();
        page.line(Line::default().ink(Ink::Heading, *means).hang(2));
        let mut field = |name: &str, text: String| {
            page.line(Line::default().ink(Ink::Heading, format!("  {name:<9}")).text(text).hang(11));
        };
        if let Some(Shown { line, text, times }) = shown {
            let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            field("line", format!("{line}{times}: {text}"));
        }
        if let Some(hop) = hop {
            field("hop", hop.to_string());
        }
        for (index, About { id, title }) in rules.iter().enumerate() {
            field(if index == 0 { "rules" } else { "" }, format!("{id}: {title}"));
        }
        field("do", (*advice).to_owned());
        field("source", source.to_string());
    }
    page
}
