//! Answers that are not what was asked for: an error in the service's words, or a broken connection.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::fault::Fault;

/// Why there is no proper answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service refuses.
    Refused(Refusal),
    /// The connection breaks before the answer.
    HungUp,
}

/// An error of the EBS direct APIs or of EC2.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    reason: Option<&'static str>,
    message: String,
}

impl Refusal {
    /// HTTP 400 for what is wrong with the request itself.
    pub(crate) fn invalid(reason: &'static str, message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "ValidationException", reason: Some(reason), message }
    }

    /// HTTP 404 for a snapshot that is not there.
    pub(crate) fn not_found(message: String) -> Self {
        let (status, code) = (StatusCode::NOT_FOUND, "ResourceNotFoundException");
        Self { status, code, reason: Some("SNAPSHOT_NOT_FOUND"), message }
    }

    /// HTTP 403 for a request that is not signed as it should be.
    pub(crate) fn forbidden(code: &'static str, message: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, reason: None, message: message.to_owned() }
    }

    /// HTTP 403 because KMS does not let the caller use the snapshot's key.
    pub(crate) fn kms() -> Self {
        let message = "KMS refused the use of the snapshot's key: kms:Decrypt is not allowed.";
        let reason = Some("DEPENDENCY_ACCESS_DENIED");
        Self { reason, ..Self::forbidden("AccessDeniedException", message) }
    }

    /// HTTP 500.
    pub(crate) fn internal(message: String) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, code: "InternalServerException", reason: None, message }
    }

    /// HTTP 400 of EC2, with its own codes.
    pub(crate) fn ec2(code: &'static str, message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, reason: None, message }
    }

    fn throttled(code: &'static str, reason: Option<&'static str>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, reason, message: "Rate exceeded".to_owned() }
    }

    pub(crate) fn is_throttle(&self) -> bool {
        matches!(self.code, "RequestThrottledException" | "ThrottlingException")
    }

    /// The same in EC2's words, as XML.
    pub(crate) fn into_ec2(self) -> Response {
        let (status, code) = match self.code {
            _ if self.is_throttle() => (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded"),
            "InternalServerException" => (self.status, "InternalError"),
            "MissingAuthenticationTokenException" | "UnrecognizedClientException" => {
                (StatusCode::UNAUTHORIZED, "AuthFailure")
            }
            "InvalidSignatureException" => (self.status, "SignatureDoesNotMatch"),
            "AccessDeniedException" => (self.status, "UnauthorizedOperation"),
            "ExpiredTokenException" => (StatusCode::BAD_REQUEST, "RequestExpired"),
            code => (self.status, code),
        };
        let message = Escaped(&self.message);
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
             <Message>{message}</Message></Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
        );
        (status, [(header::CONTENT_TYPE, "text/xml;charset=UTF-8")], body).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({ "Message": self.message });
        if let Some(reason) = self.reason {
            body["Reason"] = reason.into();
        }
        let headers = [
            ("content-type", "application/json"),
            ("x-amzn-errortype", self.code),
            ("x-amzn-requestid", REQUEST_ID),
        ];
        (self.status, headers, body.to_string()).into_response()
    }
}

/// The id in every answer of one request; nobody looks it up here.
pub(crate) const REQUEST_ID: &str = "5ca1ab1e-0000-4000-8000-57a4d1574a4d";

impl Failure {
    /// The answer to a request that meets `fault`, if the fault is the same for all requests.
    pub(crate) fn of(fault: Fault) -> Option<Self> {
        let throttled = "RequestThrottledException";
        Some(Self::Refused(match fault {
            Fault::Throttled => Refusal::throttled(throttled, Some("RESOURCE_LEVEL_THROTTLE")),
            Fault::KmsThrottled => Refusal::throttled(throttled, Some("DEPENDENCY_REQUEST_THROTTLED")),
            Fault::AccountThrottled => Refusal::throttled("ThrottlingException", None),
            Fault::Internal => Refusal::internal("An internal error has occurred".to_owned()),
            Fault::KmsRefusal => Refusal::kms(),
            Fault::Denied => {
                let reason = Some("UNAUTHORIZED_ACCOUNT");
                Refusal { reason, ..Refusal::forbidden("AccessDeniedException", "You are not authorized.") }
            }
            Fault::ExpiredCredentials => {
                let message = "The security token included in the request is expired";
                Refusal::forbidden("ExpiredTokenException", message)
            }
            Fault::ClockSkew => {
                let message = "Signature expired: 20261123T100000Z is now earlier than 20261123T135500Z (20261123T140000Z - 5 min.)";
                Refusal::forbidden("InvalidSignatureException", message)
            }
            Fault::QuotaExceeded => Refusal {
                status: StatusCode::PAYMENT_REQUIRED,
                code: "ServiceQuotaExceededException",
                reason: Some("DEPENDENCY_SERVICE_QUOTA_EXCEEDED"),
                message: "A quota of the account is used up.".to_owned(),
            },
            Fault::Gone => Refusal::not_found("The snapshot does not exist.".to_owned()),
            Fault::HangUp => return Some(Self::HungUp),
            _ => return None,
        }))
    }
}

/// Marks the answer that is not sent because the connection is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HungUp;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(Refusal::internal(format!("cannot read the image: {error}")))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refusal.into_response(),
            Self::HungUp => (Extension(HungUp), ()).into_response(),
        }
    }
}

/// A body that promises more than it sends, so that the server closes the connection.
pub(crate) struct Torn {
    data: Option<Bytes>,
    promised: u64,
    /// What was sent leaves the server's buffers before the connection goes.
    pause: Pin<Box<Sleep>>,
}

impl Torn {
    /// An answer of `promised` bytes of which only `data` is sent.
    pub(crate) fn of(data: Bytes, promised: u64) -> Response {
        let pause = Box::pin(tokio::time::sleep(Duration::from_millis(5)));
        Response::new(Body::new(Self { data: Some(data), promised, pause }))
    }
}

impl http_body::Body for Torn {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        ready!(self.pause.as_mut().poll(context));
        Poll::Ready(Some(Err("torn on purpose".into())))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}

/// Text as it stands in an XML element.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.chars() {
            match part {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                part => fmt::Write::write_char(formatter, part)?,
            }
        }
        Ok(())
    }
}
