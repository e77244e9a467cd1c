//! The accounts of an organization (ListAccounts, AWS Organizations API 2016-11-28).

use serde::Deserialize;

use super::Ebs;
use super::tally::Counter;
use crate::fault::{Fault, FaultKind, told};
use crate::retry::{Cloud, Failure, Retry};

/// Pages of the list, each of up to 20 accounts: no organization has so many.
const PAGES: usize = 10_000;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its twelve digits.
    pub id: String,
    /// What people call it.
    pub name: String,
}

/// The name of a role in an account, in the partition of a region: `arn:aws:iam::123456789012:role/NAME`.
pub fn role_arn(region: &str, account: &str, role: &str) -> String {
    let partition = match region {
        region if region.starts_with("us-gov-") => "aws-us-gov",
        region if region.starts_with("cn-") => "aws-cn",
        _ => "aws",
    };
    format!("arn:{partition}:iam::{account}:role/{}", role.trim_start_matches('/'))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    accounts: Vec<Listed>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    name: String,
    /// Since 2025-09.
    state: Option<String>,
    /// Before that; no more since 2026-09.
    status: Option<String>,
}

impl Ebs {
    /// The accounts of the organization that are active, in the order of the service. The credentials have to be those
    /// of its management account, or of a delegated administrator.
    ///
    /// # Errors
    /// What the service says.
    pub fn accounts(&self) -> Result<Vec<Account>, Failure> {
        let (client, counter) = (self.client(), Counter::default());
        let retry = Retry {
            cloud: Cloud::Aws,
            subject: "the organization",
            patience: client.options.patience,
            known: client.service.known(),
            rates: &[&client.queries],
            retries: counter.retries(),
        };
        let (mut all, mut next) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let page = retry.run(
                || "its accounts".to_owned(),
                || {
                    let bytes = client.service.accounts(next.as_deref())?;
                    let page = serde_json::from_slice::<Page>(&bytes);
                    page.map_err(|error| Fault::new(FaultKind::Protocol, error.to_string()))
                },
            )?;
            all.extend(page.accounts.into_iter().filter_map(active));
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }
}

/// The account, if machines can be in it.
fn active(listed: Listed) -> Option<Account> {
    let Listed { id, name, state, status } = listed;
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
    let is_active = state.or(status).is_none_or(|state| state == "ACTIVE");
    (is_id && is_active).then(|| Account { id, name: told(&name, 100) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_active_by_either_word() {
        let page = r#"{"Accounts":[{"Id":"111111111111","Name":"one","State":"ACTIVE","Status":"SUSPENDED"},
            {"Id":"222222222222","Status":"ACTIVE"},{"Id":"333333333333","State":"CLOSED"},{"Id":"../x"}]}"#;
        let page: Page = serde_json::from_str(page).unwrap();
        let ids: Vec<String> =
            page.accounts.into_iter().filter_map(active).map(|account| account.id).collect();
        assert_eq!(ids, ["111111111111", "222222222222"]);
        assert_eq!(role_arn("eu-west-1", "111111111111", "move"), "arn:aws:iam::111111111111:role/move");
        assert_eq!(role_arn("cn-north-1", "1", "a/b"), "arn:aws-cn:iam::1:role/a/b");
    }
}
