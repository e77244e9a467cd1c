//! Who gets a token.

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// What somebody has to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An application's secret.
    Secret {
        /// The tenant.
        tenant: &'static str,
        /// The application.
        client: &'static str,
        /// What it shows.
        secret: &'static str,
    },
    /// A token of another issuer that stands for the application.
    Assertion {
        /// The tenant.
        tenant: &'static str,
        /// The application.
        client: &'static str,
        /// What it shows.
        assertion: &'static str,
    },
    /// That it runs on this machine.
    Machine,
}

type Answer = (StatusCode, Value);

fn refused(status: u16, error: &str, description: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    (status, json!({ "error": error, "error_description": format!("{description}\r\nTrace ID: 0") }))
}

fn given(token: &str) -> Answer {
    (StatusCode::OK, json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token }))
}

/// `POST /TENANT/oauth2/v2.0/token`.
pub(super) fn application(trusted: Option<&Credential>, tenant: &str, body: &[u8], token: &str) -> Answer {
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let of = |name: &str| form.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value.as_str());
    if of("grant_type") != "client_credentials" || of("scope") != "https://management.azure.com/.default" {
        return refused(400, "invalid_request", "AADSTS900144: The request body is not what it must be.");
    }
    match trusted {
        Some(Credential::Secret { tenant: home, .. } | Credential::Assertion { tenant: home, .. })
            if *home != tenant =>
        {
            refused(400, "invalid_request", "AADSTS90002: Tenant not found.")
        }
        Some(Credential::Secret { client, .. } | Credential::Assertion { client, .. })
            if *client != of("client_id") =>
        {
            refused(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        }
        Some(Credential::Secret { secret, .. }) if *secret == of("client_secret") => given(token),
        Some(Credential::Assertion { assertion, .. })
            if *assertion == of("client_assertion")
                && of("client_assertion_type")
                    == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" =>
        {
            given(token)
        }
        Some(Credential::Assertion { .. }) => refused(
            401,
            "invalid_client",
            "AADSTS700024: Client assertion is not within its valid time range.",
        ),
        _ => refused(401, "invalid_client", "AADSTS7000215: Invalid client secret provided."),
    }
}

/// `GET /metadata/identity/oauth2/token`.
pub(super) fn machine(trusted: Option<&Credential>, headers: &HeaderMap, query: &str, token: &str) -> Answer {
    let has = |name: &str, value: &str| {
        form_urlencoded::parse(query.as_bytes()).any(|(of, is)| of == name && is == value)
    };
    if headers.get("metadata").is_none_or(|value| value != "true") {
        return refused(400, "invalid_request", "Required metadata header not specified");
    }
    if !has("api-version", "2018-02-01") || !has("resource", "https://management.azure.com") {
        return refused(400, "invalid_request", "Required query variables not specified");
    }
    match trusted {
        Some(Credential::Machine) => given(token),
        _ => refused(400, "invalid_request", "Identity not found"),
    }
}
