//! Which of Microsoft's clouds is meant, and where its services are.

use ureq::http::Uri;

use super::token::variable;
use crate::fault::{Fault, FaultKind};
use crate::http;

/// A cloud of Microsoft's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where resources are managed, without a `/` at its end.
    pub(super) manager: String,
    /// Who a token is for.
    pub(super) audience: &'static str,
    /// Where tokens are given out, without a `/` at its end.
    pub(super) authority: String,
}

/// The clouds: the names that Azure's own programs know them by, and their endpoints, as in azure-cli 2.91
/// (`azure/cli/core/cloud.py`).
const CLOUDS: [(&[&str], &str, &str); 3] = [
    (
        &["public", "azurecloud", "azurepubliccloud"],
        "https://management.azure.com",
        "https://login.microsoftonline.com",
    ),
    (
        &["usgovernment", "azureusgovernment", "azureusgovernmentcloud"],
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
    ),
    (
        &["china", "azurechina", "azurechinacloud"],
        "https://management.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
    ),
];

impl Place {
    /// The cloud that `AZURE_CLOUD` names, else the public one. `AZURE_AUTHORITY_HOST` names another place for
    /// tokens, and `AZURE_RESOURCE_MANAGER` another one for resources.
    ///
    /// # Errors
    /// `Invalid` where a variable names none.
    pub(super) fn of_environment() -> Result<Self, Fault> {
        let place = Self::named(variable("AZURE_CLOUD").as_deref().unwrap_or("public"))?;
        let url = |name: &str, usual: String| match variable(name) {
            Some(url) => checked(name, &url),
            None => Ok(usual),
        };
        Ok(Self {
            manager: url("AZURE_RESOURCE_MANAGER", place.manager)?,
            authority: url("AZURE_AUTHORITY_HOST", place.authority)?,
            ..place
        })
    }

    fn named(name: &str) -> Result<Self, Fault> {
        let wanted = name.to_ascii_lowercase();
        let found = CLOUDS.iter().find(|(names, ..)| names.contains(&wanted.as_str()));
        let (_, manager, authority) = found.ok_or_else(|| {
            let known = "AzureCloud, AzureUSGovernment and AzureChinaCloud are known";
            Fault::new(FaultKind::Invalid, format!("AZURE_CLOUD names no cloud: {known}"))
        })?;
        Ok(Self { manager: (*manager).into(), audience: manager, authority: (*authority).into() })
    }
}

/// The URL of a service: by `https`, or of this machine. It goes into no message whole, as it may hold a
/// password.
fn checked(name: &str, url: &str) -> Result<String, Fault> {
    let url = url.trim_end_matches('/');
    // Azure's own programs take a host alone, too.
    let whole = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let uri: Option<Uri> = whole.parse().ok();
    let is_good =
        uri.is_some_and(|uri| http::is_asked(&uri) && uri.query().is_none() && !whole.contains('@'));
    let why = "is no URL of a service: https://HOST is one; by plain http only this machine is asked";
    if is_good { Ok(whole) } else { Err(Fault::new(FaultKind::Invalid, format!("{name} {why}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_have_the_names_that_azures_programs_give_them() {
        for (name, manager) in [
            ("public", "https://management.azure.com"),
            ("AzureCloud", "https://management.azure.com"),
            ("AzureUSGovernment", "https://management.usgovcloudapi.net"),
            ("AzureChinaCloud", "https://management.chinacloudapi.cn"),
        ] {
            assert_eq!(Place::named(name).unwrap().manager, manager);
        }
        assert!(Place::named("AzureGermanCloud").unwrap_err().to_string().contains("AzureChinaCloud"));
    }

    #[test]
    fn a_service_is_asked_by_https_or_here() {
        assert_eq!(checked("X", "login.microsoftonline.us").unwrap(), "https://login.microsoftonline.us");
        assert_eq!(checked("X", "https://arm.local:8443/").unwrap(), "https://arm.local:8443");
        assert_eq!(checked("X", "http://127.0.0.1:80").unwrap(), "http://127.0.0.1:80");
        for url in ["http://arm.example", "https://me:secret@arm.example", "https://a/?secret", "ftp://a", ""]
        {
            let told = checked("X", url).unwrap_err().to_string();
            assert!(told.contains('X') && !told.contains("secret"), "{told}");
        }
    }
}
