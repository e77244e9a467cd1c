//! `refloat`: will this machine boot on Azure, and what would make it.
//!
//! One module a verb; [`cli`] is what can be typed, [`answer`] how a verb ends, [`progress`] what long work tells.

mod answer;
mod apply;
mod boot;
mod check;
mod cli;
mod convert;
mod demo;
mod disks;
mod fs;
mod grub;
mod image;
mod inspect;
mod migrate;
mod plan;
mod progress;
mod rules;
mod snapshot;
mod stop;
mod undo;
mod verify;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    progress::set_up_log(cli.global.verbose);
    stop::set_up();
    let outcome = run(&cli);
    snapshot::tell(&cli.global);
    answer::exit(outcome)
}

fn run(cli: &cli::Cli) -> answer::Outcome {
    let global = &cli.global;
    match &cli.verb {
        cli::Verb::Demo(args) => demo::run(global, args),
        cli::Verb::Inspect(args) => inspect::run(global, args),
        cli::Verb::Check(args) => check::run(global, args),
        cli::Verb::Plan(args) => plan::run(global, args),
        cli::Verb::Apply(args) => apply::run(global, args),
        cli::Verb::Undo(args) => undo::run(global, args),
        cli::Verb::Convert(args) => convert::run(global, args),
        cli::Verb::Verify(args) => verify::run(global, args),
        cli::Verb::Boot(args) => boot::run(global, args),
        cli::Verb::Migrate(args) => migrate::run(global, args),
        cli::Verb::Fs(args) => fs::run(global, args),
        cli::Verb::Rules(args) => rules::run(global, args),
    }
}
