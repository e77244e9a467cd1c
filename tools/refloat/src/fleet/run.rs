//! `refloat fleet run` and `fleet test`: one machine, as an engine asks for it, or all of them here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use guestfix::report::{Line, Page};
use schemars::JsonSchema;
use serde::Serialize;

use super::engine;
use super::frozen::Fleet;
use super::state::{Stage, because};
use super::status::ink;
use super::store;
use super::task::{Ended, Tasks, Work};
use crate::answer::{Answer, Help, Outcome, next_step, stopped};
use crate::cli::{FleetRunArgs, FleetTaskArgs, FleetTestArgs};
use crate::context::Context;
use crate::document::Document;
use crate::snapshot;

/// How often is looked whether a machine can begin, while others are at work.
const LOOK: Duration = Duration::from_millis(200);

/// What was done, for `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ran {
    folder: String,
    machines: Vec<One>,
}

/// A machine that this run looked at.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct One {
    row: usize,
    id: String,
    stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Document for Ran {
    const SCHEMA: &'static str = "refloat.fleet-run/1";
}

/// `fleet run`.
pub(crate) fn run(context: &Context, args: &FleetRunArgs) -> Outcome {
    let work = if args.delta { Work::Delta } else { Work::Move };
    worked(context, &args.tasks, work, (Vec::new(), args.again))
}

/// `fleet test`.
pub(crate) fn test(context: &Context, args: &FleetTestArgs) -> Outcome {
    if args.cleanup {
        return worked(context, &args.tasks, Work::CleanUp, (Vec::new(), false));
    }
    let mut more = vec!["--every".to_owned(), args.every.to_string()];
    more.extend(["--timeout".to_owned(), args.timeout.to_string()]);
    if args.keep {
        more.push("--keep".to_owned());
    }
    worked(context, &args.tasks, Work::Test, (more, args.again))
}

fn worked(
    context: &Context,
    args: &FleetTaskArgs,
    work: Work,
    (more, again): (Vec<String>, bool),
) -> Outcome {
    let lease = Duration::from_secs(args.lease);
    // What takes longer than a part of the lease is tried again at its next renewal.
    let store = store::open(context, &args.folder, (lease / 6).max(Duration::from_secs(1)))?;
    let fleet = Fleet::read(&*store)?;
    let index = match args.index {
        Some(index) => Some(index),
        None => engine::index()?,
    };
    let tasks = Tasks {
        context,
        store: &*store,
        fleet: &fleet,
        work,
        more,
        again,
        lease,
        is_share: index.is_some(),
        done: Mutex::default(),
    };
    context.resumes.store(true, std::sync::atomic::Ordering::Relaxed);
    let machines = match index {
        Some(index) => {
            let machine = fleet.machine(index)?;
            if args.wave.is_some_and(|wave| wave != machine.wave) {
                return Err(anyhow!("{} is of wave {}", machine.id, machine.wave)).help("leave --wave out");
            }
            vec![one(&tasks, index, tasks.run(index)?)?]
        }
        None => several(&tasks, args)?,
    };
    let ran = Ran { folder: store.to_string(), machines };
    context.answer(&ran, || Ok(page(&ran)))?;
    ran.outcome(context)
}

fn one(tasks: &Tasks<'_>, row: usize, ended: Ended) -> Result<One> {
    let id = tasks.fleet.machine(row)?.id.clone();
    let Ended { stage, why, help } = ended;
    Ok(One { row, id, stage, why, help })
}

