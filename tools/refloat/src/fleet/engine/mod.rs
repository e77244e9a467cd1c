//! Batch engines: each starts `refloat fleet run DIR` with the number of a row in a variable of its own, and
//! again where it ends with 3.
//!
//! 0 is done; 1 (it will not boot there) and 2 (it could not be done) are not tried again; 3 goes on.

mod batch;
mod hyperqueue;
mod kubernetes;
mod slurm;

use std::path::Path;

use anyhow::{Result, anyhow};
use libdisk::cloud::objects::Place;
use schemars::JsonSchema;
use serde::Serialize;

use super::frozen::Fleet;
use super::store::Store;
use crate::answer::Help;
use crate::{name, present};

/// An engine.
struct Engine {
    name: &'static str,
    /// The variable that has the number of the row, the first of which is 0.
    variable: &'static str,
    /// The file that it is given.
    file: &'static str,
    content: fn(&Job<'_>) -> Result<String>,
    /// What to type, before the name of the file.
    submit: &'static str,
    /// What to type where the file comes by standard input.
    piped: &'static str,
}

const ENGINES: &[Engine] = &[
    Engine {
        name: "Slurm",
        variable: "SLURM_ARRAY_TASK_ID",
        file: "slurm.sh",
        content: slurm::script,
        submit: "sbatch",
        piped: "sbatch",
    },
    Engine {
        name: "Kubernetes",
        variable: "JOB_COMPLETION_INDEX",
        file: "k8s-job.yaml",
        content: kubernetes::job,
        submit: "kubectl create -f",
        piped: "kubectl create -f -",
    },
    Engine {
        name: "AWS Batch",
        variable: "AWS_BATCH_JOB_ARRAY_INDEX",
        file: "aws-batch.json",
        content: batch::definition,
        submit: "aws batch register-job-definition --cli-input-json file://",
        piped: "aws batch register-job-definition --cli-input-json file:///dev/stdin",
    },
    Engine {
        name: "HyperQueue",
        variable: "HQ_TASK_ID",
        file: "hyperqueue.sh",
        content: hyperqueue::script,
        submit: "sh",
        piped: "sh",
    },
];

/// What job files are made of.
struct Job<'a> {
    fleet: &'a Fleet,
    /// The folder, from the root on, or where else the state is.
    folder: String,
    place: Option<&'a Place>,
    /// This program.
    program: String,
    image: &'a str,
}

impl Job<'_> {
    /// The last row.
    fn last(&self) -> usize {
        self.fleet.machines.len().saturating_sub(1)
    }

    /// The folder as a container has it: where it is mounted, if it is one.
    fn in_container<'b>(&'b self, mount: &'b str) -> &'b str {
        if self.place.is_some() { &self.folder } else { mount }
    }

    /// What a task runs, for a shell.
    fn command(&self) -> String {
        let words = ["fleet", "run", &self.folder].map(present::quote).join(" ");
        format!("{} {words}", present::quote(&self.program))
    }
}

/// A job file that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Written {
    pub(super) engine: &'static str,
    file: String,
    /// What to type.
    pub(super) command: String,
}

/// Writes the job files of all engines.
pub(crate) fn write_all(
    store: &dyn Store,
    fleet: &Fleet,
    folder: &Path,
    image: &str,
) -> Result<Vec<Written>> {
    let program = std::env::current_exe().map_or_else(|_| "refloat".to_owned(), name::text);
    let job = Job { fleet, folder: store.typed(), place: store.place(), program, image };
    let write = |engine: &Engine| {
        store.write(engine.file, (engine.content)(&job)?.as_bytes())?;
        let (file, command) = match store.place() {
            None => {
                let file = name::shown(folder.join(engine.file));
                let space = if engine.submit.ends_with('/') { "" } else { " " };
                let command = format!("{}{space}{}", engine.submit, present::quote(&file));
                (file, command)
            }
            Some(place) => {
                let file = format!("{place}/{}", engine.file);
                let command = format!("{} | {}", fetch(place, engine.file), engine.piped);
                (file, command)
            }
        };
        Ok(Written { engine: engine.name, file, command })
    };
    ENGINES.iter().map(write).collect()
}

/// What prints a file that is there.
fn fetch(place: &Place, file: &str) -> String {
    match place {
        Place::S3 { .. } => format!("aws s3 cp {} -", present::quote(&format!("{place}/{file}"))),
        Place::Azure(url) => {
            let url = present::quote(&format!("{url}/{file}"));
            format!("az storage blob download --no-progress --auth-mode login --blob-url {url}")
        }
    }
}

/// The task that an engine runs this process as.
pub(crate) fn task() -> Option<String> {
    let mut set = ENGINES.iter().filter_map(|engine| Some((engine, std::env::var(engine.variable).ok()?)));
    set.next().map(|(engine, value)| format!("task {value} of {}", engine.name))
}

/// The row that an engine asks for, if one does.
pub(crate) fn index() -> Result<Option<usize>> {
    let set =
        ENGINES.iter().filter_map(|engine| Some((engine.variable, std::env::var(engine.variable).ok()?)));
    let set: Vec<_> = set.collect();
    match &set[..] {
        [] => Ok(None),
        [(variable, value)] => {
            let index =
                value.parse().map_err(|_| anyhow!("{variable} is {value}, which is no number of a row"));
            index.map(Some).help("give the row by --index")
        }
        [(one, _), (other, _), ..] => {
            Err(anyhow!("both {one} and {other} are set")).help("give the row by --index")
        }
    }
}
