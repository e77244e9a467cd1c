//! The machines that a survey looks at: the instances of Regions and accounts, or the addresses of a list.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use libdisk::cloud::ebs::{self, Ebs, Instance, role_arn};
use schemars::JsonSchema;
use serde::Serialize;

use super::list::is_list;
use crate::answer::Help;
use crate::cli::FleetSurveyArgs;
use crate::context::Context;
use crate::{name, snapshot};

/// A machine that is to be looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: Option<String>,
    /// The instance type.
    pub(super) kind: Option<String>,
    pub(super) source: String,
    pub(super) wave: u32,
    /// The account that it is in, where several are looked at.
    pub(super) account: Option<String>,
    /// The role to look at it by.
    pub(super) role: Option<String>,
}

/// An account in a Region that could not be asked.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Refused {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    pub(super) region: String,
    pub(super) why: String,
}

impl Refused {
    /// The account, if one was named, and the Region.
    pub(super) fn place(&self) -> String {
        let account = self.account.as_ref().map(|account| format!("account {account}, "));
        format!("{}{}", account.unwrap_or_default(), self.region)
    }
}

/// All machines that are meant, and the accounts that gave no answer: one that refuses keeps no other from being
/// looked at.
pub(super) fn machines(context: &Context, args: &FleetSurveyArgs) -> Result<(Vec<Found>, Vec<Refused>)> {
    if let Some(list) = &args.from_list {
        return Ok((in_list(list)?, Vec::new()));
    }
    let Some(first) = args.regions.first() else {
        return Err(anyhow!("nothing is named to look at")).help("name @REGION, or --from-list FILE");
    };
    let accounts: Vec<Option<String>> = match (args.all_accounts, args.accounts.is_empty()) {
        (true, _) => connect(context, first, None)?.accounts()?.into_iter().map(|one| Some(one.id)).collect(),
        (false, false) => args.accounts.iter().cloned().map(Some).collect(),
        (false, true) => vec![None],
    };
    let places = accounts.iter().flat_map(|account| args.regions.iter().map(move |region| (account, region)));
    let places: Vec<_> = places.collect();
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for (account, region) in &places {
        let role = account.as_ref().zip(args.role.as_ref()).map(|(id, role)| role_arn(region, id, role));
        let asked =
            connect(context, region, role.clone()).and_then(|ebs| Ok(ebs.instances(&args.tags)?)).map(
                |instances| instances.into_iter().map(|one| of(args, region, account, role.as_deref(), one)),
            );
        match asked {
            Ok(machines) => found.extend(machines),
            // Of one place alone it is the whole answer.
            Err(error) if places.len() == 1 => return Err(error),
            Err(error) => {
                let (account, region) = ((*account).clone(), (*region).clone());
                let refusal = Refused { account, region, why: format!("{error:#}") };
                context.note(format!("{}: {}", refusal.place(), refusal.why));
                refused.push(refusal);
            }
        }
        if context.observer.cancelled() {
            break;
        }
    }
    Ok((found, refused))
}

/// The roles that a survey assumes, as a policy names them.
pub(super) fn roles(context: &Context, args: &FleetSurveyArgs) -> BTreeSet<String> {
    let every = ["*".to_owned()];
    let accounts: &[String] = if args.accounts.is_empty() { &every } else { &args.accounts };
    let of_accounts = args.regions.iter().flat_map(|region| accounts.iter().map(move |id| (region, id)));
    let role = args
        .role
        .iter()
        .flat_map(|role| of_accounts.clone().map(move |(region, id)| role_arn(region, id, role)));
    role.chain(context.global.aws_role.clone()).collect()
}

fn connect(context: &Context, region: &str, role: Option<String>) -> Result<Ebs> {
    let options = snapshot::options(&context.global);
    let role = role.or(options.role.clone());
    Ok(Ebs::connect(&ebs::Options { region: Some(region.to_owned()), role, ..options })?)
}

fn of(
    args: &FleetSurveyArgs,
    region: &str,
    account: &Option<String>,
    role: Option<&str>,
    instance: Instance,
) -> Found {
    let tag = |name: &str| instance.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    Found {
        name: tag("Name"),
        wave: args.wave_tag.as_deref().and_then(tag).and_then(|wave| wave.parse().ok()).unwrap_or(0),
        kind: Some(instance.kind.clone()).filter(|kind| !kind.is_empty()),
        source: format!("ebs:{}@{region}", instance.id),
        account: account.clone(),
        role: role.map(str::to_owned),
        id: instance.id,
    }
}

/// The addresses of a list, one a line; an id may stand before it and a comma.
fn in_list(list: &Path) -> Result<Vec<Found>> {
    let text = fs::read_to_string(list).with_context(|| format!("{}: cannot be read", name::shown(list)))?;
    let lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut lines = lines.peekable();
    if lines.peek().is_some_and(|first| is_list(first)) {
        return Err(anyhow!("{} is a list for fleet plan, with columns of its own", name::shown(list)))
            .help("give a file with the addresses alone, one a line, or ID,ADDRESS");
    }
    let (mut found, mut ids) = (Vec::new(), HashSet::new());
    for line in lines.filter(|line| *line != "id,source") {
        let (id, source) = match line.split_once(',') {
            Some((id, source)) => (id.trim().to_owned(), source.trim()),
            None => (own_id(line), line),
        };
        if !ids.insert(id.clone()) {
            return Err(anyhow!("{}: two machines are called {id}", name::shown(list)))
                .help("write ID,ADDRESS on these lines");
        }
        found.push(Found { id, source: source.to_owned(), ..Found::default() });
    }
    Ok(found)
}

/// An id made of an address: the file's name without what a list does not take.
fn own_id(source: &str) -> String {
    let last = source.rsplit(['/', ':']).next().unwrap_or(source);
    let plain = last.split(['@', '#', '?']).next().unwrap_or(last);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    plain.chars().map(|c| if is_plain(c) { c } else { '-' }).take(63).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_addresses() {
        for (source, id) in [
            ("/images/web 1.qcow2", "web-1.qcow2"),
            ("ebs:i-0abc@eu-west-1", "i-0abc"),
            ("azure:s/g/disk", "disk"),
            ("raw:disk.img#p1", "disk.img"),
        ] {
            assert_eq!(own_id(source), id);
        }
    }
}
