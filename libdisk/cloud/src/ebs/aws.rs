//! The EBS direct APIs, and EC2, of AWS.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_ebs::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use ureq::http::{HeaderMap, Request};

use super::service::{Listed, Service};
use super::{Action, BLOCK, BLOCK_LEN, MAX_BLOCKS, Options};
use crate::aws::{Session, causes};
use crate::fault::{Fault, FaultKind};
use crate::http;

/// The most entries that one list request gives.
const PAGE: i32 = 10_000;

/// AWS in one region.
pub(super) struct Aws {
    session: Session,
    sdk: aws_sdk_ebs::Client,
    /// The URL of EBS, without a slash at the end.
    pub(super) endpoint: String,
    /// Whether the service has answered once.
    answered: AtomicBool,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws")
            .field("endpoint", &self.endpoint)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Aws {
    /// Finds region, endpoint and credentials; makes no request to the service yet.
    pub(super) fn connect(options: &Options) -> Result<Self, Fault> {
        let session =
            Session::new(options.region.as_deref(), options.credentials.as_ref(), options.role.as_deref())?;
        let endpoint = match options.endpoint.clone().or_else(|| session.endpoint_asked("EBS")) {
            Some(endpoint) => endpoint,
            None => session.ebs_endpoint()?,
        };
        let config = aws_sdk_ebs::config::Builder::from(&session.config)
            .credentials_provider(session.provider())
            .endpoint_url(&endpoint)
            .build();
        Ok(Self {
            sdk: aws_sdk_ebs::Client::from_conf(config),
            session,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            answered: AtomicBool::new(false),
        })
    }

    pub(super) fn region(&self) -> &str {
        &self.session.region
    }

    /// The URL of EC2: `AWS_ENDPOINT_URL_EC2`, else beside that of EBS.
    fn ec2_endpoint(&self) -> String {
        let asked = std::env::var("AWS_ENDPOINT_URL_EC2").ok();
        let asked = asked.map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        asked.unwrap_or_else(|| self.endpoint.replacen("://ebs", "://ec2", 1))
    }

    /// The URL of AWS Organizations, `AWS_ENDPOINT_URL_ORGANIZATIONS` or that of the partition, and its region: each
    /// partition has one ("AWS Organizations endpoints and quotas", AWS General Reference, 2026).
    fn organizations(&self) -> (String, &'static str) {
        let (region, domain) = match self.region() {
            region if region.starts_with("us-gov-") => ("us-gov-west-1", "amazonaws.com"),
            region if region.starts_with("cn-") => ("cn-northwest-1", "amazonaws.com.cn"),
            _ => ("us-east-1", "amazonaws.com"),
        };
        let asked = std::env::var("AWS_ENDPOINT_URL_ORGANIZATIONS").ok();
        let endpoint = asked.unwrap_or_else(|| match self.endpoint.contains("://ebs") {
            true => format!("https://organizations.{region}.{domain}"),
            false => self.endpoint.clone(),
        });
        (endpoint.trim_end_matches('/').to_owned(), region)
    }

    /// What an error of the SDK means.
    fn fault<E: std::error::Error + 'static>(&self, error: SdkError<E, HttpResponse>) -> Fault {
        let Some(raw) = error.raw_response() else {
            let cause = Fault::of_cause(&error).cloned();
            return cause.unwrap_or_else(|| Fault::new(FaultKind::Connection, causes(&error)));
        };
        let status = raw.status().as_u16();
        if raw.status().is_success() {
            return Fault::new(FaultKind::Damaged, causes(&error));
        }
        Fault::of_answer(
            status,
            raw.headers().get("x-amzn-errortype"),
            raw.body().bytes().unwrap_or_default(),
        )
    }
}

