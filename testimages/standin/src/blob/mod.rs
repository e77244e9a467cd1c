//! A stand-in for the page blobs of Azure Storage: a real HTTP server on loopback.
//!
//! It follows the REST reference of the Blob service, version 2019-12-12: Put Blob, Put Page (update and
//! clear), Get Page Ranges, Get Blob with a range, Get Blob Properties, their headers, conditions, limits and
//! error codes. It shares no code with refloat's client. Azurite says whether both are right; this one is
//! fast, refuses what Azurite lets pass (puts of more than 4 MiB), counts, and goes wrong on purpose.
//!
//! ```
//! use standin::{BlobFault, BlobServer};
//!
//! let server = BlobServer::start()?;
//! server.fail(1, &[(BlobFault::Busy, 0.1), (BlobFault::Reset, 0.05)]);
//! let url = format!("{}?{}", server.url("disk.vhd"), server.signature());
//! assert!(url.starts_with("http://127.0.0.1:"));
//! assert_eq!(server.blob_counts().puts, 0);
//! # Ok::<(), std::io::Error>(())
//! ```

mod service;
mod store;

use std::collections::HashMap;
use std::future::IntoFuture;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::wire::{Cut, Wires};
use service::Service;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobFault {
    /// 503 ServerBusy.
    Busy,
    /// 429, without a code.
    TooMany,
    /// 500 InternalError.
    Internal,
    /// 408, without a code.
    Timeout,
    /// The connection is reset before anything was done.
    Reset,
    /// What was asked is done, and the connection is reset before that is told.
    Lost,
    /// Half of the answer's body comes. Of requests that have one.
    Half,
    /// A byte of what is read is not what is there. Of reads.
    Altered,
}

/// What was asked and answered since the server started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobCounts {
    /// All requests, however they ended.
    pub requests: u64,
    /// Put Page requests that were carried out.
    pub puts: u64,
    /// Bytes that they carried.
    pub bytes_put: u64,
    /// Ranges that were read.
    pub reads: u64,
    /// Requests that met a fault.
    pub faults: u64,
    /// How many times each page of 4 KiB of a disk was put: by blob, and number.
    pub pages: HashMap<(String, u64), u32>,
}

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct BlobServer {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl BlobServer {
    /// Starts serving on a free port of 127.0.0.1: one container, with no blob in it.
    ///
    /// # Errors
    /// When there is no free port, or the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("blobs")
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&service);
        let serve = move || {
            runtime.block_on(async {
                // Cannot fail: the listener is non-blocking and the runtime has its reactor.
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let router = service::router(shared).into_make_service_with_connect_info::<Cut>();
                let serving = tokio::spawn(axum::serve(Wires(listener), router).into_future());
                let _ = stopped.await;
                serving.abort();
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = std::thread::Builder::new().name("blobs".to_owned()).spawn(serve)?;
        Ok(Self { address, service, stop: Some(stop), thread: Some(thread) })
    }

    /// The URL of a blob, without a signature.
    pub fn url(&self, blob: &str) -> String {
        format!("http://{}/account/container/{blob}", self.address)
    }

    /// The shared access signature that opens everything, until [`end_signature`](Self::end_signature).
    pub fn signature(&self) -> String {
        self.service.signature()
    }

    /// The one that will be there when this one is over.
    pub fn next_signature(&self) -> String {
        self.service.next_signature()
    }

    /// A signature of the account, which opens everything too: that a disk is closed does not end it.
    pub fn lasting_signature(&self) -> String {
        Service::lasting_signature()
    }

    /// The signature is over from now on, and there is another one.
    pub fn end_signature(&self) {
        self.service.end_signature();
    }

    /// The signature is over once so many more pages were put.
    pub fn end_signature_after(&self, puts: u64) {
        self.service.end_signature_after(puts);
    }

    /// From now on each request that a fault fits meets it with its probability.
    pub fn fail(&self, seed: u64, chances: &[(BlobFault, f64)]) {
        self.service.fail(seed, chances);
    }

    /// Every answer comes this much later.
    pub fn delay(&self, latency: Duration) {
        self.service.delay(latency);
    }

    /// What was asked and answered so far.
    pub fn blob_counts(&self) -> BlobCounts {
        self.service.counts().clone()
    }

    /// What a blob holds; `None` if there is none.
    pub fn content(&self, blob: &str) -> Option<Vec<u8>> {
        self.service.content(blob)
    }

    /// A blob of `size` zeros that nobody but a managed disk makes: there is no Put Blob of it.
    pub(crate) fn of_disk(&self, blob: &str, size: u64) {
        self.service.of_disk(blob, size);
    }

    /// A managed disk's blob that holds these bytes.
    pub(crate) fn disk(&self, blob: &str, bytes: &[u8]) {
        self.service.disk(blob, bytes);
    }

    /// A blob with these bytes, whatever their number.
    pub(crate) fn file(&self, blob: &str, bytes: &[u8]) {
        self.service.file(blob, bytes);
    }

    /// It goes with its disk.
    pub(crate) fn remove(&self, blob: &str) {
        self.service.remove(blob);
    }

    /// Changes a byte of a blob, as nobody should.
    pub fn spoil(&self, blob: &str, at: u64) {
        self.service.spoil(blob, at);
    }
}

impl Drop for BlobServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was told on stderr already.
            let _ = thread.join();
        }
    }
}
