//! One request to the Blob service: what all have in common.

use std::ops::Range;

use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use super::signature::Signature;
use super::token::Secret;
use super::{answer, crc64};
use crate::fault::Fault;
use crate::http;

/// The version of the service: the oldest that checks a CRC-64.
const VERSION: &str = "2019-12-12";

/// A request in the making.
pub(super) struct Call<'a> {
    method: Method,
    url: &'a str,
    signature: Option<&'a Signature>,
    bearer: Option<&'a Secret>,
    component: Option<&'static str>,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    /// A request of the blob at `url`.
    pub(super) fn new(method: Method, url: &'a str, signature: Option<&'a Signature>) -> Self {
        Self {
            method,
            url,
            signature,
            bearer: None,
            component: None,
            query: String::new(),
            headers: Vec::new(),
            body: &[],
        }
    }

    /// For a component of it: `page`, `pagelist`.
    pub(super) fn component(self, name: &'static str) -> Self {
        Self { component: Some(name), ..self }
    }

    /// With a token in place of a signature.
    pub(super) fn bearer(self, bearer: Option<&'a Secret>) -> Self {
        Self { bearer, ..self }
    }

    /// With more of a query.
    pub(super) fn query(self, query: String) -> Self {
        Self { query, ..self }
    }

    /// With a header.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// About these bytes of it.
    pub(super) fn range(self, range: &Range<u64>) -> Self {
        let last = range.end.saturating_sub(1);
        self.header("x-ms-range", format!("bytes={}-{last}", range.start))
    }

    /// Only if it is still as it was with this ETag.
    pub(super) fn unchanged(self, etag: Option<&str>) -> Self {
        match etag {
            Some(etag) => self.header("if-match", etag),
            None => self,
        }
    }

    /// With a body, and its checksum.
    pub(super) fn body(self, body: &'a [u8]) -> Self {
        Self { body, ..self.header("x-ms-content-crc64", crc64::of(body)) }
    }

    /// Makes it once. Neither signature nor token is in a fault.
    ///
    /// # Errors
    /// What the service says; `Connection` where it says nothing.
    pub(super) fn send(self, agent: &Agent) -> Result<Response<Body>, Fault> {
        let hidden = |fault: Fault| match (self.signature, self.bearer) {
            (Some(signature), _) => fault.hiding(|text| signature.hide(text)),
            (None, Some(bearer)) => fault.hiding(|text| bearer.hide(text)),
            (None, None) => fault,
        };
        let component = self.component.map(|name| format!("comp={name}"));
        let query = Some(self.query.as_str()).filter(|query| !query.is_empty());
        let query = [component.as_deref(), query, self.signature.map(Signature::query)];
        let query = query.into_iter().flatten().collect::<Vec<_>>().join("&");
        let mut request = Request::builder().method(self.method).header("x-ms-version", VERSION);
        if let Some(bearer) = self.bearer {
            request = request.header("authorization", format!("Bearer {}", bearer.tell()));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let url = if query.is_empty() { self.url.to_owned() } else { format!("{}?{query}", self.url) };
        let built = request.uri(url).header("content-length", self.body.len().to_string()).body(self.body);
        let built = built.map_err(Fault::unsendable)?;
        let mut response = http::send(agent, built).map_err(hidden)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let code = header(&response, "x-ms-error-code").map(str::to_owned);
        // That it breaks off is not what went wrong.
        let body = http::body(&mut response).unwrap_or_default();
        Err(hidden(answer::fault(status, code.as_deref(), &body, self.signature)))
    }
}

/// A header of an answer.
pub(super) fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
