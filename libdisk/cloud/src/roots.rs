//! Whose certificates are trusted.

use std::path::Path;
use std::sync::Arc;

use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};
use ureq::tls::{Certificate, RootCerts};

use crate::fault::{Fault, FaultKind};

/// The variable that the AWS CLI and SDKs of other languages read, too.
const BUNDLE: &str = "AWS_CA_BUNDLE";

/// The certificates in the file that `AWS_CA_BUNDLE` names; else those in `SSL_CERT_FILE` and `SSL_CERT_DIR`;
/// else the system's, among which those of a company's own proxy are; else, where there are none, as in a
/// container of this program alone, Mozilla's.
///
/// # Errors
/// `Certificate` where a variable names a place that has no certificate.
pub(crate) fn roots() -> Result<RootCerts, Fault> {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let named = [BUNDLE, "SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(set);
    let found = match named {
        Some(BUNDLE) => {
            let bundle = std::env::var_os(BUNDLE).unwrap_or_default();
            load_certs_from_paths(Some(Path::new(&bundle)), None)
        }
        _ => load_native_certs(),
    };
    chosen(named, found)
}

fn chosen(named: Option<&str>, found: CertificateResult) -> Result<RootCerts, Fault> {
    let CertificateResult { certs, errors, .. } = found;
    if !certs.is_empty() {
        let certs = certs.iter().map(|cert| Certificate::from_der(cert).to_owned());
        return Ok(RootCerts::Specific(Arc::new(certs.collect())));
    }
    let Some(named) = named else { return Ok(RootCerts::WebPki) };
    let why = errors.first().map_or("there is none in it".to_owned(), ToString::to_string);
    Err(Fault::new(FaultKind::Certificate, format!("{named} names no file of PEM certificates: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_has_none_is_named_and_a_system_that_has_none_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for (content, why) in [(None, "No such file"), (Some("no certificate"), "there is none in it")] {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let none = || load_certs_from_paths(Some(&file), None);
            let fault = chosen(Some(BUNDLE), none()).unwrap_err().to_string();
            assert!(fault.contains(BUNDLE) && fault.contains(why), "{fault}");
            assert!(matches!(chosen(None, none()), Ok(RootCerts::WebPki)));
        }
    }
}