impl Service for Aws {
    fn known(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    fn list(&self, snapshot: &str, from: u64, next: Option<String>) -> Result<Listed, Fault> {
        self.session.credentials()?;
        let request =
            self.sdk.list_snapshot_blocks().snapshot_id(snapshot).max_results(PAGE).set_next_token(next);
        let request = request.starting_block_index(i32::try_from(from).unwrap_or(i32::MAX));
        let answer = self.session.runtime.block_on(request.send()).map_err(|error| self.fault(error))?;
        self.answered.store(true, Ordering::Relaxed);
        let blocks = answer.blocks.unwrap_or_default().into_iter();
        listed(
            answer.volume_size,
            answer.block_size,
            answer.next_token,
            blocks.map(|block| (block.block_index, block.block_token)),
        )
    }

    fn changed(&self, first: &str, second: &str, from: u64, next: Option<String>) -> Result<Listed, Fault> {
        self.session.credentials()?;
        let request = self.sdk.list_changed_blocks().first_snapshot_id(first).second_snapshot_id(second);
        let request = request.max_results(PAGE).set_next_token(next);
        let request = request.starting_block_index(i32::try_from(from).unwrap_or(i32::MAX));
        let answer = self.session.runtime.block_on(request.send()).map_err(|error| self.fault(error))?;
        self.answered.store(true, Ordering::Relaxed);
        let blocks = answer.changed_blocks.unwrap_or_default().into_iter();
        listed(
            answer.volume_size,
            answer.block_size,
            answer.next_token,
            blocks.map(|block| (block.block_index, Some(block.second_block_token.unwrap_or_default()))),
        )
    }

    fn get(&self, snapshot: &str, index: u64, token: &str, buf: &mut [u8]) -> Result<[u8; 32], Fault> {
        let token: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
        let url = format!("{}/snapshots/{snapshot}/blocks/{index}?blockToken={token}", self.endpoint);
        let request = Request::get(url).body(Vec::new());
        let request = request.map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
        let mut answer = self.session.signed(("ebs", self.region()), request)?;
        if !answer.status().is_success() {
            let bytes = http::body(&mut answer)?;
            let error_type = header(answer.headers(), "x-amzn-errortype");
            return Err(Fault::of_answer(answer.status().as_u16(), error_type, &bytes));
        }
        self.answered.store(true, Ordering::Relaxed);
        let expected = expected(answer.headers())?;
        http::body_into(&mut answer, buf)?;
        let found: [u8; 32] = Sha256::digest(&*buf).into();
        if found != expected {
            return Err(Fault::new(
                FaultKind::Damaged,
                "the block's SHA-256 is not the one that the service tells",
            ));
        }
        Ok(found)
    }

    fn query(&self, body: &str) -> Result<(u16, Vec<u8>), Fault> {
        let request = Request::post(format!("{}/", self.ec2_endpoint()))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(body.as_bytes().to_vec())
            .map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
        let mut answer = self.session.signed(("ec2", self.region()), request)?;
        let bytes = http::body(&mut answer)?;
        Ok((answer.status().as_u16(), bytes))
    }

    fn accounts(&self, next: Option<&str>) -> Result<Vec<u8>, Fault> {
        let (endpoint, region) = self.organizations();
        let body = match next {
            Some(next) => serde_json::json!({ "NextToken": next }),
            None => serde_json::json!({}),
        };
        let request = Request::post(format!("{endpoint}/"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AWSOrganizationsV20161128.{}", Action::ListAccounts.name()))
            .body(body.to_string().into_bytes())
            .map_err(|error| Fault::new(FaultKind::Invalid, error.to_string()))?;
        let mut answer = self.session.signed(("organizations", region), request)?;
        let bytes = http::body(&mut answer)?;
        if answer.status().is_success() {
            return Ok(bytes);
        }
        let error_type = header(answer.headers(), "x-amzn-errortype");
        Err(Fault::of_answer(answer.status().as_u16(), error_type, &bytes))
    }
}

/// A page, its numbers checked.
fn listed(
    volume_size: Option<i64>,
    block_size: Option<i32>,
    next: Option<String>,
    blocks: impl Iterator<Item = (Option<i32>, Option<String>)>,
) -> Result<Listed, Fault> {
    let wrong = |what: String| Err(Fault::new(FaultKind::Protocol, what));
    if block_size.and_then(|size| u64::try_from(size).ok()) != Some(BLOCK) {
        return wrong(format!("the block size is {block_size:?}, not {BLOCK}"));
    }
    // GiB, as every client has it; an example in the user guide shows bytes.
    let volume_blocks = volume_size.and_then(|gib| u64::try_from(gib).ok()?.checked_mul((1 << 30) / BLOCK));
    let Some(volume_blocks) = volume_blocks.filter(|blocks| (1..=MAX_BLOCKS).contains(blocks)) else {
        return wrong(format!("a volume of {volume_size:?} GiB"));
    };
    let mut page = Listed { volume_blocks, blocks: Vec::new(), next };
    for (index, token) in blocks {
        let index = index.and_then(|index| u64::try_from(index).ok()).filter(|index| *index < volume_blocks);
        let (Some(index), Some(token)) = (index, token) else {
            return wrong(format!("a block {index:?} in a volume of {volume_blocks} blocks"));
        };
        page.blocks.push((index, token));
    }
    // The service promises this order; an emulator may not keep it.
    if !page.blocks.is_sorted_by(|a, b| a.0 < b.0) {
        page.blocks.sort_by_key(|block| block.0);
        page.blocks.dedup_by_key(|block| block.0);
    }
    Ok(page)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The SHA-256 that the headers of a block promise.
fn expected(headers: &HeaderMap) -> Result<[u8; 32], Fault> {
    let wrong = |what: String| Fault::new(FaultKind::Protocol, what);
    if let Some(len) = header(headers, "x-amz-data-length").filter(|len| len.parse() != Ok(BLOCK_LEN)) {
        return Err(wrong(format!("a block of {len} bytes, not {BLOCK}")));
    }
    if let Some(algorithm) = header(headers, "x-amz-checksum-algorithm").filter(|name| *name != "SHA256") {
        return Err(wrong(format!("the checksum is a {algorithm}, not a SHA256")));
    }
    let checksum = header(headers, "x-amz-checksum").and_then(|text| BASE64_STANDARD.decode(text).ok());
    checksum
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| wrong("no SHA-256 came with the block".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_makes_no_sense_is_refused() {
        let list = |gib, block, indexes: &[i32]| {
            let blocks = indexes.iter().map(|index| (Some(*index), Some(format!("token-{index}"))));
            listed(Some(gib), Some(block), None, blocks.collect::<Vec<_>>().into_iter())
        };
        let indexes = |page: Listed| page.blocks.iter().map(|block| block.0).collect::<Vec<_>>();
        assert_eq!(indexes(list(1, 524_288, &[0, 5, 2047]).unwrap()), [0, 5, 2047]);
        assert_eq!(indexes(list(1, 524_288, &[9, 5, 9]).unwrap()), [5, 9], "order is made");
        assert_eq!(list(65_536, 524_288, &[134_217_727]).unwrap().volume_blocks, 1 << 27);
        for (gib, block, index) in [
            (1, 512, 0),
            (0, 524_288, 0),
            (-1, 524_288, 0),
            (65_537, 524_288, 0),
            (i64::MAX, 524_288, 0),
            (1, 524_288, 2048),
            (1, 524_288, -1),
        ] {
            assert_eq!(
                list(gib, block, &[index]).unwrap_err().kind(),
                FaultKind::Protocol,
                "{gib} {block} {index}"
            );
        }
    }
}
