//! The requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::Asked;
use super::disks::{ACCOUNT, Disks, Refusal};
use super::machines::Machines;
use super::token::{self, Credential};
use crate::blob::BlobServer;

pub(super) const SUBSCRIPTION: &str = "01234567-89ab-cdef-0123-456789abcdef";
const GROUP: &str = "rg";

#[derive(Debug)]
pub(super) struct Service {
    endpoint: String,
    blobs: BlobServer,
    state: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    disks: Disks,
    machines: Machines,
    /// What was begun: how often it is still said to go on, and what came of it.
    operations: BTreeMap<String, (u32, Result<Value, Refusal>)>,
    asked: Vec<Asked>,
    trusted: Option<Credential>,
    /// Which token is the one now.
    token: u32,
    throttled: u32,
    refuses_renewal: bool,
}

impl Service {
    pub(super) fn new(endpoint: String, blobs: BlobServer) -> Self {
        Self { endpoint, blobs, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn blobs(&self) -> &BlobServer {
        &self.blobs
    }

    pub(super) fn token(&self) -> String {
        self.lock().token()
    }

    pub(super) fn end_tokens(&self) {
        self.lock().token += 1;
    }

    pub(super) fn trust(&self, credential: Credential) {
        self.lock().trusted = Some(credential);
    }

    pub(super) fn renews(&self, renews: bool) {
        self.lock().refuses_renewal = !renews;
    }

    pub(super) fn throttle(&self, requests: u32) {
        self.lock().throttled = requests;
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    pub(super) fn state(&self, disk: &str) -> Option<String> {
        self.lock().disks.state(disk).map(str::to_owned)
    }

    pub(super) fn says(&self, pieces: &[&[u8]]) {
        self.lock().machines.says(pieces);
    }

    pub(super) fn made(&self) -> Vec<String> {
        self.lock().machines.names()
    }

    pub(super) fn holds(&self, disk: &str, vhd: &[u8]) {
        let inner = &mut *self.lock();
        inner.disks.holding(&self.blobs, disk, vhd);
    }

    pub(super) fn set_state(&self, disk: &str, state: &'static str) {
        self.lock().disks.set_state(disk, state);
    }

    pub(super) fn other_disk(&self, disk: &str, state: &'static str) {
        self.lock().disks.other(disk, state);
    }
}

impl Inner {
    fn token(&self) -> String {
        format!("standin.bearer.secret{}", self.token)
    }
}

pub(super) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(handle).with_state(service)
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(body).unwrap_or_default()
}

fn refused(refusal: &Refusal) -> Response {
    answer(StatusCode::from_u16(refusal.0).unwrap_or_default(), &refusal.body())
}

async fn handle(
    State(service): State<Arc<Service>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let inner = &mut *service.lock();
    let token = inner.token();
    if let Some(tenant) = path.strip_suffix("/oauth2/v2.0/token").filter(|_| method == Method::POST) {
        let tenant = tenant.trim_start_matches('/');
        let (status, body) = token::application(inner.trusted.as_ref(), tenant, &body, &token);
        return answer(status, &body);
    }
    if path == "/metadata/identity/oauth2/token" {
        let (status, body) = token::machine(inner.trusted.as_ref(), &headers, query, &token);
        return answer(status, &body);
    }
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != format!("Bearer {token}") {
        let (code, message) = match given.starts_with("Bearer standin.bearer.secret") {
            true => ("ExpiredAuthenticationToken", "The access token expiry is before the current time."),
            false => ("InvalidAuthenticationToken", "The access token is invalid."),
        };
        return refused(&Refusal::new(401, code, message));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    inner.asked.push(Asked { method: method.to_string(), path: path.to_owned(), body: body.clone() });
    if inner.throttled > 0 {
        inner.throttled -= 1;
        let refusal = match inner.throttled.is_multiple_of(2) {
            true => Refusal::new(429, "TooManyRequests", "The request is being throttled."),
            false => Refusal::new(503, "ServiceUnavailable", "Try again."),
        };
        let mut response = refused(&refusal);
        response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("0"));
        return response;
    }
    if let Some(number) = path.strip_prefix("/operations/") {
        return operation(inner, number, query);
    }
    if !query.contains("api-version=20") {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return refused(&Refusal::new(400, "MissingApiVersionParameter", message));
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    if let ["subscriptions", SUBSCRIPTION, "resources"] = parts.as_slice() {
        return answer(StatusCode::OK, &json!({ "value": accounts(query) }));
    }
    let ["subscriptions", subscription, "resourceGroups", group, within @ ..] = parts.as_slice() else {
        return refused(&Refusal::new(404, "NotFound", "There is nothing there."));
    };
    if *subscription != SUBSCRIPTION {
        return refused(&Refusal::new(404, "SubscriptionNotFound", "The subscription could not be found."));
    }
    if *group != GROUP {
        let message = format!("Resource group '{group}' could not be found.");
        return refused(&Refusal::new(404, "ResourceGroupNotFound", &message));
    }
    let blobs = &service.blobs;
    let done = match (method.as_str(), within) {
        ("GET", []) => Ok(json!({ "id": path, "name": group, "location": "westeurope" })),
        ("GET", ["providers", "Microsoft.Compute", "disks"]) => {
            Ok(json!({ "value": inner.disks.list(path) }))
        }
        ("GET", ["providers", "Microsoft.Compute", kind @ ("disks" | "snapshots"), name]) => {
            inner.disks.get(path, &named(kind, name))
        }
        (_, ["providers", "Microsoft.Compute", kind @ ("disks" | "snapshots"), name, verb @ ..]) => {
            let name = &*named(kind, name);
            let renews = !inner.refuses_renewal;
            let begun = match (method.as_str(), verb) {
                ("PUT", []) => inner.disks.put(blobs, name, body).and_then(|()| inner.disks.get(path, name)),
                ("DELETE", []) => inner.disks.delete(blobs, name).map(|()| Value::Null),
                ("POST", ["beginGetAccess"]) => inner.disks.open(blobs, name, &body, renews),
                ("POST", ["endGetAccess"]) => inner.disks.close(blobs, name).map(|()| Value::Null),
                _ => Err(Refusal::new(405, "MethodNotAllowed", "It cannot be done.")),
            };
            match begun {
                // What the service finds out later, it tells later.
                Err(refusal) if refusal.1 != "InvalidVhd" => Err(refusal),
                begun => return accepted(&service.endpoint, inner, begun),
            }
        }
        ("GET", ["resources"]) => Ok(json!({ "value": tagged(inner, path, query) })),
        ("PUT", ["providers", "Microsoft.Resources", "deployments", _]) => {
            let root = path.split("/providers/").next().unwrap_or_default();
            let done = inner.machines.deploy(root, &mut inner.disks, &body);
            return accepted(&service.endpoint, inner, done);
        }
        (
            "POST",
            ["providers", "Microsoft.Compute", "virtualMachines", name, "retrieveBootDiagnosticsData"],
        ) => {
            inner.machines.said(name).map(|said| {
                let blob = format!("serialconsole-{name}.log");
                if let Some(said) = said {
                    blobs.file(&blob, &said);
                }
                // As long as there is nothing, the address is there, and leads to nothing.
                json!({ "serialConsoleLogBlobUri": format!("{}?{}", blobs.url(&blob), blobs.signature()) })
            })
        }
        ("DELETE", ["providers", provider @ ("Microsoft.Compute" | "Microsoft.Network"), kind, name]) => {
            let root = path.split("/providers/").next().unwrap_or_default();
            let kind = format!("{provider}/{kind}");
            match inner.machines.delete(root, &mut inner.disks, (&kind, name)) {
                Ok(()) => return accepted(&service.endpoint, inner, Ok(Value::Null)),
                Err(refusal) => Err(refusal),
            }
        }
        _ => Err(Refusal::new(404, "NotFound", "There is nothing there.")),
    };
    match done {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(refusal) => refused(&refusal),
    }
}

/// What a disk or a snapshot is called among both.
fn named(kind: &str, name: &str) -> String {
    if kind == "disks" { name.to_owned() } else { format!("{kind}/{name}") }
}

/// What a search for the storage account finds in the subscription.
fn accounts(query: &str) -> Vec<Value> {
    let filter = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "$filter");
    let wanted = "resourceType eq 'Microsoft.Storage/storageAccounts' and name eq 'account'";
    let found = filter.is_some_and(|(_, filter)| filter == wanted);
    let id = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/storage{ACCOUNT}");
    if found {
        vec![json!({ "id": id, "name": "account", "type": "Microsoft.Storage/storageAccounts" })]
    } else {
        vec![]
    }
}

/// What `$filter=tagName eq 'NAME'` finds in a group.
fn tagged(inner: &mut Inner, path: &str, query: &str) -> Vec<Value> {
    let filter = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "$filter");
    let filter = filter.map_or(String::new(), |(_, filter)| filter.into_owned());
    let tag = filter.strip_prefix("tagName eq '").and_then(|tag| tag.strip_suffix('\'')).unwrap_or_default();
    let disks = path.replace("/resources", "/providers/Microsoft.Compute/disks");
    let mut all = inner.machines.tagged(tag);
    all.extend(inner.disks.tagged(&disks, tag));
    all
}

/// It goes on after the answer.
fn accepted(endpoint: &str, inner: &mut Inner, done: Result<Value, Refusal>) -> Response {
    let number = inner.operations.len().to_string();
    let url = format!("{endpoint}/operations/{number}?api-version=2025-01-02");
    inner.operations.insert(number, (1, done));
    Response::builder()
        .status(StatusCode::ACCEPTED)
        .header("azure-asyncoperation", &url)
        .header("location", format!("{url}&monitor=true"))
        .header("retry-after", "0")
        .body(Body::empty())
        .unwrap_or_default()
}

fn operation(inner: &mut Inner, number: &str, query: &str) -> Response {
    let Some((left, done)) = inner.operations.get_mut(number) else {
        return refused(&Refusal::new(404, "NotFound", "There is no such operation."));
    };
    let monitor = query.contains("monitor=true");
    if *left > 0 {
        *left -= 1;
        let status = if monitor { StatusCode::ACCEPTED } else { StatusCode::OK };
        let mut response = answer(status, &json!({ "status": "InProgress" }));
        response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("0"));
        return response;
    }
    match (monitor, done) {
        (true, Ok(value)) => answer(StatusCode::OK, value),
        (true, Err(refusal)) => refused(refusal),
        (false, Ok(_)) => answer(StatusCode::OK, &json!({ "status": "Succeeded" })),
        (false, Err(refusal)) => {
            let mut body = refusal.body();
            body["status"] = "Failed".into();
            answer(StatusCode::OK, &body)
        }
    }
}
