//! The requests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;

use super::store::{PAGE, Pages};
use super::{BlobCounts, BlobFault};
use crate::refusal::Torn;
use crate::wire::Cut;

/// The largest Put Page.
const MAX_PUT: usize = 4 << 20;
/// The largest page blob.
const MAX_SIZE: u64 = 8 << 40;

#[derive(Debug, Default)]
pub(super) struct Service {
    blobs: Mutex<BTreeMap<String, Pages>>,
    counts: Mutex<BlobCounts>,
    course: Mutex<Course>,
}

#[derive(Debug, Default)]
struct Course {
    /// Which signature is the one now.
    signature: u64,
    /// After so many puts it is over.
    ends_after: Option<u64>,
    random: fastrand::Rng,
    chances: Vec<(BlobFault, f64)>,
    latency: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the signature that no end ends.
const LASTING: u64 = u64::MAX;

/// A signature by its number: of the right form, and secret.
fn signature(number: u64) -> String {
    format!("sv=2018-03-28&sr=c&sp=rcwd&se=2099-01-01T00%3A00%3A00Z&sig=standin%2Bsecret%2F{number}%3D")
}

/// Whether a query has all of a signature, in whatever order a client writes it.
fn is_signed(query: &str, number: u64) -> bool {
    let given: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    form_urlencoded::parse(signature(number).as_bytes()).all(|part| given.contains(&part))
}

impl Service {
    pub(super) fn counts(&self) -> MutexGuard<'_, BlobCounts> {
        lock(&self.counts)
    }

    pub(super) fn signature(&self) -> String {
        signature(lock(&self.course).signature)
    }

    pub(super) fn lasting_signature() -> String {
        signature(LASTING)
    }

    pub(super) fn next_signature(&self) -> String {
        signature(lock(&self.course).signature + 1)
    }

    pub(super) fn end_signature(&self) {
        lock(&self.course).signature += 1;
    }

    pub(super) fn end_signature_after(&self, puts: u64) {
        lock(&self.course).ends_after = Some(puts);
    }

    pub(super) fn fail(&self, seed: u64, chances: &[(BlobFault, f64)]) {
        let mut course = lock(&self.course);
        course.random = fastrand::Rng::with_seed(seed);
        course.chances = chances.to_vec();
    }

    pub(super) fn delay(&self, latency: Duration) {
        lock(&self.course).latency = latency;
    }

    pub(super) fn content(&self, blob: &str) -> Option<Vec<u8>> {
        let blobs = lock(&self.blobs);
        let pages = blobs.get(&format!("/account/container/{blob}"))?;
        Some(pages.read(0..pages.size))
    }

    pub(super) fn of_disk(&self, blob: &str, size: u64) {
        let mut pages = Pages::new(size, 1);
        pages.is_of_disk = true;
        lock(&self.blobs).insert(format!("/account/container/{blob}"), pages);
    }

    pub(super) fn disk(&self, blob: &str, bytes: &[u8]) {
        let mut pages = Pages::new(bytes.len() as u64, 1);
        pages.is_of_disk = true;
        pages.put_data(bytes);
        lock(&self.blobs).insert(format!("/account/container/{blob}"), pages);
    }

    pub(super) fn file(&self, blob: &str, bytes: &[u8]) {
        let mut pages = Pages::new(bytes.len() as u64, 1);
        pages.put(0, bytes);
        lock(&self.blobs).insert(format!("/account/container/{blob}"), pages);
    }

    pub(super) fn remove(&self, blob: &str) {
        lock(&self.blobs).remove(&format!("/account/container/{blob}"));
    }

    pub(super) fn spoil(&self, blob: &str, at: u64) {
        let mut blobs = lock(&self.blobs);
        if let Some(pages) = blobs.get_mut(&format!("/account/container/{blob}")) {
            let page = at - at % PAGE;
            let mut bytes = pages.read(page..page + PAGE);
            bytes[(at % PAGE) as usize] ^= 1;
            pages.put(page, &bytes);
        }
    }