/// Works on all machines of a wave, or all there are, in the order of the list where nothing stands against it.
fn several(tasks: &Tasks<'_>, args: &FleetTaskArgs) -> Result<Vec<One>> {
    let machines = tasks.fleet.machines.iter().enumerate();
    let of_wave = machines.filter(|(_, machine)| args.wave.is_none_or(|wave| wave == machine.wave));
    let todo: Vec<usize> = of_wave.map(|(index, _)| index).collect();
    if todo.is_empty() {
        return Err(anyhow!("no machine is of wave {}", args.wave.unwrap_or(0)))
            .help("refloat fleet status tells the waves");
    }
    let left = Mutex::new((todo, 0_usize));
    let ran = Mutex::new(Vec::new());
    let lock = || left.lock().unwrap_or_else(PoisonError::into_inner);
    // Each takes the first machine that can begin. One that has to wait goes back, as long as others are at
    // work that it may wait for.
    let work = || -> Result<()> {
        let mut waited: Vec<(usize, Ended)> = Vec::new();
        loop {
            if tasks.context.observer.cancelled() {
                return Ok(());
            }
            let next = {
                let mut left = lock();
                let next = left.0.iter().position(|index| !waited.iter().any(|(other, _)| other == index));
                next.map(|at| {
                    left.1 += 1;
                    left.0.remove(at)
                })
            };
            let Some(index) = next else {
                if lock().1 > 0 && !waited.is_empty() {
                    std::thread::sleep(LOOK);
                    waited.clear();
                    continue;
                }
                let mut ran = ran.lock().unwrap_or_else(PoisonError::into_inner);
                for (index, ended) in waited {
                    let mut left = lock();
                    if let Some(at) = left.0.iter().position(|other| *other == index) {
                        left.0.remove(at);
                        ran.push(one(tasks, index, ended)?);
                    }
                }
                return Ok(());
            };
            let ended = tasks.run(index).or_else(|error| failed(tasks, error));
            lock().1 -= 1;
            let ended = ended?;
            if ended.stage == Stage::Waiting {
                lock().0.push(index);
                waited.push((index, ended));
                continue;
            }
            waited.clear();
            let one = one(tasks, index, ended)?;
            tasks.context.note(told(&one));
            ran.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a task ended in a panic"))?)
    })?;
    let mut ran = ran.into_inner().unwrap_or_else(PoisonError::into_inner);
    ran.sort_by_key(|one: &One| one.row);
    Ok(ran)
}

/// What cannot be done with one machine keeps none of the others back. Where the clouds or a stop are why, they would end so, too.
fn failed(tasks: &Tasks<'_>, error: anyhow::Error) -> Result<Ended> {
    if tasks.context.observer.cancelled() || snapshot::failure(&error).is_some() {
        return Err(error);
    }
    let (help, _) = next_step(&error);
    Ok(Ended { stage: Stage::Failed, why: Some(format!("{error:#}")), help: Some(help) })
}

fn told(one: &One) -> String {
    format!("{} {}{}", one.id, one.stage.word(), because(one.why.as_ref()))
}

impl Ran {
    /// 0 if all are done; 2 if one failed, 1 if one is refused, 3 where the same command goes on.
    fn outcome(&self, context: &Context) -> Outcome {
        let of = |stage: Stage| self.machines.iter().find(|one| one.stage == stage);
        if context.observer.cancelled() {
            return Err(stopped()).goes_on("run the same command to go on");
        }
        if let Some(one) = of(Stage::Failed) {
            let help = one.help.clone().unwrap_or_else(|| "refloat fleet status tells more".to_owned());
            return Err(anyhow!("{}", told(one))).help(help);
        }
        if of(Stage::Refused).is_some() {
            return Ok(Answer::No);
        }
        let unfinished = [Stage::Interrupted, Stage::Waiting, Stage::Running].into_iter().find_map(of);
        match unfinished {
            Some(one) => Err(anyhow!("{}", told(one))).goes_on("run the same command to go on"),
            None => Ok(Answer::Yes),
        }
    }
}

fn page(ran: &Ran) -> Page {
    let mut page = Page::new();
    for one in &ran.machines {
        let why = because(one.why.as_ref());
        let line = Line::default().ink(ink(one.stage), one.stage.word()).text(format!("  {}{why}", one.id));
        page.line(line.hang(6));
    }
    page
}
