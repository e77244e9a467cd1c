//! Blobs of bytes below a place in a container: Get Blob, Put Blob, Delete Blob and List Blobs.

use roxmltree::Document;
use ureq::http::{Method, Response};
use ureq::{Agent, Body};

use super::place::Place;
use super::request::Call;
use super::signature::{Signature, Signatures};
use super::token::{Held, Secret};
use super::url::BlobUrl;
use crate::fault::{Fault, FaultKind};
use crate::http;
use crate::objects::{Ask, Page, Service};
use crate::retry::Cloud;

/// Who a token for storage is for, in every cloud ("Authorize with Microsoft Entra ID", REST reference).
const AUDIENCE: &str = "https://storage.azure.com";

/// The blobs below a URL. A shared access signature opens them, else a token.
#[derive(Debug)]
pub(crate) struct Container {
    agent: Agent,
    /// What all URLs begin with.
    url: BlobUrl,
    /// The URL of the container, and what all names in it begin with: nothing, or with a slash at its end.
    container: String,
    prefix: String,
    signatures: Signatures,
    place: Place,
    held: Held,
}

impl Container {
    pub(crate) fn new(url: &BlobUrl, signatures: &Signatures) -> Result<Self, Fault> {
        let (container, prefix) = url.container();
        Ok(Self {
            agent: http::agent()?,
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            container: container.to_owned(),
            url: url.clone(),
            signatures: signatures.clone(),
            place: Place { audience: AUDIENCE, ..Place::of_environment()? },
            held: Held::of_environment(),
        })
    }

    /// A token where there is no signature.
    fn bearer(&self, signature: Option<&Signature>) -> Result<Option<Secret>, Fault> {
        if signature.is_some() {
            return Ok(None);
        }
        Ok(Some(self.held.token(&self.agent, &self.place)?.secret))
    }
}

impl Service for Container {
    fn cloud(&self) -> Cloud {
        Cloud::AzureObjects
    }

    fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, Fault> {
        let signature = self.signatures.of(&self.url);
        let bearer = self.bearer(signature.as_ref())?;
        let url = format!("{}/{}", self.url, ask.key);
        let mut call = Call::new(ask.method.clone(), &url, signature.as_ref()).bearer(bearer.as_ref());
        if let Some((name, value)) = ask.condition.header() {
            call = call.header(name, value);
        }
        if ask.method == Method::PUT {
            call = call.header("x-ms-blob-type", "BlockBlob").body(ask.body);
        }
        call.send(&self.agent).map_err(|fault| match fault.kind() {
            // The container is not one of the blobs that may be missing.
            FaultKind::NotFound if fault.text().contains("Container") => fault.of_kind(FaultKind::Invalid),
            _ => fault,
        })
    }

    fn list(&self, below: &str, next: Option<&str>) -> Result<Page, Fault> {
        let signature = self.signatures.of(&self.url);
        let bearer = self.bearer(signature.as_ref())?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("restype", "container").append_pair("prefix", &format!("{}{below}", self.prefix));
        if let Some(next) = next {
            query.append_pair("marker", next);
        }
        let call = Call::new(Method::GET, &self.container, signature.as_ref()).bearer(bearer.as_ref());
        let mut answer = call.component("list").query(query.finish()).send(&self.agent)?;
        listed(&http::body(&mut answer)?, &self.prefix)
    }

    fn renew(&self) -> bool {
        match self.signatures.of(&self.url) {
            Some(old) => self.signatures.renew(&self.url, &old),
            None => self.held.forget(),
        }
    }
}

/// The answer to List Blobs; names without the prefix.
fn listed(body: &[u8], prefix: &str) -> Result<Page, Fault> {
    let wrong = || Fault::new(FaultKind::Protocol, "the list of blobs is none");
    let text = std::str::from_utf8(body).map_err(|_| wrong())?;
    let document = Document::parse(text.trim_start_matches('\u{feff}')).map_err(|_| wrong())?;
    let root = document.root_element();
    if !root.has_tag_name("EnumerationResults") {
        return Err(wrong());
    }
    let blobs = root.descendants().filter(|node| node.has_tag_name("Blob"));
    let name = |blob: roxmltree::Node<'_, '_>| {
        let name = blob.children().find(|child| child.has_tag_name("Name"))?;
        name.text()?.strip_prefix(prefix).map(str::to_owned)
    };
    let next = root.children().find(|node| node.has_tag_name("NextMarker"));
    let next = next.and_then(|node| node.text()).filter(|next| !next.is_empty());
    Ok(Page { keys: blobs.filter_map(name).collect(), next: next.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_page_by_page() {
        let body = "\u{feff}<?xml version=\"1.0\"?><EnumerationResults><Prefix>a/</Prefix><Blobs><Blob><Name>a/vm/1\
                    </Name></Blob></Blobs><NextMarker>2</NextMarker></EnumerationResults>";
        let page = listed(body.as_bytes(), "a/").unwrap();
        assert_eq!(page, Page { keys: vec!["vm/1".into()], next: Some("2".into()) });
        assert_eq!(listed(body.replace('2', "").as_bytes(), "").unwrap().next, None);
        assert!(listed(b"<Error/>", "").is_err());
    }
}
