//! `refloat completions` and `refloat man`: what can be typed, for shells and for readers.

use anyhow::anyhow;
use clap_mangen::Man;

use crate::answer::{Answer, Help, Outcome};
use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::context::Context;

/// A script that completes commands.
pub(crate) fn completions(context: &Context, args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::whole(), "refloat", &mut script);
    context.out.own(&script)?;
    Ok(Answer::Yes)
}

/// A page for `man`: of a verb, or of all.
pub(crate) fn page(context: &Context, args: &ManArgs) -> Outcome {
    let mut whole = Cli::whole();
    whole.build();
    let command = match &args.verb {
        None => whole,
        Some(verb) => {
            let version = env!("CARGO_PKG_VERSION");
            let found = whole.find_subcommand(verb).cloned().map(|verb| verb.version(version));
            found.ok_or_else(|| anyhow!("there is no verb {verb}")).help("refloat --help lists them all")?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    context.out.own(&page)?;
    Ok(Answer::Yes)
}
