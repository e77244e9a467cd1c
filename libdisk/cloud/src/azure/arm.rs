//! Azure Resource Manager: one request, and an operation that goes on after its answer.
//!
//! References: "Track asynchronous Azure operations" and "Throttling Resource Manager requests",
//! learn.microsoft.com, 2026; how `az` 2.91 polls, as it was recorded.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use super::place::Place;
use super::refusal;
use super::request::{Call, header};
use super::token::Held;
use super::{BlobUrl, Signature};
use crate::fault::{Fault, FaultKind};
use crate::http;
use crate::retry::{Cloud, Failure, Retry};

/// How long an operation may go on. Making or closing a disk takes seconds.
const OPERATION: Duration = Duration::from_secs(30 * 60);
/// The pause between two looks at it where the service names none, and the longest that it is followed in.
const LOOK: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

/// Azure Resource Manager, with somebody's credentials. It may be shared.
#[derive(Debug)]
pub struct Manager {
    place: Place,
    held: Held,
    agent: Agent,
    patience: Duration,
    /// Whether it has ever answered.
    answered: AtomicBool,
    retries: AtomicU64,
}

/// One answer that is no error.
struct Answer {
    status: u16,
    /// Where to look how it goes on, and where what comes of it will be.
    operation: Option<String>,
    location: Option<String>,
    pause: Option<Duration>,
    body: Value,
}

/// A request, for as long as it is tried.
struct Ask<'a> {
    /// What it is about, and what it is to do, for messages.
    subject: &'a str,
    what: &'a str,
    method: Method,
    url: String,
    body: Option<&'a Value>,
}

impl Manager {
    /// The one of the cloud that the environment names, with the credentials that it names; no request is made
    /// yet. Each request is tried for so long.
    ///
    /// # Errors
    /// Where the environment names what cannot be used.
    pub fn of_environment(patience: Duration) -> Result<Self, Failure> {
        let failed = |fault| Failure::new(Cloud::AzureManager, "Azure Resource Manager", "connect", fault);
        Ok(Self {
            place: Place::of_environment().map_err(failed)?,
            held: Held::of_environment(),
            agent: http::agent().map_err(failed)?,
            patience,
            answered: AtomicBool::new(false),
            retries: AtomicU64::new(0),
        })
    }

    /// Makes a request about `subject` and waits until what it began has ended. Gives what came of it: the body
    /// of the last answer, `Null` where there is none. `path` begins with a `/` and has a query.
    ///
    /// # Errors
    /// What the service says.
    pub(super) fn run(
        &self,
        (subject, what): (&str, &str),
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let resource = format!("{}{path}", self.place.manager);
        let ask = |method: &Method, url: &str, body| Ask {
            subject,
            what,
            method: method.clone(),
            url: url.to_owned(),
            body,
        };
        let first = self.ask(&ask(&method, &resource, body))?;
        let mut pause = first.pause;
        let start = Instant::now();
        let wait = |pause: Option<Duration>| {
            if start.elapsed() > OPERATION {
                let what = format!("it had not ended after {} minutes", OPERATION.as_secs() / 60);
                return Err(self.failure((subject, what.as_str()), Fault::new(FaultKind::Server, "no end")));
            }
            std::thread::sleep(pause.unwrap_or(LOOK).min(LONGEST));
            Ok(())
        };
        if let Some(operation) = &first.operation {
            loop {
                wait(pause)?;
                let look = self.ask(&ask(&Method::GET, operation, None))?;
                let status = look.body.get("status").and_then(Value::as_str).unwrap_or_default();
                match status.to_ascii_lowercase().as_str() {
                    "succeeded" => break,
                    "failed" | "canceled" | "cancelled" => {
                        return Err(self.failure((subject, what), refusal::of_operation(&look.body)));
                    }
                    "" => {
                        let fault = Fault::new(FaultKind::Protocol, "the state of the operation is not told");
                        return Err(self.failure((subject, what), fault));
                    }
                    _ => pause = look.pause,
                }
            }
            return match (&first.location, &method) {
                (_, &Method::DELETE) => Ok(Value::Null),
                (Some(location), _) => Ok(self.ask(&ask(&Method::GET, location, None))?.body),
                (None, &Method::PUT) => Ok(self.ask(&ask(&Method::GET, &resource, None))?.body),
                (None, _) => Ok(first.body),
            };
        }
        let mut answer = first;
        let location = answer.location.clone().filter(|_| answer.status == 202);
        while let Some(location) = location.as_ref().filter(|_| answer.status == 202) {
            wait(pause)?;
            answer = self.ask(&ask(&Method::GET, location, None))?;
            pause = answer.pause;
        }
        Ok(answer.body)
    }

