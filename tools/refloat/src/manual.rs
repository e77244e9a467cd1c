//! `refloat completions` and `refloat man`: what can be typed, for shells and for readers.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, anyhow};
use clap::Command;
use clap_mangen::Man;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::context::Context;
use crate::name;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A script that completes commands.
pub(crate) fn completions(context: &Context, args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::whole(), "refloat", &mut script);
    context.out.own(&script)?;
    Ok(Answer::Yes)
}

/// A page for `man`: of a verb, or of all; or a page of each, in files.
pub(crate) fn page(context: &Context, args: &ManArgs) -> Outcome {
    let mut whole = Cli::whole();
    if let Some(folder) = &args.dir {
        whole = whole.disable_help_subcommand(true);
        whole.build();
        fs::create_dir_all(folder).with_context(|| name::shown(folder))?;
        write(&whole, folder).with_context(|| name::shown(folder))?;
        return Ok(Answer::Yes);
    }
    whole.build();
    let command = match &args.verb {
        None => whole,
        Some(verb) => {
            let found = whole.find_subcommand(verb).cloned().map(|verb| verb.version(VERSION));
            found.ok_or_else(|| anyhow!("there is no verb {verb}")).help("refloat --help lists them all")?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    context.out.own(&page)?;
    Ok(Answer::Yes)
}

/// Writes the page of a command, and of all below it.
fn write(command: &Command, folder: &Path) -> io::Result<()> {
    for verb in command.get_subcommands() {
        write(verb, folder)?;
    }
    Man::new(command.clone().version(VERSION)).generate_to(folder).map(drop)
}
