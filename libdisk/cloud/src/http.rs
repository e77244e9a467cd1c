//! The HTTP client that blocks and lists share.

use std::io::Read;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use ureq::http::uri::Scheme;
use ureq::http::{Request, Response, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, AsSendBody, Body};

use crate::fault::{Fault, FaultKind};
use crate::{proxy, roots};

/// More than the threads of a transfer.
const CONNECTIONS: usize = 256;
/// A body of some MiB goes out in pieces of this many bytes: larger ones wake whoever takes them less often, and a copy of
/// this one stays in the cache of a core. A request without a body touches its first page alone.
const OUTPUT_BUFFER: usize = 256 << 10;
/// The longest answer to anything but a block; a list of 10,000 blocks with the longest tokens has 3 MB.
const MAX_ANSWER: u64 = 16 << 20;

/// Whether a host is this machine, which is asked by plain HTTP as well.
pub(crate) fn is_here(host: &str) -> bool {
    ["127.0.0.1", "localhost", "[::1]"].contains(&host)
}

/// Whether a service is asked at this URL: by `https`, or by plain `http` on this machine.
pub(crate) fn is_asked(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let is_plain = uri.scheme() == Some(&Scheme::HTTP);
    !host.is_empty() && (uri.scheme() == Some(&Scheme::HTTPS) || is_plain && is_here(host))
}

/// A client for one endpoint. Connections are kept and used again; nothing is tried twice here.
///
/// # Errors
/// `Certificate` or `Proxy` where the environment names what cannot be used.
pub(crate) fn agent() -> Result<Agent, Fault> {
    let tls = TlsConfig::builder().root_certs(roots::roots()?).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy::proxy()?)
        .user_agent(concat!("refloat/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(CONNECTIONS)
        .max_idle_connections_per_host(CONNECTIONS)
        .max_idle_age(Duration::from_secs(15))
        .input_buffer_size(32 << 10)
        .output_buffer_size(OUTPUT_BUFFER)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_send_request(Some(Duration::from_secs(10)))
        .timeout_send_body(Some(Duration::from_secs(120)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_recv_body(Some(Duration::from_secs(30)))
        .build();
    Ok(config.new_agent())
}

/// Makes `request` once.
///
/// # Errors
/// `Connection` where there was no answer. An answer that is an error is an answer.
pub(crate) fn send<B: AsSendBody>(agent: &Agent, request: Request<B>) -> Result<Response<Body>, Fault> {
    let uri = request.uri().clone();
    let is_https = uri.scheme() == Some(&Scheme::HTTPS);
    let answer = if is_https {
        agent.run(request)
    } else {
        agent.run(agent.configure_request(request).proxy(None).build())
    };
    answer.map_err(|error| {
        let proxy = agent.config().proxy().filter(|proxy| is_https && !proxy.is_no_proxy(&uri));
        let via = proxy.map(|proxy| format!(", by the proxy {}:{}", proxy.host(), proxy.port()));
        Fault::new(kind(&error), format!("{error}{}", via.unwrap_or_default()))
    })
}

/// What it means that there was no answer.
fn kind(error: &ureq::Error) -> FaultKind {
    use rustls::Error::InvalidCertificate;
    use ureq::Error::{ConnectProxyFailed, Io, Rustls};
    match error {
        Rustls(InvalidCertificate(_)) => FaultKind::Certificate,
        Io(io)
            if io
                .get_ref()
                .and_then(|cause| cause.downcast_ref())
                .is_some_and(|cause| matches!(cause, InvalidCertificate(_))) =>
        {
            FaultKind::Certificate
        }
        // It will not let this one through; a 5xx is about the moment.
        ConnectProxyFailed(why) if why.contains("responded 4") => FaultKind::Proxy,
        _ => FaultKind::Connection,
    }
}

/// The body of an answer that is no block.
///
/// # Errors
/// `Connection` where it breaks off or has no end.
pub(crate) fn body(answer: &mut Response<Body>) -> Result<Vec<u8>, Fault> {
    let read = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
    read.map_err(|error| Fault::new(FaultKind::Connection, error.to_string()))
}

/// Fills `buf` with the body of an answer, which must have that length.
///
/// # Errors
/// `Damaged` where it is shorter or longer.
pub(crate) fn body_into(answer: &mut Response<Body>, buf: &mut [u8]) -> Result<(), Fault> {
    let mut reader = answer.body_mut().as_reader();
    reader.read_exact(buf).map_err(|error| Fault::new(FaultKind::Damaged, error.to_string()))?;
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Fault::new(FaultKind::Damaged, "more bytes than were asked for")),
        Err(error) => Err(Fault::new(FaultKind::Damaged, error.to_string())),
    }
}

/// The same client for the SDK.
pub(crate) fn sdk_client(agent: &Agent) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(agent.clone()));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct Connector(Agent);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let agent = self.0.clone();
        HttpConnectorFuture::new(async move {
            let task = tokio::task::spawn_blocking(move || answer(&agent, &request));
            task.await.map_err(|error| ConnectorError::other(error.into(), None))?
        })
    }
}

fn answer(agent: &Agent, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let failed = |fault: Fault| ConnectorError::io(fault.into());
    let bytes = request.body().bytes().unwrap_or_default().to_vec();
    let mut builder = Request::builder().method(request.method()).uri(request.uri());
    for (name, value) in request.headers() {
        builder = builder.header(name, value);
    }
    let built = builder.body(bytes).map_err(|error| ConnectorError::user(error.into()))?;
    let mut answer = send(agent, built).map_err(failed)?;
    let bytes = body(&mut answer).map_err(failed)?;
    let status = StatusCode::try_from(answer.status().as_u16())
        .map_err(|error| ConnectorError::other(error.into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(bytes));
    for (name, value) in answer.headers() {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}
