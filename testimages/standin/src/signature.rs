//! AWS Signature Version 4, from the service's side ("Create a signed AWS API request", IAM User Guide).

use axum::http::{HeaderMap, Method, Uri};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// The key pair that requests must be signed with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

/// The Authorization header, taken apart.
struct Authorization<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Who made a request, as its Authorization header says.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Caller {
    /// Nobody, where there is no such header.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let header = headers.get("authorization")?.to_str().ok()?;
        let scope = header.split_once("Credential=")?.1.split(',').next()?;
        let [access_key, _, region, service, _] = scope.split('/').collect::<Vec<_>>()[..] else {
            return None;
        };
        let [access_key, region, service] = [access_key, region, service].map(str::to_owned);
        Some(Self { access_key, region, service })
    }
}

/// Refuses a request that is not signed for `service`; with `credentials`, one that is not signed right.
pub(crate) fn check(
    service: &str,
    credentials: Option<&Credentials>,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    body: &[u8],
) -> Result<(), Refusal> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok()).ok_or_else(|| {
        Refusal::forbidden("MissingAuthenticationTokenException", "the request has no Authorization header")
    })?;
    let authorization = Authorization::parse(header, service).ok_or_else(|| {
        let why = format!("not AWS4-HMAC-SHA256 for the service {service}: {header}");
        Refusal::forbidden("IncompleteSignatureException", &why)
    })?;
    let Some(credentials) = credentials else { return Ok(()) };
    if authorization.access_key != credentials.access_key {
        let why = "The security token included in the request is invalid.";
        return Err(Refusal::forbidden("UnrecognizedClientException", why));
    }
    let request = authorization.canonical_request(method, uri, headers, body);
    let expected = request.map(|request| authorization.sign(service, credentials, headers, &request));
    if expected.is_none_or(|expected| expected != authorization.signature) {
        let why = "The request signature we calculated does not match the signature you provided.";
        return Err(Refusal::forbidden("InvalidSignatureException", why));
    }
    Ok(())
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str, service: &str) -> Option<Self> {
        let mut fields = header.strip_prefix("AWS4-HMAC-SHA256 ")?.split(',').map(str::trim);
        let mut field = |name| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let scope: Vec<_> = field("Credential")?.split('/').collect();
        let [access_key, date, region, found, "aws4_request"] = scope[..] else { return None };
        let signed_headers = field("SignedHeaders")?;
        let signature = field("Signature")?;
        (found == service).then_some(Self { access_key, date, region, signed_headers, signature })
    }

    /// `None` when a signed header is missing, the host is not signed, or the body is not the one that was
    /// signed.
    fn canonical_request(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<String> {
        let mut query: Vec<_> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .map(|(name, value)| format!("{}={}", encode(&name, ""), encode(&value, "")))
            .collect();
        query.sort_unstable();
        let names: Vec<_> = self.signed_headers.split(';').collect();
        if !names.contains(&"host") {
            return None;
        }
        let mut lines = String::new();
        for name in names {
            let value = headers.get(name)?.to_str().ok()?;
            let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            lines += &format!("{name}:{value}\n");
        }
        let payload = hex(&Sha256::digest(body));
        if headers.get("x-amz-content-sha256").is_some_and(|sent| sent.as_bytes() != payload.as_bytes()) {
            return None;
        }
        let path = encode(uri.path(), "/");
        let query = query.join("&");
        Some(format!("{method}\n{path}\n{query}\n{lines}\n{}\n{payload}", self.signed_headers))
    }

    fn sign(&self, service: &str, credentials: &Credentials, headers: &HeaderMap, request: &str) -> String {
        let time = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Self { date, region, .. } = self;
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let digest = hex(&Sha256::digest(request));
        let key = format!("AWS4{}", credentials.secret_key).into_bytes();
        let key = [date, *region, service, "aws4_request"].iter().fold(key, |key, part| hmac(&key, part));
        hex(&hmac(&key, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}")))
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Percent-encodes all but RFC 3986's unreserved characters and those of `keep`.
fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.as_bytes().contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "get-vanilla" of the Signature Version 4 test suite.
    #[test]
    fn the_published_example_is_good_and_a_changed_one_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().unwrap());
        headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
        let authorization = "AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        headers.insert("authorization", authorization.parse().unwrap());
        let pair = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let refused = |service, headers: &HeaderMap, uri: &'static str, body: &[u8]| {
            let uri = Uri::from_static(uri);
            check(service, Some(&pair), (&Method::GET, &uri, headers), body).err().map(|refusal| refusal.code)
        };
        let invalid = Some("InvalidSignatureException");
        assert_eq!(refused("service", &headers, "/", b""), None);
        assert_eq!(refused("service", &headers, "/?a", b""), invalid);
        assert_eq!(refused("service", &headers, "/", b"body"), invalid);
        assert_eq!(refused("ebs", &headers, "/", b""), Some("IncompleteSignatureException"));
        headers.insert("host", "example.org".parse().unwrap());
        assert_eq!(refused("service", &headers, "/", b""), invalid);
        headers.remove("authorization");
        assert_eq!(refused("service", &headers, "/", b""), Some("MissingAuthenticationTokenException"));
    }
}
