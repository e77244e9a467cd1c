//! What all requests share: the snapshots, the clock, the faults and the counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;

use crate::fault::{Call, Course, Fault};
use crate::refusal::{Failure, HungUp, Refusal};
use crate::signature::{self, Caller, Credentials};
use crate::snapshot::Snapshot;
use crate::token::Clock;
use crate::wire::Cut;
use crate::{Account, Counts, Instance, accounts, ebs, ec2};

/// No request is larger; EC2's queries are the only ones with a body.
const MAX_BODY: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) clock: Clock,
    course: Mutex<Course>,
    counts: Mutex<Counts>,
}

impl Service {
    pub(crate) fn new(config: crate::Config) -> Self {
        let snapshots = config.snapshots.into_iter().map(|snapshot| (snapshot.id.clone(), snapshot));
        Self {
            snapshots: snapshots.collect(),
            instances: config.instances,
            accounts: config.accounts,
            credentials: config.credentials,
            clock: Clock::default(),
            course: Mutex::new(config.faults.into()),
            counts: Mutex::default(),
        }
    }

    pub(crate) fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request for `subject` and lets it meet its fate; the fault that is left to the caller to act
    /// on.
    pub(crate) async fn begin(
        &self,
        call: Call,
        snapshot: u64,
        subject: u64,
    ) -> Result<Option<Fault>, Failure> {
        let (latency, fault) = self.course().next(call, snapshot, subject);
        let failure = fault.and_then(Failure::of);
        {
            let mut counts = self.counts();
            *match call {
                Call::List => &mut counts.list,
                Call::Changed => &mut counts.changed,
                Call::Get => &mut counts.get,
                Call::Ec2 => &mut counts.ec2,
            } += 1;
            let action = match call {
                Call::List => Some("ebs:ListSnapshotBlocks"),
                Call::Changed => Some("ebs:ListChangedBlocks"),
                Call::Get => Some("ebs:GetSnapshotBlock"),
                // Told where it is read.
                Call::Ec2 => None,
            };
            if let Some(action) = action.filter(|action| !counts.actions.contains(*action)) {
                counts.actions.insert(action.to_owned());
            }
            match &failure {
                Some(Failure::Refused(refusal)) if refusal.is_throttle() => counts.throttled += 1,
                _ => counts.faults += u64::from(fault.is_some()),
            }
        }
        if latency > Duration::ZERO {
            tokio::time::sleep(latency).await;
        }
        if fault == Some(Fault::Stall) {
            // Until the client or the server goes away.
            std::future::pending::<()>().await;
        }
        failure.map_or(Ok(fault), Err)
    }

    /// Counts `bytes` sent of block `index`, and the block itself if it is sent whole and right.
    pub(crate) fn count_block(&self, id: &str, index: u64, bytes: u64, right: bool) {
        let mut counts = self.counts();
        counts.bytes += bytes;
        if right {
            if !counts.blocks.contains_key(id) {
                counts.blocks.insert(id.to_owned(), BTreeMap::new());
            }
            if let Some(blocks) = counts.blocks.get_mut(id) {
                *blocks.entry(index).or_default() += 1;
            }
        }
    }
}

/// The routes of the service.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/snapshots/{id}/blocks", get(ebs::list_snapshot_blocks))
        .route("/snapshots/{id}/changedblocks", get(ebs::list_changed_blocks))
        .route("/snapshots/{id}/blocks/{index}", get(ebs::get_snapshot_block))
        .route("/", post(queried))
        .layer(middleware::from_fn_with_state(Arc::clone(&service), signed))
        .layer(middleware::from_fn(cut))
        .with_state(service)
}

/// What is asked without a path of its own: EC2, STS or AWS Organizations.
async fn queried(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let action = match &*caller.service {
        "organizations" => "ListAccounts".to_owned(),
        _ => ec2::Query::parse(&body).get("Action").unwrap_or_default().to_owned(),
    };
    service.counts().actions.insert(format!("{}:{action}", caller.service));
    match &*caller.service {
        "sts" => accounts::assume_role(&service, &body),
        "organizations" => accounts::list(&service, &body),
        _ => ec2::query(&service, &caller, &body).await,
    }
}

/// Cuts the connection of a request that is to go without an answer.
async fn cut(ConnectInfo(cut): ConnectInfo<Cut>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.extensions().get::<HungUp>().is_some() {
        cut.cut();
    }
    response
}

/// Lets signed requests through.
async fn signed(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let caller = Caller::of(&head.headers);
    let asked = caller.as_ref().map(|caller| &*caller.service);
    let name = match asked.filter(|asked| ["sts", "organizations"].contains(asked)) {
        _ if head.uri.path() != "/" => "ebs",
        Some("sts") => "sts",
        Some(_) => "organizations",
        None => "ec2",
    };
    if let Some(caller) = caller {
        head.extensions.insert(caller);
    }
    let checked = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => {
            let request = (&head.method, &head.uri, &head.headers);
            signature::check(name, service.credentials.as_ref(), request, &body).map(|()| body)
        }
        Err(error) => Err(Refusal::internal(error.to_string())),
    };
    match checked {
        Ok(body) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(refusal) if name == "ec2" => refusal.into_ec2(),
        Err(refusal) => refusal.into_response(),
    }
}
