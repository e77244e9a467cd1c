//! `refloat`: will this machine boot on Azure, and what would make it.
//!
//! One module a verb; [`cli`] is what can be typed, [`context`] what every verb is given, [`present`] all
//! that reaches a terminal, [`answer`] how a verb ends.

mod answer;
mod apply;
mod azure;
mod boot;
mod check;
mod cli;
mod context;
mod convert;
mod day;
mod demo;
mod document;
mod emit;
mod fleet;
mod forecast;
mod fs;
mod grub;
mod help;
mod image;
mod inspect;
mod managed;
mod manual;
mod migrate;
mod name;
mod next;
mod plan;
mod present;
mod rules;
mod schema;
mod snapshot;
mod source;
mod stop;
mod symptom;
mod test_migrate;
mod undo;
mod verify;
mod windows_agent;

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use context::Context;

fn main() -> ExitCode {
    let cli = match cli::Cli::read() {
        Ok(cli) => cli,
        Err(error) => return answer::usage(&error),
    };
    present::set_up_log(cli.global.verbose);
    let context = Context::new(&cli.global);
    stop::set_up(&context);
    let outcome = fleet::end_with_task().and_then(|()| run(&context, &cli.verb));
    context.ended.store(true, Ordering::Relaxed);
    context.close();
    if let Some(tally) = context.opened.tally() {
        context.note(format!("read {tally}, by AWS's prices of us-east-1"));
    }
    if let Some(tally) = context.opened.blobs() {
        context.note(format!("read {tally} of Azure"));
    }
    answer::exit(&context, outcome)
}

fn run(context: &Context, verb: &cli::Verb) -> answer::Outcome {
    cli::check(&context.global, verb)?;
    match verb {
        cli::Verb::Demo(args) => demo::run(context, args),
        cli::Verb::Inspect(args) => inspect::run(context, args),
        cli::Verb::Check(args) => check::run(context, args),
        cli::Verb::Plan(args) => plan::run(context, args),
        cli::Verb::Apply(args) => apply::run(context, args),
        cli::Verb::Undo(args) => undo::run(context, args),
        cli::Verb::Convert(args) => convert::run(context, args),
        cli::Verb::Verify(args) => verify::run(context, args),
        cli::Verb::Boot(args) => boot::run(context, args),
        cli::Verb::Migrate(args) => migrate::run(context, args),
        cli::Verb::TestMigrate(args) => test_migrate::run(context, args),
        cli::Verb::Fs(args) => fs::run(context, args),
        cli::Verb::Forecast(args) => forecast::run(context, args),
        cli::Verb::Emit(args) => emit::run(context, args),
        cli::Verb::Fleet(args) => fleet::run(context, args),
        cli::Verb::Azure(args) => managed::run(context, args),
        cli::Verb::Rules(args) => rules::run(context, args),
        cli::Verb::Completions(args) => manual::completions(context, args),
        cli::Verb::Schema(args) => schema::run(context, args),
        cli::Verb::Man(args) => manual::page(context, args),
    }
}
