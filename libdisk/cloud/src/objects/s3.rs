//! Amazon S3: GetObject, PutObject, DeleteObject and ListObjectsV2 (API version 2006-03-01).

use roxmltree::Document;
use ureq::Body;
use ureq::http::{Method, Request, Response, Uri};

use super::{Ask, Options, Page, Service};
use crate::aws::Session;
use crate::fault::{Fault, FaultKind};
use crate::http;
use crate::retry::Cloud;

/// The objects of a bucket below a prefix.
#[derive(Debug)]
pub(super) struct S3 {
    session: Session,
    /// The URL of the bucket, without a slash at its end.
    bucket: String,
    /// What all keys begin with: nothing, or with a slash at its end.
    prefix: String,
}

impl S3 {
    pub(super) fn new(bucket: &str, prefix: &str, options: &Options) -> Result<Self, Fault> {
        let session = Session::new(options.region.as_deref(), options.credentials.as_ref(), None);
        let session = session.map_err(|fault| match fault.kind() {
            FaultKind::Region => Fault::new(FaultKind::Region, "neither in AWS_REGION, nor in the profile"),
            _ => fault,
        })?;
        let bucket = match options.endpoint.clone().or_else(|| session.endpoint_asked("S3")) {
            // What stands for S3 most often has one host.
            Some(endpoint) => format!("{}/{bucket}", checked(&endpoint)?),
            None => {
                let endpoint = session.ebs_endpoint()?.replacen("://ebs", "://s3", 1);
                match endpoint.split_once("://") {
                    // A certificate for all buckets is for names without a dot.
                    Some((scheme, host)) if !bucket.contains('.') => format!("{scheme}://{bucket}.{host}"),
                    _ => format!("{endpoint}/{bucket}"),
                }
            }
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { session, bucket, prefix })
    }

    fn signed(&self, request: Result<Request<Vec<u8>>, ureq::http::Error>) -> Result<Response<Body>, Fault> {
        let mut answer =
            self.session.signed(("s3", &self.session.region), request.map_err(Fault::unsendable)?)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let region = answer.headers().get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
        let region = region.filter(|region| *region != self.session.region).map(str::to_owned);
        let status = answer.status().as_u16();
        // That it breaks off is not what went wrong.
        let body = http::body(&mut answer).unwrap_or_default();
        Err(fault(status, &body, region.as_deref()))
    }
}

/// The URL of what stands for S3: by plain `http` only this machine is asked.
fn checked(endpoint: &str) -> Result<&str, Fault> {
    let uri: Option<Uri> = endpoint.parse().ok();
    let is_good = uri.is_some_and(|uri| http::is_asked(&uri));
    let why = "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is no URL of S3: https://HOST is one; by plain http only this \
               machine is asked";
    if is_good { Ok(endpoint) } else { Err(Fault::new(FaultKind::Invalid, why)) }
}

impl Service for S3 {
    fn cloud(&self) -> Cloud {
        Cloud::AwsObjects
    }

    fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, Fault> {
        let uri = format!("{}/{}{}", self.bucket, self.prefix, ask.key);
        let mut request = Request::builder().method(&ask.method).uri(uri);
        if let Some((name, value)) = ask.condition.header() {
            request = request.header(name, value);
        }
        if ask.method == Method::PUT {
            request = request.header("content-type", "application/octet-stream");
        }
        self.signed(request.body(ask.body.to_vec()))
    }

    fn list(&self, below: &str, next: Option<&str>) -> Result<Page, Fault> {
        let prefix = format!("{}{below}", self.prefix);
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(next) = next {
            query.append_pair("continuation-token", next);
        }
        query.append_pair("list-type", "2").append_pair("prefix", &prefix);
        let uri = format!("{}/?{}", self.bucket, query.finish().replace('+', "%20"));
        let mut answer = self.signed(Request::get(uri).body(Vec::new()))?;
        listed(&http::body(&mut answer)?, &self.prefix)
    }

    fn renew(&self) -> bool {
        // They are looked up again by their own time.
        false
    }
}

/// The answer to ListObjectsV2; keys without the prefix.
fn listed(body: &[u8], prefix: &str) -> Result<Page, Fault> {
    let wrong = || Fault::new(FaultKind::Protocol, "the list of objects is none");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let document = Document::parse(text).map_err(|_| wrong())?;
    let root = document.root_element();
    if !root.tag_name().name().eq("ListBucketResult") {
        return Err(wrong());
    }
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let found = node.children().find(|child| child.tag_name().name() == name);
        found.and_then(|child| child.text().map(str::to_owned))
    };
    let contents = root.children().filter(|node| node.tag_name().name() == "Contents");
    let keys =
        contents.filter_map(|node| child(node, "Key")?.strip_prefix(prefix).map(str::to_owned)).collect();
    Ok(Page { keys, next: child(root, "NextContinuationToken").filter(|next| !next.is_empty()) })
}

