//! `refloat fleet`: many machines, by whatever engine there is.
//!
//! A [`survey`] finds machines and judges them. A [`list`] of machines is frozen into a [`folder`](frozen). One machine is one [`task`]: this very program
//! with `migrate`, run under a [`lease`], for an engine may run a task twice. What a task leaves is files,
//! written whole: no server, no database. An [`engine`] only has to start `fleet run` with a number, and to
//! start it again where it ends with 3.
//!
//! Files are in a folder, or [in S3 or in Azure](remote): the [`store`] is what both are.

mod answered;
mod due;
mod engine;
mod found;
mod frozen;
mod lease;
mod list;
mod metrics;
mod newest;
mod page;
mod plan;
mod policy;
mod portfolio;
mod program;
mod remote;
mod report;
mod run;
mod sent;
mod simulate;
mod state;
mod status;
mod store;
mod survey;
mod task;
mod tested;
mod who;

pub(crate) use task::end_with_task;

use crate::answer::Outcome;
use crate::cli::{FleetArgs, FleetVerb};
use crate::context::Context;
use crate::schema::{Kind, answer};

/// What the verbs answer.
pub(crate) const ANSWERS: &[Kind] = &[
    answer::<survey::Survey>,
    answer::<plan::Planned>,
    answer::<simulate::Simulation>,
    answer::<run::Ran>,
    answer::<status::Status>,
    answer::<report::SignOff>,
];

pub(crate) fn run(context: &Context, args: &FleetArgs) -> Outcome {
    match &args.verb {
        FleetVerb::Survey(args) => survey::run(context, args),
        FleetVerb::Plan(args) if args.simulate => simulate::run(context, args),
        FleetVerb::Plan(args) => plan::run(context, args),
        FleetVerb::Run(args) => run::run(context, args),
        FleetVerb::Test(args) => run::test(context, args),
        FleetVerb::Status(args) => status::run(context, args),
        FleetVerb::Report(args) => report::run(context, args),
    }
}
