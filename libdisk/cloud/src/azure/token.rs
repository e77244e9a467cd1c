//! Tokens for Azure Resource Manager: who gives them out, and what it means when they do not.
//!
//! References: "OAuth 2.0 client credentials flow", "Workload identity federation" and "How to use managed
//! identities on a virtual machine to get an access token", learn.microsoft.com, 2026.

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use super::place::Place;
use crate::fault::{Fault, FaultKind, MAX_TOLD, told};
use crate::{http, lock};

/// So much is read of a token's file, and of what `az` says.
const MAX_READ: u64 = 256 << 10;
/// A token is not used in the last minutes of its life.
const MARGIN: Duration = Duration::from_secs(300);
/// How long a virtual machine's own service is waited for: where it is not, nothing answers.
const METADATA: Duration = Duration::from_secs(2);
/// And how long its answer.
const METADATA_ANSWER: Duration = Duration::from_secs(10);
/// How long `az` may take.
const AZ: Duration = Duration::from_secs(90);

/// A secret; printing it tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// What goes into a request.
    pub(super) fn tell(&self) -> &str {
        &self.0
    }

    /// `text` without it.
    pub(super) fn hide(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "…") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A token, and until when it is used.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) secret: Secret,
    /// `None` where nobody said so.
    until: Option<Instant>,
}

impl Token {
    /// Whether it may still be used.
    pub(super) fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    fn new(secret: &str, lives: Option<u64>) -> Result<Self, Fault> {
        let secret = secret.trim();
        // It goes into a header.
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::new(FaultKind::Credentials, "what was given is no token"));
        }
        let lives = lives.map(|seconds| Duration::from_secs(seconds).saturating_sub(MARGIN));
        let until = lives.and_then(|lives| Instant::now().checked_add(lives));
        Ok(Self { secret: Secret(secret.to_owned()), until })
    }
}

/// Who gives a token out.
#[derive(Debug, Clone)]
enum Source {
    /// `AZURE_ACCESS_TOKEN` is one.
    Given(Secret),
    /// An application with a secret.
    Client { tenant: String, client: String, secret: Secret },
    /// An application that a token in a file stands for.
    Federated { tenant: String, client: String, file: PathBuf },
    /// The identity of the virtual machine that this runs on.
    ManagedIdentity { client: Option<String>, host: String },
    /// Who is logged in with `az`.
    Cli,
}

impl Source {
    fn name(&self) -> &'static str {
        match self {
            Self::Given(_) => "AZURE_ACCESS_TOKEN",
            Self::Client { .. } => "the application's secret (AZURE_CLIENT_SECRET)",
            Self::Federated { .. } => "the application's federated token (AZURE_FEDERATED_TOKEN_FILE)",
            Self::ManagedIdentity { .. } => "the machine's managed identity",
            Self::Cli => "az",
        }
    }
}

/// Who is asked for tokens, in that order.
#[derive(Debug, Clone)]
pub(super) struct Credentials(Vec<Source>);

/// The token that is in use, and who gives the next one out.
#[derive(Debug)]
pub(super) struct Held {
    credentials: Credentials,
    token: Mutex<Option<Token>>,
}

impl Held {
    /// With the credentials that the environment names; nobody is asked yet.
    pub(super) fn of_environment() -> Self {
        Self { credentials: Credentials::of_environment(), token: Mutex::new(None) }
    }

    /// The token, a new one where the old one's time is over.
    ///
    /// # Errors
    /// As [`Credentials::token`].
    pub(super) fn token(&self, agent: &Agent, place: &Place) -> Result<Token, Fault> {
        let mut held = lock(&self.token);
        if let Some(token) = held.as_ref().filter(|token| token.is_good()) {
            return Ok(token.clone());
        }
        let token = self.credentials.token(agent, place)?;
        *held = Some(token.clone());
        Ok(token)
    }

    /// Gives it up, as one that was refused; whether there was one.
    pub(super) fn forget(&self) -> bool {
        lock(&self.token).take().is_some()
    }
}