/// What an answer with an error's status means ("Error responses", Amazon S3 API Reference). `region` is where the
/// bucket is, if that is elsewhere.
fn fault(status: u16, body: &[u8], region: Option<&str>) -> Fault {
    let document = std::str::from_utf8(body).ok().and_then(|text| Document::parse(text).ok());
    let element = |name: &str| {
        let mut nodes = document.iter().flat_map(Document::descendants);
        nodes.find(|node| node.tag_name().name() == name).and_then(|node| node.text()).map(str::to_owned)
    };
    let (code, message) = (element("Code").unwrap_or_default(), element("Message"));
    if let Some(region) = region {
        let fault = Fault::of_status(FaultKind::Region, status, [code.as_str()]);
        return fault.knowing(&format!("the bucket is in {}", crate::fault::told(region, 40)));
    }
    let (kind, words) = match (code.as_str(), status) {
        ("SlowDown" | "RequestLimitExceeded" | "ThrottlingException" | "TooManyRequests", _) | (_, 429) => {
            (FaultKind::Throttled, "")
        }
        // Somebody writes it at this very moment: the next try tells who was first.
        ("ConditionalRequestConflict" | "OperationAborted", _) => (FaultKind::Server, ""),
        ("RequestTimeout" | "InternalError" | "ServiceUnavailable", _) | (_, 408 | 500..) => {
            (FaultKind::Server, "")
        }
        ("PreconditionFailed", _) | (_, 412) => (FaultKind::Changed, ""),
        ("NoSuchBucket", _) => (FaultKind::Invalid, "make the bucket first (aws s3 mb)"),
        ("NoSuchKey", _) => (FaultKind::NotFound, ""),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => (FaultKind::Clock, ""),
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _)
        | (_, 301 | 307) => (FaultKind::Region, ""),
        ("ExpiredToken" | "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch", _) | (_, 401) => {
            (FaultKind::Credentials, "")
        }
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody", _) => (FaultKind::Damaged, ""),
        (code, _) if code.starts_with("KMS.") => (FaultKind::Key, ""),
        ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | (_, 403) => (FaultKind::Access, ""),
        (_, 404) => (FaultKind::NotFound, ""),
        _ => (FaultKind::Invalid, ""),
    };
    let fault = Fault::of_status(kind, status, [code.as_str()].into_iter().chain(message.as_deref()));
    if words.is_empty() { fault } else { fault.knowing(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_meaning_and_nothing_secret_is_told() {
        use FaultKind::*;
        for (status, code, kind) in [
            (503, "SlowDown", Throttled),
            (503, "", Server),
            (500, "InternalError", Server),
            (409, "ConditionalRequestConflict", Server),
            (412, "PreconditionFailed", Changed),
            (412, "", Changed),
            (404, "NoSuchKey", NotFound),
            (404, "NoSuchBucket", Invalid),
            (403, "RequestTimeTooSkewed", Clock),
            (403, "SignatureDoesNotMatch", Credentials),
            (400, "ExpiredToken", Credentials),
            (403, "AccessDenied", Access),
            (301, "PermanentRedirect", Region),
            (400, "KMS.DisabledException", Key),
            (400, "InvalidArgument", Invalid),
        ] {
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>So it is.</Message>\
                 <AWSAccessKeyId>AKIDSECRET</AWSAccessKeyId><StringToSign>secret</StringToSign></Error>"
            );
            let told = fault(status, body.as_bytes(), None);
            assert_eq!(told.kind(), kind, "{status} {code}");
            assert!(
                told.to_string().contains("So it is.") && !told.to_string().to_lowercase().contains("secret")
            );
        }
        let told = fault(301, b"", Some("eu-west-1"));
        assert!(told.kind() == Region && told.text().contains("eu-west-1"), "{told}");
    }

    #[test]
    fn lists_are_read_page_by_page() {
        let body = b"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Contents><Key>a/vm/1</Key>\
                     </Contents><Contents><Key>b</Key></Contents><NextContinuationToken>1/x=</NextContinuationToken>\
                     </ListBucketResult>";
        let page = listed(body, "a/").unwrap();
        assert_eq!(page, Page { keys: vec!["vm/1".into()], next: Some("1/x=".into()) });
        assert_eq!(listed(b"<Error/>", "").unwrap_err().kind(), Protocol);
        use FaultKind::Protocol;
    }
}
