//! Batch engines: real ones where they run on one machine, and for the others what judges their job files.

mod hyperqueue;
mod slurm;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

pub use hyperqueue::hyperqueue;
pub use slurm::Slurm;

use crate::{boto, judge, python};

/// Schemas of Kubernetes 1.25 to 1.37.
const KUBERNETES: &str = "kubernetes-validate==1.37.0\n";

/// Insists that Kubernetes takes a manifest: kubernetes-validate with its strict schemas. After a visible skip
/// nothing is judged.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn kubernetes(manifest: &Path) {
    static ENVIRONMENT: OnceLock<Result<PathBuf>> = OnceLock::new();
    let Some(python) = python::of(&ENVIRONMENT, KUBERNETES, "kubernetes-validate") else { return };
    // Its script names the Python of the folder that the environment was made in.
    let script = python.with_file_name("kubernetes-validate");
    judge::run(Command::new(python).arg(script).args(["--strict", "-k", "1.37"]).arg(manifest));
}

/// Insists that AWS Batch takes the input of RegisterJobDefinition: botocore's own model of it.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn batch(definition: &Path) {
    const JUDGE: &str = "\
import json, sys, botocore.session, botocore.validate
model = botocore.session.get_session().get_service_model('batch')
shape = model.operation_model('RegisterJobDefinition').input_shape
wrong = botocore.validate.ParamValidator().validate(json.load(open(sys.argv[1])), shape)
sys.exit(wrong.generate_report() if wrong.has_errors() else 0)
";
    let Some(python) = boto::python() else { return };
    judge::run(Command::new(python).args(["-c", JUDGE]).arg(definition));
}