    /// What becomes of a request.
    fn fate(&self, method: &Method, has_body: bool) -> (Duration, Option<BlobFault>) {
        let course = &mut *lock(&self.course);
        let fits = |fault: BlobFault| match fault {
            BlobFault::Half | BlobFault::Altered => *method == Method::GET && has_body,
            _ => true,
        };
        let mut chances = course.chances.iter().filter(|(fault, _)| fits(*fault));
        let random = &mut course.random;
        let fault = chances.find(|(_, chance)| random.f64() < *chance).map(|(fault, _)| *fault);
        (course.latency, fault)
    }
}

/// A refusal: the status, the code, and what is said of the signature.
struct Refusal(StatusCode, &'static str, &'static str);

impl Refusal {
    fn new(status: u16, code: &'static str) -> Self {
        Self(StatusCode::from_u16(status).unwrap_or_default(), code, "")
    }

    fn answer(&self, method: &Method) -> Response {
        let Self(status, code, detail) = self;
        let detail = match *detail {
            "" => String::new(),
            detail => format!("<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>"),
        };
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>It is refused.\n\
             RequestId:0\nTime:0</Message>{detail}</Error>"
        );
        let body = if *method == Method::HEAD { Body::empty() } else { Body::from(body) };
        let response = Response::builder().status(status);
        let response = if code.is_empty() { response } else { response.header("x-ms-error-code", *code) };
        response.body(body).unwrap_or_default()
    }
}

pub(super) fn router(service: Arc<Service>) -> Router {
    // What is too long is refused as the service refuses it.
    Router::new().fallback(handle).layer(DefaultBodyLimit::max(2 * MAX_PUT)).with_state(service)
}

async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let (latency, fault) = service.fate(&method, !query.contains("comp=pagelist"));
    {
        let mut counts = service.counts();
        counts.requests += 1;
        counts.faults += u64::from(fault.is_some());
    }
    if latency > Duration::ZERO {
        tokio::time::sleep(latency).await;
    }
    let refused = |status, code| Refusal::new(status, code).answer(&method);
    match fault {
        Some(BlobFault::Busy) => return refused(503, "ServerBusy"),
        Some(BlobFault::TooMany) => return refused(429, ""),
        Some(BlobFault::Internal) => return refused(500, "InternalError"),
        Some(BlobFault::Timeout) => return refused(408, ""),
        Some(BlobFault::Reset) => {
            cut.cut();
            return Response::default();
        }
        _ => {}
    }
    let request =
        Request { service: &service, path: uri.path(), query, headers: &headers, body: &body, fault };
    let answer = request.signed().and_then(|()| request.answer(&method));
    if fault == Some(BlobFault::Lost) {
        cut.cut();
    }
    answer.unwrap_or_else(|refusal| refusal.answer(&method))
}

struct Request<'a> {
    service: &'a Service,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
    fault: Option<BlobFault>,
}

