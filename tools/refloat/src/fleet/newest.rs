//! Which snapshots a machine has now: two questions to EC2, and none to EBS.

use anyhow::{Result, bail};
use libdisk::cloud::ebs::{Address, Ebs, Name, Options};

use crate::context::Context;
use crate::snapshot;

/// The ids of the snapshots that these words of `migrate` are about now, in the order of the disks.
pub(super) fn newest(context: &Context, words: &[String]) -> Result<Vec<String>> {
    let source = words.get(1).and_then(|source| source.strip_prefix("ebs:"));
    let Some(source) = source else { bail!("it is not read from AWS") };
    let Address { name, region } = source.parse()?;
    let instance = match name {
        Name::Snapshots(ids) => return Ok(ids),
        Name::Instance(instance) => instance,
    };
    let values = |option: &'static str| {
        let pairs = words.iter().zip(words.iter().skip(1));
        pairs.filter(move |(word, _)| *word == option).map(|(_, value)| value.clone())
    };
    let options = snapshot::options(&context.global);
    let role = values("--aws-role").next().or_else(|| options.role.clone());
    let exclude = values("--exclude-disk").collect();
    let ebs = Ebs::connect(&Options { region, role, exclude, ..options })?;
    let set = ebs.instance_set(&instance)?;
    Ok(set.members.into_iter().map(|(_, member)| member.id).collect())
}