/// A variable of the environment, if it says something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Credentials {
    /// What the environment names: `AZURE_ACCESS_TOKEN`; else `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` with
    /// `AZURE_CLIENT_SECRET` or `AZURE_FEDERATED_TOKEN_FILE`; else this machine's identity (that of
    /// `AZURE_CLIENT_ID`, if it is set), then `az`.
    pub(super) fn of_environment() -> Self {
        Self::of(variable)
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let client = variable("AZURE_CLIENT_ID");
        let secret = |name: &str| variable(name).map(Secret);
        if let Some(token) = secret("AZURE_ACCESS_TOKEN") {
            return Self(vec![Source::Given(token)]);
        }
        if let Some((tenant, client)) = variable("AZURE_TENANT_ID").zip(client.clone()) {
            if let Some(secret) = secret("AZURE_CLIENT_SECRET") {
                return Self(vec![Source::Client { tenant, client, secret }]);
            }
            if let Some(file) = variable("AZURE_FEDERATED_TOKEN_FILE") {
                return Self(vec![Source::Federated { tenant, client, file: file.into() }]);
            }
        }
        let host = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
        let host = host.unwrap_or_else(|| "http://169.254.169.254".to_owned());
        let host = host.trim_end_matches('/').to_owned();
        Self(vec![Source::ManagedIdentity { client, host }, Source::Cli])
    }

    /// A token from the first that gives one.
    ///
    /// # Errors
    /// What each of them said.
    pub(super) fn token(&self, agent: &Agent, place: &Place) -> Result<Token, Fault> {
        let (mut told, mut first) = (Vec::new(), None);
        for source in &self.0 {
            match source.token(agent, place) {
                Ok(token) => {
                    tracing::debug!(by = source.name(), "a token for Azure Resource Manager");
                    return Ok(token);
                }
                Err(fault) => {
                    told.push(format!("{}: {}", source.name(), fault.text()));
                    first.get_or_insert(fault.kind());
                }
            }
        }
        // Where one was asked it says itself whether it may pass; of several, none is there.
        let kind = first.filter(|_| told.len() == 1).unwrap_or(FaultKind::Credentials);
        Err(Fault::new(kind, told.join("; ")))
    }
}

impl Source {
    fn token(&self, agent: &Agent, place: &Place) -> Result<Token, Fault> {
        match self {
            Self::Given(secret) => Token::new(&secret.0, None),
            Self::Client { tenant, client, secret } => {
                let form = [("client_secret", secret.tell())];
                application(agent, place, (tenant, client), &form)
            }
            Self::Federated { tenant, client, file } => {
                let failed = |why: String| Fault::new(FaultKind::Credentials, why);
                let mut assertion = String::new();
                let opened = std::fs::File::open(file);
                let read = opened.and_then(|file| file.take(MAX_READ).read_to_string(&mut assertion));
                read.map_err(|cause| failed(format!("cannot read {}: {cause}", block::shown(file))))?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let form = [("client_assertion_type", kind), ("client_assertion", assertion.trim())];
                application(agent, place, (tenant, client), &form)
            }
            Self::ManagedIdentity { client, host } => identity(agent, place, host, client.as_deref()),
            Self::Cli => az(place),
        }
    }
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A token for an application.
fn application(
    agent: &Agent,
    place: &Place,
    (tenant, client): (&str, &str),
    proof: &[(&str, &str)],
) -> Result<Token, Fault> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if !is_name(tenant) {
        return Err(Fault::new(FaultKind::Credentials, "AZURE_TENANT_ID is no tenant's id or domain"));
    }
    let scope = format!("{}/.default", place.audience);
    let form = [("grant_type", "client_credentials"), ("client_id", client), ("scope", scope.as_str())];
    let body = query(&[&form, proof].concat());
    let request = Request::post(format!("{}/{tenant}/oauth2/v2.0/token", place.authority))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.as_bytes());
    let request = request.map_err(Fault::unsendable)?;
    let mut answer = http::send(agent, request)?;
    let status = answer.status().as_u16();
    let text = http::body(&mut answer)?;
    let hide = |text: &str| proof.iter().fold(text.to_owned(), |text, (_, value)| text.replace(value, "…"));
    read(status, &text).map_err(|fault| fault.hiding(hide))
}

