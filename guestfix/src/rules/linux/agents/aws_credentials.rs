//! linux.aws.credentials

use crate::rule::{Applies, Evidence, Pack, Source};
use crate::{Finding, Guest, Phase, Result, Rule, RuleMeta, Severity};

/// Keys of an AWS account.
pub(in crate::rules) static RULE: Rule = Rule {
    meta: RuleMeta {
        id: "linux.aws.credentials",
        title: "no keys of an AWS account are left on the disk",
        pack: Pack::Linux,
        phase: Phase::Identity,
        severity: Severity::Note,
        cause: "Programs on EC2 get short-lived keys from the metadata service; long-lived ones in files \
                still open the account from Azure, and go with every copy of the disk.",
        fix: "remove the keys if nothing needs them any more, and revoke them in the account",
        source: &[
            Source::new("AWS CLI user guide", "Configuration and credential file settings", "2026"),
            Source::new("boto configuration", "", "2026"),
        ],
        applies: Applies::LINUX,
    },
    detect,
    fix: None,
};

const FILES: [&str; 3] = ["/etc/boto.cfg", "/etc/aws/credentials", "/etc/passwd-s3fs"];
const IN_HOMES: [&str; 4] = [".aws/credentials", ".boto", ".s3cfg", ".passwd-s3fs"];

fn detect(guest: &Guest<'_>) -> Result<Finding> {
    let mut homes = vec!["/root".to_owned()];
    homes.extend(guest.view.list("/home")?.into_iter().map(|name| format!("/home/{name}")));
    let mut files: Vec<String> = FILES.iter().map(|&file| file.to_owned()).collect();
    files.extend(homes.iter().flat_map(|home| IN_HOMES.map(|file| format!("{home}/{file}"))));
    let mut evidence = Vec::new();
    for file in files {
        if guest.view.exists(&file)? {
            evidence.push(Evidence::new(file, "keys of an AWS account"));
        }
    }
    Ok(Finding::from_evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Bench;

    #[test]
    fn keys_are_named_and_stay() {
        let bench = Bench::debian()
            .file("/home/admin/.aws/credentials", "[default]\n")
            .file("/home/admin/.aws/config", "[default]\nregion=eu-west-1\n");
        assert_eq!(bench.findings(&RULE), ["/home/admin/.aws/credentials: keys of an AWS account"]);
        bench.by_hand(&RULE);
    }
}