impl Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn signed(&self) -> Result<(), Refusal> {
        if is_signed(self.query, LASTING) {
            return Ok(());
        }
        let now = lock(&self.service.course).signature;
        let given = (0..=now).find(|number| is_signed(self.query, *number));
        let denied = |detail| Refusal(StatusCode::FORBIDDEN, "AuthenticationFailed", detail);
        match given {
            Some(number) if number == now => Ok(()),
            Some(_) => Err(denied(
                "Signature not valid in the specified time frame: Start [Fri, 27 Nov 2026 10:00:00 GMT] - Expiry \
                 [Fri, 27 Nov 2026 12:00:00 GMT] - Current [Sun, 29 Nov 2026 09:00:00 GMT]",
            )),
            None if self.query.contains("sig=") => Err(denied("Signature did not match.")),
            None => Err(Refusal::new(401, "NoAuthenticationInformation")),
        }
    }

    fn answer(&self, method: &Method) -> Result<Response, Refusal> {
        if !self.path.starts_with("/account/container/") {
            return Err(Refusal::new(404, "ContainerNotFound"));
        }
        let component = self.query.split('&').find_map(|part| part.strip_prefix("comp="));
        match (method, component) {
            (&Method::PUT, None) => self.create(),
            (&Method::PUT, Some("page")) => self.page(),
            (&Method::PUT, Some("properties")) => self.set_properties(),
            (&Method::GET, Some("pagelist")) => self.list(),
            (&Method::DELETE, None) => self.delete(),
            (&Method::GET | &Method::HEAD, None) => self.get(method),
            _ => Err(Refusal::new(400, "UnsupportedQueryParameter")),
        }
    }

    fn create(&self) -> Result<Response, Refusal> {
        let size = self.header("x-ms-blob-content-length").and_then(|size| size.parse::<u64>().ok());
        let size = size.filter(|size| size.is_multiple_of(PAGE) && *size <= MAX_SIZE);
        let size = size.ok_or_else(|| Refusal::new(400, "InvalidHeaderValue"))?;
        if self.header("x-ms-blob-type") != Some("PageBlob") || !self.body.is_empty() {
            return Err(Refusal::new(400, "InvalidHeaderValue"));
        }
        let mut blobs = lock(&self.service.blobs);
        if blobs.get(self.path).is_some_and(|pages| pages.is_of_disk) {
            return Err(Refusal::new(403, "AuthorizationPermissionMismatch"));
        }
        let version = blobs.get(self.path).map(|pages| pages.version + 1);
        if version.is_some() && self.header("if-none-match") == Some("*") {
            return Err(Refusal::new(409, "BlobAlreadyExists"));
        }
        blobs.insert(self.path.to_owned(), Pages::new(size, version.unwrap_or(1)));
        Ok(done(201))
    }

    /// The range of bytes that a request is about.
    fn range(&self, size: u64) -> Result<Range<u64>, Refusal> {
        let Some(text) = self.header("x-ms-range").or_else(|| self.header("range")) else {
            return Ok(0..size);
        };
        let parsed = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'));
        let parsed = parsed.and_then(|(start, last)| Some((start.parse().ok()?, last.parse::<u64>().ok()?)));
        let (start, last): (u64, u64) = parsed.ok_or_else(|| Refusal::new(400, "InvalidHeaderValue"))?;
        if start > last || start >= size {
            return Err(Refusal::new(416, "InvalidRange"));
        }
        Ok(start..last.saturating_add(1).min(size))
    }

    fn page(&self) -> Result<Response, Refusal> {
        // Nobody else waits for the sum.
        let damaged = self.header("x-ms-content-crc64").is_some_and(|sum| sum != crc64(self.body));
        let mut blobs = lock(&self.service.blobs);
        let pages = blobs.get_mut(self.path).ok_or_else(|| Refusal::new(404, "BlobNotFound"))?;
        let range = self.range(pages.size)?;
        if !range.start.is_multiple_of(PAGE) || !range.end.is_multiple_of(PAGE) {
            return Err(Refusal::new(416, "InvalidPageRange"));
        }
        let len = (range.end - range.start) as usize;
        match self.header("x-ms-page-write") {
            Some("clear") if self.body.is_empty() => pages.clear(range),
            Some("update") if self.body.len() > MAX_PUT => {
                return Err(Refusal::new(413, "RequestBodyTooLarge"));
            }
            Some("update") if self.body.len() == len => {
                if damaged {
                    return Err(Refusal::new(400, "Crc64Mismatch"));
                }
                pages.put(range.start, self.body);
                let mut counts = self.service.counts();
                counts.puts += 1;
                counts.bytes_put += len as u64;
                let name = self.path.trim_start_matches("/account/container/");
                for page in range.start / 4096..range.end.div_ceil(4096) {
                    *counts.pages.entry((name.to_owned(), page)).or_default() += 1;
                }
                let mut course = lock(&self.service.course);
                course.ends_after = course.ends_after.and_then(|left| left.checked_sub(1));
                if course.ends_after == Some(0) {
                    course.ends_after = None;
                    course.signature += 1;
                }
            }
            _ => return Err(Refusal::new(400, "InvalidHeaderValue")),
        }
        Ok(done(201))
    }

    /// What azcopy ends with: the type and the digest of the content, which nobody here asks for.
    fn set_properties(&self) -> Result<Response, Refusal> {
        self.blob(&lock(&self.service.blobs))?;
        Ok(done(200))
    }

    fn delete(&self) -> Result<Response, Refusal> {
        let mut blobs = lock(&self.service.blobs);
        if self.blob(&blobs)?.is_of_disk {
            return Err(Refusal::new(403, "AuthorizationPermissionMismatch"));
        }
        blobs.remove(self.path);
        Ok(done(202))
    }

    fn list(&self) -> Result<Response, Refusal> {
        let blobs = lock(&self.service.blobs);
        let pages = self.blob(&blobs)?;
        let ranges = pages.list(self.range(pages.size)?);
        let ranges = ranges.iter().map(|range| {
            format!("<PageRange><Start>{}</Start><End>{}</End></PageRange>", range.start, range.end - 1)
        });
        let head = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>".to_owned();
        let body = head + &ranges.collect::<String>() + "</PageList>";
        let response = Response::builder().header("x-ms-blob-content-length", pages.size);
        Ok(response.body(Body::from(body)).unwrap_or_default())
    }

    fn get(&self, method: &Method) -> Result<Response, Refusal> {
        let blobs = lock(&self.service.blobs);
        let pages = self.blob(&blobs)?;
        let response = Response::builder()
            .header("x-ms-blob-type", "PageBlob")
            .header("etag", etag(pages))
            .header("x-ms-creation-time", "Sun, 29 Nov 2026 09:00:00 GMT");
        if *method == Method::HEAD {
            let response = response.header("content-length", pages.size);
            return Ok(response.body(Body::empty()).unwrap_or_default());
        }
        let mut bytes = pages.read(self.range(pages.size)?);
        self.service.counts().reads += 1;
        if self.fault == Some(BlobFault::Altered) {
            bytes[0] ^= 1;
        }
        let (half, whole) = (bytes.len() / 2, bytes.len() as u64);
        let bytes = Bytes::from(bytes);
        if self.fault == Some(BlobFault::Half) {
            return Ok(Torn::of(bytes.slice(..half), whole));
        }
        Ok(response.status(206).body(Body::from(bytes)).unwrap_or_default())
    }

    /// The blob, if it is as the request wants it.
    fn blob<'a>(&self, blobs: &'a BTreeMap<String, Pages>) -> Result<&'a Pages, Refusal> {
        let pages = blobs.get(self.path).ok_or_else(|| Refusal::new(404, "BlobNotFound"))?;
        match self.header("if-match") {
            Some(wanted) if wanted != etag(pages) => Err(Refusal::new(412, "ConditionNotMet")),
            _ => Ok(pages),
        }
    }
}