/// A token for the identity of this virtual machine.
fn identity(agent: &Agent, place: &Place, host: &str, client: Option<&str>) -> Result<Token, Fault> {
    let mut pairs = vec![("api-version", "2018-02-01"), ("resource", place.audience)];
    pairs.extend(client.map(|client| ("client_id", client)));
    let url = format!("{host}/metadata/identity/oauth2/token?{}", query(&pairs));
    let request = Request::get(url).header("metadata", "true").body(());
    let request = request.map_err(Fault::unsendable)?;
    let config = agent.configure_request(request).proxy(None);
    let none = "this machine has none: nothing at its address answers as Azure's metadata service does";
    let none = || Fault::new(FaultKind::Credentials, none);
    let asked =
        agent.run(config.timeout_connect(Some(METADATA)).timeout_global(Some(METADATA_ANSWER)).build());
    let mut answer = asked.map_err(|_| none())?;
    let status = answer.status().as_u16();
    let text = http::body(&mut answer).map_err(|_| none())?;
    match read(status, &text) {
        Err(fault) if fault.text().contains("Identity not found") => Err(fault.knowing(
            "give the machine an identity that may write disks (az vm identity assign), or set AZURE_CLIENT_ID to \
             the one that it has",
        )),
        // On a machine of another cloud another service has that address.
        Err(fault) if fault.kind() == FaultKind::Credentials && !fault.text().contains(", ") => Err(none()),
        read => read,
    }
}

/// A token of whoever is logged in.
fn az(place: &Place) -> Result<Token, Fault> {
    let failed = |why: &str| Fault::new(FaultKind::Credentials, why.to_owned());
    let mut command = Command::new("az");
    command.args(["account", "get-access-token", "--output", "json", "--resource", place.audience]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => failed("it is not installed"),
        _ => failed(&format!("it cannot be started: {cause}")),
    })?;
    let text = |pipe: Option<&mut dyn std::io::Read>| {
        let mut text = Vec::new();
        // What cannot be read was not said.
        drop(pipe.map(|pipe| pipe.take(MAX_READ).read_to_end(&mut text)));
        text
    };
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (done, ended) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let said = text(out.as_mut().map(|pipe| -> &mut dyn std::io::Read { pipe }));
        let why = text(err.as_mut().map(|pipe| -> &mut dyn std::io::Read { pipe }));
        // Nobody waits for it any more once it took too long.
        drop(done.send((said, why)));
    });
    let Ok((said, why)) = ended.recv_timeout(AZ) else {
        drop(child.kill());
        drop(child.wait());
        return Err(failed(&format!("it gave no token within {} s", AZ.as_secs())));
    };
    drop(reader.join());
    let status = child.wait().map_err(|cause| failed(&cause.to_string()))?;
    if !status.success() {
        let why = String::from_utf8_lossy(&why).into_owned();
        let line = why.lines().find(|line| line.contains("ERROR")).or_else(|| why.lines().next());
        let said = told(line.unwrap_or("it says nothing"), MAX_TOLD);
        return Err(failed(&format!("{said} (az login logs in)")));
    }
    let answer: Value = serde_json::from_slice(&said).map_err(|_| failed("it answers with no JSON"))?;
    let token = answer.get("accessToken").and_then(Value::as_str);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ends = answer.get("expires_on").and_then(number);
    let lives = ends.map(|ends| ends.saturating_sub(now.as_secs()));
    Token::new(token.ok_or_else(|| failed("its answer has no accessToken"))?, lives)
}

/// A number, which some write as a text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// What the codes of Microsoft Entra mean, for those who have to mend it. Reference: "Microsoft Entra
/// authentication and authorization error codes", learn.microsoft.com, 2026.
const ENTRA: &[(&str, &str)] = &[
    ("AADSTS7000215", "AZURE_CLIENT_SECRET is not the secret's value (its ID is another thing)"),
    ("AADSTS7000222", "the secret's time is over: make a new one (az ad app credential reset)"),
    ("AADSTS700016", "AZURE_CLIENT_ID names no application of the tenant AZURE_TENANT_ID"),
    ("AADSTS7000229", "the application has no service principal in that tenant (az ad sp create)"),
    ("AADSTS900023", "AZURE_TENANT_ID is no tenant's id or domain"),
    ("AADSTS90002", "AZURE_TENANT_ID names no tenant; it may be one of another cloud (AZURE_CLOUD)"),
    ("AADSTS700024", "the token in AZURE_FEDERATED_TOKEN_FILE is not valid now: get a new one"),
    ("AADSTS700211", "no federated credential of the application has that issuer"),
    ("AADSTS700213", "no federated credential of the application has that subject"),
    ("AADSTS700212", "no federated credential of the application has that audience"),
    ("AADSTS70021", "no federated credential of the application fits the token"),
    ("AADSTS53003", "a policy of conditional access forbids it from here"),
    (
        "AADSTS500011",
        "the tenant does not know Azure Resource Manager: it may be one of another cloud (AZURE_CLOUD)",
    ),
];