    /// What is in a blob that an answer points to, and the signature in it opens.
    ///
    /// # Errors
    /// What the service says: `NotFound` where it is not there yet. The signature is in none of it.
    pub(super) fn fetch(
        &self,
        (subject, what): (&str, &str),
        url: &BlobUrl,
        signature: &Signature,
    ) -> Result<Vec<u8>, Failure> {
        let retry = Retry {
            cloud: Cloud::Azure,
            subject,
            patience: self.patience,
            known: true,
            rates: &[],
            retries: &self.retries,
        };
        retry.run(
            || what.to_owned(),
            || {
                let mut response = Call::new(Method::GET, url.as_str(), Some(signature)).send(&self.agent)?;
                http::body(&mut response)
            },
        )
    }

    /// The path and query of a URL of this service; `None` where it is one of another.
    pub(super) fn within(&self, url: &str) -> Option<String> {
        url.strip_prefix(&self.place.manager).filter(|path| path.starts_with('/')).map(str::to_owned)
    }

    fn failure(&self, (subject, what): (&str, &str), fault: Fault) -> Failure {
        Failure::new(Cloud::AzureManager, subject, what, fault)
    }

    /// One request as often as it takes.
    fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let retry = Retry {
            cloud: Cloud::AzureManager,
            subject: ask.subject,
            patience: self.patience,
            known: self.answered.load(Ordering::Relaxed),
            rates: &[],
            retries: &self.retries,
        };
        let run = || retry.run(|| ask.what.to_owned(), || self.send(ask));
        let answer = match run() {
            // A token that was good may have been taken back; the next one is another.
            Err(failure) if failure.kind() == FaultKind::Credentials && retry.known => run()?,
            answer => answer?,
        };
        self.answered.store(true, Ordering::Relaxed);
        Ok(answer)
    }

    /// Makes it once. The token goes to the manager alone, and is in no fault.
    fn send(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        if self.within(&ask.url).is_none() {
            return Err(Fault::new(FaultKind::Protocol, "the answer points to another service"));
        }
        let token = self.held.token(&self.agent, &self.place)?;
        let body = ask.body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(&ask.method)
            .uri(&ask.url)
            .header("authorization", format!("Bearer {}", token.secret.tell()))
            .header("accept", "application/json")
            .header("content-length", body.len().to_string());
        let request =
            if ask.body.is_some() { request.header("content-type", "application/json") } else { request };
        let request = request.body(body.as_bytes());
        let request = request.map_err(Fault::unsendable)?;
        let hidden = |fault: Fault| fault.hiding(|text| token.secret.hide(text));
        let mut response = http::send(&self.agent, request).map_err(hidden)?;
        let status = response.status().as_u16();
        let text = |name: &str| header(&response, name).map(str::to_owned);
        let (operation, location) = (text("azure-asyncoperation"), text("location"));
        let (pause, is_success) = (pause(&response), response.status().is_success());
        let bytes = http::body(&mut response);
        if is_success {
            let bytes = bytes?;
            let empty = bytes.iter().all(u8::is_ascii_whitespace);
            let body = if empty { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
            let body = body.map_err(|_| Fault::new(FaultKind::Protocol, "the answer is no JSON"))?;
            return Ok(Answer { status, operation, location, pause, body });
        }
        // That it breaks off is not what went wrong.
        let fault = hidden(refusal::of_answer(status, &bytes.unwrap_or_default()));
        match fault.kind() {
            // The next one is asked for anew: it may have been taken back before its time.
            FaultKind::Credentials => {
                self.held.forget();
            }
            FaultKind::Throttled => std::thread::sleep(pause.unwrap_or_default().min(LONGEST)),
            _ => {}
        }
        Err(fault)
    }
}

/// How long the service asks to be left alone.
fn pause(response: &Response<Body>) -> Option<Duration> {
    header(response, "retry-after")?.parse().ok().map(Duration::from_secs)
}