fn etag(pages: &Pages) -> String {
    format!("\"0x{:016X}\"", pages.version)
}

fn done(status: u16) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap_or_default()
}

/// CRC-64/NVME, little-endian, in base64: a bit at a time is slow, so eight bits by a table.
fn crc64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;
    static TABLES: std::sync::LazyLock<[[u64; 256]; 8]> = std::sync::LazyLock::new(|| {
        let mut tables = [[0; 256]; 8];
        for byte in 0..256u64 {
            let step = |crc: u64| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            tables[0][byte as usize] = (0..8).fold(byte, |crc, _| step(crc));
        }
        for table in 1..8 {
            for byte in 0..256 {
                let before = tables[table - 1][byte];
                tables[table][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            }
        }
        tables
    });
    let (words, rest) = bytes.as_chunks::<8>();
    let crc = words.iter().fold(!0u64, |crc, word| {
        let word = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        word.iter().zip(TABLES.iter().rev()).fold(0, |sum, (byte, table)| sum ^ table[*byte as usize])
    });
    let crc = rest.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][(crc as u8 ^ byte) as usize]);
    base64::prelude::BASE64_STANDARD.encode((!crc).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the catalogue of CRCs: 0xae8b14860a799888.
    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc64(b"123456789"), "iJh5CoYUi64=");
        assert_eq!(crc64(b""), "AAAAAAAAAAA=");
    }
}