/// The answer of whoever gives out tokens.
fn read(status: u16, body: &[u8]) -> Result<Token, Fault> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    if status == 200 {
        let missing = || Fault::new(FaultKind::Protocol, "the answer has no access_token");
        let token = Some(text("access_token")).filter(|token| !token.is_empty()).ok_or_else(missing)?;
        return Token::new(token, answer.get("expires_in").and_then(number));
    }
    let kind = match status {
        429 => FaultKind::Throttled,
        408 | 410 | 500.. => FaultKind::Server,
        _ => FaultKind::Credentials,
    };
    let mut fault = format!("HTTP {status}");
    let said = [text("error"), text("error_description").lines().next().unwrap_or_default()];
    for part in said.into_iter().filter(|part| !part.is_empty()) {
        fault.push_str(", ");
        fault.push_str(&told(part, MAX_TOLD));
    }
    // A code is the beginning of none of the others that stand before it in the table.
    let known = ENTRA.iter().find(|(code, _)| text("error_description").contains(code));
    let fault = Fault::new(kind, fault);
    Err(match known {
        Some((_, words)) => fault.knowing(words),
        None => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Vec<&'static str> {
        let find =
            |name: &str| pairs.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Credentials::of(find).0.iter().map(Source::name).collect()
    }

    #[test]
    fn the_environment_says_who_is_asked() {
        let app = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        let with = |more: (&'static str, &'static str)| of(&[&app[..], &[more]].concat());
        assert_eq!(with(("AZURE_ACCESS_TOKEN", "x")), ["AZURE_ACCESS_TOKEN"]);
        assert!(with(("AZURE_CLIENT_SECRET", "x"))[0].contains("AZURE_CLIENT_SECRET"));
        assert!(with(("AZURE_FEDERATED_TOKEN_FILE", "x"))[0].contains("AZURE_FEDERATED_TOKEN_FILE"));
        for pairs in [&app[..], &[], &[("AZURE_CLIENT_SECRET", "x")]] {
            assert_eq!(of(pairs), ["the machine's managed identity", "az"]);
        }
    }

    #[test]
    fn each_refusal_has_its_words() {
        for (code, words) in ENTRA {
            let body = serde_json::json!({
                "error": "invalid_client",
                "error_description": format!("{code}: So it is.\r\nTrace ID: 1\x1b[2J"),
            });
            let fault = read(401, body.to_string().as_bytes()).unwrap_err();
            assert_eq!(fault.kind(), FaultKind::Credentials);
            assert!(fault.text().contains(words) && fault.text().contains("So it is."), "{fault}");
            assert!(!fault.text().contains("Trace") && !fault.text().contains('\x1b'), "{fault}");
        }
        assert_eq!(read(429, b"").unwrap_err().kind(), FaultKind::Throttled);
        assert_eq!(read(503, b"<html>").unwrap_err().kind(), FaultKind::Server);
        assert_eq!(read(200, b"{}").unwrap_err().kind(), FaultKind::Protocol);
        assert!(read(200, br#"{"access_token":"a\nb"}"#).is_err());
    }

    #[test]
    fn a_token_is_told_by_nothing_and_ends_before_its_time() {
        let token = read(200, br#"{"access_token":"top.hush","expires_in":"3599"}"#).unwrap();
        assert!(token.is_good() && !format!("{token:?}").contains("hush"));
        assert_eq!(token.secret.hide("x top.hush y"), "x … y");
        assert!(!read(200, br#"{"access_token":"top.hush","expires_in":299}"#).unwrap().is_good());
        let given = Source::Given(Secret("top.hush".into()));
        assert!(!format!("{given:?}").contains("hush"), "{given:?}");
    }
}
