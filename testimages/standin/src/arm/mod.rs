//! A stand-in for Azure Resource Manager, as far as managed disks and test machines need it: a real HTTP
//! server on loopback, over the stand-in for page blobs.
//!
//! It follows the requests and answers that `az` 2.91 was recorded with, the schema of `Microsoft.Compute/disks`
//! and the documents on asynchronous operations: a disk is ReadyToUpload, ActiveUpload, Unattached, ActiveSAS;
//! each change is an operation that is looked at until it has ended. It gives out tokens as Microsoft Entra and
//! a virtual machine's metadata service do. It shares no code with refloat's client.
//!
//! A template is carried out as far as refloat's go: parameters, `resourceId` and `concat`, the order of
//! `dependsOn`; disks must be there and unattached. A virtual machine shows on its serial console what a test
//! says. What is in use cannot be deleted.
//!
//! What Azure does where no document tells it is a guess, and the guess is the unkind one where a test asks for
//! it: [`renews`](ArmServer::renews) says whether an upload that is open may be opened again, and a disk that is
//! closed with no VHD in it stays closed, and is no disk.
//!
//! ```
//! let server = standin::ArmServer::start()?;
//! assert!(server.endpoint().starts_with("http://127.0.0.1:"));
//! assert!(server.asked().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod disks;
mod machines;
mod service;
mod token;

use std::future::IntoFuture;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::blob::BlobServer;
use service::Service;
pub use token::Credential;

/// A request that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// `PUT`, `POST`, ..
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The body; `Null` if there was none.
    pub body: Value,
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct ArmServer {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ArmServer {
    /// Starts serving on a free port of 127.0.0.1: a subscription with the empty group `rg` in it.
    ///
    /// # Errors
    /// When there is no free port, or the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(format!("http://{address}"), BlobServer::start()?));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&service);
        let serve = move || {
            runtime.block_on(async {
                // Cannot fail: the listener is non-blocking and the runtime has its reactor.
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let serving = tokio::spawn(axum::serve(listener, service::router(shared)).into_future());
                let _ = stopped.await;
                serving.abort();
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = std::thread::Builder::new().name("arm".to_owned()).spawn(serve)?;
        Ok(Self { address, service, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is: for `AZURE_RESOURCE_MANAGER`, `AZURE_AUTHORITY_HOST` and
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The subscription that there is.
    pub fn subscription(&self) -> &'static str {
        service::SUBSCRIPTION
    }

    /// Where the pages of the disks are.
    pub fn blobs(&self) -> &BlobServer {
        self.service.blobs()
    }

    /// A token that is taken now.
    pub fn token(&self) -> String {
        self.service.token()
    }

    /// All tokens that were given out are over.
    pub fn end_tokens(&self) {
        self.service.end_tokens();
    }

    /// Who gets a token from now on.
    pub fn trust(&self, credential: Credential) {
        self.service.trust(credential);
    }

    /// Whether a disk that is open for its upload may be opened again; at first it may.
    pub fn renews(&self, renews: bool) {
        self.service.renews(renews);
    }

    /// The next so many requests about resources are refused: 429 and 503 in turn.
    pub fn throttle(&self, requests: u32) {
        self.service.throttle(requests);
    }

    /// What was asked about resources so far, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.service.asked()
    }

    /// The state of a disk of `rg`; `None` if there is none.
    pub fn state(&self, disk: &str) -> Option<String> {
        self.service.state(disk)
    }

    /// What was uploaded to a disk of `rg`, footer included.
    pub fn content(&self, disk: &str) -> Option<Vec<u8>> {
        self.service.blobs().content(disk)
    }

    /// What the serial console of a virtual machine shows: one of these, the next each time that it is
    /// asked for, and the last from then on.
    pub fn says(&self, pieces: &[&[u8]]) {
        self.service.says(pieces);
    }

    /// What templates have made in `rg`, as "KIND/NAME".
    pub fn made(&self) -> Vec<String> {
        self.service.made()
    }

    /// A disk of `rg` that somebody else made of this VHD; `snapshots/NAME` is a snapshot.
    pub fn holds(&self, disk: &str, vhd: &[u8]) {
        self.service.holds(disk, vhd);
    }

    /// Somebody else brings a disk into this state.
    pub fn set_state(&self, disk: &str, state: &'static str) {
        self.service.set_state(disk, state);
    }

    /// A disk of `rg` that somebody else made, in this state.
    pub fn other_disk(&self, disk: &str, state: &'static str) {
        self.service.other_disk(disk, state);
    }
}

impl Drop for ArmServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was told on stderr already.
            let _ = thread.join();
        }
    }
}
