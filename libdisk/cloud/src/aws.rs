//! An account of AWS: the region, the credentials, and requests that are signed with them.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_ebs::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_ebs::config::retry::RetryConfig;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use tokio::runtime::{Builder, Runtime};
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use crate::fault::{Fault, FaultKind};
use crate::{http, lock};

/// The name of a session in a role, by which trails know who asked.
const SESSION: &str = "refloat";
/// Credentials that end sooner than this are renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Whose requests are signed, in one region.
pub(crate) struct Session {
    pub(crate) runtime: Runtime,
    pub(crate) config: SdkConfig,
    pub(crate) region: String,
    agent: Agent,
    provider: SharedCredentialsProvider,
    credentials: Mutex<Option<Credentials>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Session {
    /// Finds region and credentials, with those of `role` if one is to be assumed; makes no request to a service yet.
    ///
    /// # Errors
    /// `Region` where none is known; `Certificate` or `Proxy` where the environment names what cannot be used.
    pub(crate) fn new(
        region: Option<&str>,
        credentials: Option<&(String, String)>,
        role: Option<&str>,
    ) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Fault::new(FaultKind::Connection, error.to_string()))?;
        let agent = http::agent()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::sdk_client(&agent))
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some((key, secret)) = credentials {
            loader = loader.credentials_provider(Credentials::new(key, secret, None, None, "options"));
        }
        let config = runtime.block_on(loader.load());
        let region = config.region().map(ToString::to_string).ok_or_else(|| {
            Fault::new(FaultKind::Region, "neither in the address, nor in AWS_REGION, nor in the profile")
        })?;
        let provider = match role {
            Some(role) => {
                let role = AssumeRoleProvider::builder(role).session_name(SESSION).configure(&config);
                SharedCredentialsProvider::new(runtime.block_on(role.build()))
            }
            None => config
                .credentials_provider()
                .ok_or_else(|| Fault::new(FaultKind::Credentials, "there is no provider of credentials"))?,
        };
        Ok(Self { runtime, config, region, agent, provider, credentials: Mutex::new(None) })
    }

    /// The URL that the environment or the profile names for a service (`EBS`, `S3`), if one does, without a slash
    /// at the end.
    pub(crate) fn endpoint_asked(&self, service: &str) -> Option<String> {
        let own = std::env::var(format!("AWS_ENDPOINT_URL_{service}")).ok().filter(|url| !url.is_empty());
        let asked = own.or_else(|| self.config.endpoint_url().map(str::to_owned));
        asked.map(|url| url.trim_end_matches('/').to_owned())
    }

    /// The URL of EBS in this region, whatever the environment names.
    ///
    /// # Errors
    /// `Invalid` where the region is none.
    pub(crate) fn ebs_endpoint(&self) -> Result<String, Fault> {
        let wrong = |error: String| Fault::new(FaultKind::Invalid, error);
        let params = Params::builder()
            .region(&self.region)
            .set_use_fips(self.config.use_fips())
            .set_use_dual_stack(self.config.use_dual_stack())
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let endpoint = self.runtime.block_on(DefaultResolver::new().resolve_endpoint(&params));
        Ok(endpoint.map_err(|error| wrong(error.to_string()))?.url().to_owned())
    }

    /// Who gives credentials out.
    pub(crate) fn provider(&self) -> SharedCredentialsProvider {
        self.provider.clone()
    }

    /// Signs `request` for a service in a region (Signature Version 4) and makes it once.
    pub(crate) fn signed(
        &self,
        (service, region): (&str, &str),
        mut request: Request<Vec<u8>>,
    ) -> Result<Response<Body>, Fault> {
        let wrong = |error: String| Fault::new(FaultKind::Invalid, error);
        let identity = self.credentials()?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings(service))
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let uri = request.uri().to_string();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers, body)
            .map_err(|error| wrong(error.to_string()))?;
        let (instructions, _) =
            sign(signable, &params.into()).map_err(|error| wrong(error.to_string()))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        http::send(&self.agent, request)
    }

    /// The credentials, renewed some minutes before they end.
    pub(crate) fn credentials(&self) -> Result<Credentials, Fault> {
        let mut held = lock(&self.credentials);
        let soon = SystemTime::now().checked_add(RENEW_BEFORE);
        if let Some(credentials) =
            held.as_ref().filter(|held| held.expiry().is_none_or(|end| Some(end) > soon))
        {
            return Ok(credentials.clone());
        }
        let found = self.runtime.block_on(self.provider.provide_credentials());
        let credentials = found.map_err(|error| {
            let way = Fault::of_cause(&error).map(Fault::kind);
            let is_way = |kind: &_| matches!(kind, FaultKind::Certificate | FaultKind::Proxy);
            match error {
                CredentialsError::CredentialsNotLoaded(_) => {
                    let none =
                        "there are none: not in the environment, nor in a profile, nor of this machine";
                    Fault::new(FaultKind::Credentials, none)
                }
                error => Fault::new(way.filter(is_way).unwrap_or(FaultKind::Credentials), causes(&error)),
            }
        })?;
        *held = Some(credentials.clone());
        Ok(credentials)
    }
}

/// How a service wants requests to be signed: S3 takes paths as they are, and the digest of the body in a header
/// ("Authenticating Requests", Amazon S3 API Reference).
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    settings
}

/// An error of the SDK with what caused it; alone it says little.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
