//! The EBS direct APIs: ListSnapshotBlocks, ListChangedBlocks and GetSnapshotBlock.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::fault::{Call, Fault};
use crate::refusal::{Failure, REQUEST_ID, Refusal, Torn};
use crate::service::Service;
use crate::snapshot::{self, BLOCK_SIZE, Snapshot};
use crate::token::{BLOCK_TOKEN_LIFE, PAGE_TOKEN_LIFE, Token, name};

/// The page sizes that may be asked for; the first is the default.
const MAX_RESULTS: std::ops::RangeInclusive<u64> = 100..=10_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page<T> {
    #[serde(flatten)]
    blocks: T,
    /// Seconds since 1970.
    expiry_time: f64,
    volume_size: u64,
    block_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    blocks: Vec<Block>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    changed_blocks: Vec<ChangedBlock>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Block {
    block_index: u64,
    block_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ChangedBlock {
    block_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_block_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_block_token: Option<String>,
}

/// ListSnapshotBlocks: `GET /snapshots/{id}/blocks`.
pub(crate) async fn list_snapshot_blocks(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Query::parse(query);
    let listing = name(&["list", &id]);
    let empty = service.begin_list(Call::List, &id, listing, &query).await?;
    let snapshot = service.readable(&id)?;
    let range = query.range(&service, listing)?;
    let mut indexes = snapshot.listed(range.start).peekable();
    let of = name(&[&id]);
    let now = service.clock.now();
    let most = if empty { 0 } else { range.most };
    let blocks = indexes.by_ref().take(most);
    let blocks = blocks
        .map(|index| Block { block_index: index, block_token: Token { of, index }.issue(now) })
        .collect();
    let next = indexes.peek().copied();
    Ok(service.page(snapshot, Listed { blocks }, next.map(|index| Token { of: listing, index })))
}

/// ListChangedBlocks: `GET /snapshots/{second}/changedblocks?firstSnapshotId=`.
pub(crate) async fn list_changed_blocks(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Query::parse(query);
    let listing = name(&["changed", query.get("firstSnapshotId").unwrap_or_default(), &id]);
    let empty = service.begin_list(Call::Changed, &id, listing, &query).await?;
    let second = service.readable(&id)?;
    let first_id = query.get("firstSnapshotId").ok_or_else(|| {
        Refusal::invalid("INVALID_PARAMETER_VALUE", "FirstSnapshotId must be specified.".to_owned())
    })?;
    let first = service.readable(first_id)?;
    if first.volume != second.volume {
        let message = format!("The snapshots '{first_id}' and '{id}' are not of the same lineage.");
        return Err(Refusal::invalid("UNRELATED_SNAPSHOTS", message).into());
    }
    let range = query.range(&service, listing)?;
    let most = if empty { 0 } else { range.most };
    let now = service.clock.now();
    let token = |snapshot: &Snapshot, index| {
        snapshot.lists(index).then(|| Token { of: name(&[&snapshot.id]), index }.issue(now))
    };
    let mut changed_blocks = Vec::new();
    let mut next = None;
    for index in snapshot::either(first.listed(range.start), second.listed(range.start)) {
        if !second.changed_since(first, index)? {
            continue;
        }
        if changed_blocks.len() == most {
            next = Some(index);
            break;
        }
        changed_blocks.push(ChangedBlock {
            block_index: index,
            first_block_token: token(first, index),
            second_block_token: token(second, index),
        });
    }
    Ok(service.page(second, Changed { changed_blocks }, next.map(|index| Token { of: listing, index })))
}

/// GetSnapshotBlock: `GET /snapshots/{id}/blocks/{index}?blockToken=`.
pub(crate) async fn get_snapshot_block(
    State(service): State<Arc<Service>>,
    Path((id, index)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Query::parse(query);
    let of = name(&[&id]);
    let index: u64 = index.parse().map_err(|_| {
        Refusal::invalid("INVALID_PARAMETER_VALUE", format!("'{index}' is not a block index."))
    })?;
    let fault = service.begin(Call::Get, of, name(&[&id, &index.to_string()])).await?;
    let snapshot = service.readable(&id)?;
    if snapshot.key.as_ref().is_some_and(|key| !key.usable) {
        return Err(Refusal::kms().into());
    }
    let token = query.get("blockToken").unwrap_or_default();
    let good = Token { of, index }.is(token, service.clock.now(), BLOCK_TOKEN_LIFE);
    let block = snapshot.block(index)?.filter(|_| good && fault != Some(Fault::ExpiredBlockToken));
    let Some(mut block) = block else {
        let message = format!("The block token of block {index} of '{id}' is invalid or has expired.");
        return Err(Refusal::invalid("INVALID_BLOCK_TOKEN", message).into());
    };
    let checksum = snapshot.checksum(index, &block);
    let whole = block.len() as u64;
    let mut response = match fault {
        Some(Fault::Truncated) => Torn::of(block.slice(..block.len() / 2), whole),
        Some(Fault::Altered) => {
            let mut altered = block.to_vec();
            altered[index as usize % BLOCK_SIZE] ^= 1;
            block = altered.into();
            Response::new(Body::from(block))
        }
        _ => Response::new(Body::from(block)),
    };
    service.count_block(&id, index, whole, fault.is_none());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
    headers.insert("x-amz-data-length", whole.into());
    headers.insert("x-amz-checksum-algorithm", HeaderValue::from_static("SHA256"));
    if let Ok(checksum) = STANDARD.encode(checksum).try_into() {
        headers.insert("x-amz-checksum", checksum);
    }
    Ok(response)
}

/// The parameters of a request.
struct Query(BTreeMap<String, String>);

/// What of a listing is asked for.
struct Range {
    start: u64,
    most: usize,
}

impl Query {
    fn parse(query: Option<String>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let invalid = |_| Refusal::invalid("INVALID_PARAMETER_VALUE", format!("{name} is not a number."));
        self.get(name).map(str::parse).transpose().map_err(invalid)
    }

    fn range(&self, service: &Service, listing: u64) -> Result<Range, Refusal> {
        let most = self.number("maxResults")?.unwrap_or(*MAX_RESULTS.start());
        if !MAX_RESULTS.contains(&most) {
            let message = format!("MaxResults is {most}, not between 100 and 10000.");
            return Err(Refusal::invalid("INVALID_PARAMETER_VALUE", message));
        }
        // The starting index counts for the first page only.
        let start = match self.get("pageToken") {
            Some(token) => Token::index(token, listing, service.clock.now(), PAGE_TOKEN_LIFE)
                .ok_or_else(invalid_page_token)?,
            None => self.number("startingBlockIndex")?.unwrap_or(0),
        };
        Ok(Range { start, most: most as usize })
    }
}

fn invalid_page_token() -> Refusal {
    Refusal::invalid("INVALID_PAGE_TOKEN", "The page token is invalid or has expired.".to_owned())
}

impl Service {
    /// Lets a listing meet its fate; whether it is to be an empty page.
    async fn begin_list(&self, call: Call, id: &str, listing: u64, query: &Query) -> Result<bool, Failure> {
        // The page itself tells requests apart, not its token, which is another every time.
        let start = query.range(self, listing).map_or(0, |range| range.start);
        let page = listing.wrapping_add(start);
        match self.begin(call, name(&[id]), page).await? {
            Some(Fault::ExpiredPageToken) if query.get("pageToken").is_some() => {
                Err(invalid_page_token().into())
            }
            fault => Ok(fault == Some(Fault::EmptyPage)),
        }
    }

    /// Snapshot `id`, if its blocks can be read.
    fn readable(&self, id: &str) -> Result<&Snapshot, Refusal> {
        let digits = id.strip_prefix("snap-").unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let message = format!("'{id}' is not a snapshot id.");
            return Err(Refusal::invalid("INVALID_SNAPSHOT_ID", message));
        }
        let missing = || Refusal::not_found(format!("The snapshot '{id}' does not exist."));
        let snapshot = self.snapshots.get(id).ok_or_else(missing)?;
        if snapshot.state != snapshot::State::Completed {
            let message = format!("The snapshot '{id}' is {}, not completed.", snapshot.state.name());
            return Err(Refusal::invalid("INVALID_SNAPSHOT_ID", message));
        }
        Ok(snapshot)
    }

    fn page(&self, snapshot: &Snapshot, blocks: impl Serialize, next: Option<Token>) -> Response {
        let now = self.clock.now();
        let page = Page {
            blocks,
            expiry_time: (now + BLOCK_TOKEN_LIFE).as_secs_f64(),
            volume_size: snapshot.gib,
            block_size: BLOCK_SIZE,
            next_token: next.map(|token| token.issue(now)),
        };
        match serde_json::to_vec(&page) {
            Ok(page) => ([("content-type", "application/json"), ("x-amzn-requestid", REQUEST_ID)], page)
                .into_response(),
            Err(error) => Refusal::internal(error.to_string()).into_response(),
        }
    }
}
