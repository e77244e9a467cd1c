//! `refloat fleet plan`: a list is judged and frozen, and job files for engines are written beside it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use guestfix::report::{Ink, Line, Page};
use schemars::JsonSchema;
use serde::Serialize;

use super::frozen::{self, Fleet};
use super::{engine, list, policy, store};
use crate::answer::{Answer, Help, Outcome};
use crate::cli::FleetPlanArgs;
use crate::context::Context;
use crate::document::Document;
use crate::{name, present};

/// What was frozen, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Planned {
    folder: String,
    machines: usize,
    /// SHA-256 of the list.
    list: String,
    /// Files beside the list, each with how an engine is given it.
    engines: Vec<engine::Written>,
    /// Files beside it that say what tasks have to be allowed in AWS and in Azure.
    policies: Vec<&'static str>,
}

impl Document for Planned {
    const SCHEMA: &'static str = "refloat.fleet-plan/1";
}

pub(crate) fn run(context: &Context, args: &FleetPlanArgs) -> Outcome {
    let output = args.output.as_deref().ok_or_else(|| anyhow!("-o is missing")).help("add -o DIR")?;
    let bytes =
        fs::read(&args.list).with_context(|| format!("{}: cannot be read", name::shown(&args.list)))?;
    let machines = list::machines(&args.list, &bytes)?;
    let fleet = Fleet::new(&bytes, args.tasks, context.global.ebs_requests_per_second, machines);
    let store = store::open(context, output, Duration::from_secs(context.global.azure_patience))?;
    let there = store.read(frozen::NAME)?;
    let fleet = match &there {
        Some(there) => fleet.instead_of(&there.bytes),
        None => fleet,
    };
    if let Some(there) = there
        && !args.force
        && serde_json::from_slice::<Fleet>(&there.bytes).ok().as_ref() != Some(&fleet)
    {
        return Err(anyhow!("{store} has another list already"))
            .help("give --force to replace it (what was done stays done where the row is the same), or name another folder");
    }
    fleet.write(&*store)?;
    let written = engine::write_all(&*store, &fleet, output, &args.image)?;
    let planned = Planned {
        folder: name::shown(output),
        machines: fleet.machines.len(),
        list: fleet.list.clone(),
        engines: written,
        policies: policy::write_all(&*store, &fleet)?,
    };
    context.answer(&planned, || Ok(page(&planned)))?;
    Ok(Answer::Yes)
}

fn page(planned: &Planned) -> Page {
    let mut page = Page::new();
    let machines = planned.machines;
    let text =
        format!("{machines} machine{} frozen in {}", if machines == 1 { "" } else { "s" }, planned.folder);
    page.line(Line::default().ink(Ink::Good, text));
    page.gap();
    for written in &planned.engines {
        page.line(Line::new(format!("{}: {}", written.engine, written.command)).hang(2));
    }
    let folder = present::quote(&planned.folder);
    page.line(Line::new(format!("here: refloat fleet run {folder} --jobs 2")).hang(2));
    if !planned.policies.is_empty() {
        let files = planned.policies.join(", ");
        page.line(Line::new(format!("what tasks have to be allowed, and no more: {files}")).hang(2));
    }
    page.gap();
    page.line(Line::new(format!("how far it is: refloat fleet status {folder}")).hang(2));
    page
}
