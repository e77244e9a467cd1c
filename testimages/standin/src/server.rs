//! The server: a thread with its own runtime, from start to drop.

use std::future::IntoFuture;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::service::{self, Service};
use crate::wire::{Cut, Wires};
use crate::{Config, Counts, Faults};

/// How long requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts serving on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no free port, or the system gives no thread.
    pub fn start(config: Config) -> io::Result<Self> {
        Self::start_at(0, config)
    }

    /// Starts serving on `port` of 127.0.0.1 (0 for a free one).
    ///
    /// # Errors
    /// When the port is taken, or the system gives no thread.
    pub fn start_at(port: u16, config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("standin")
            .enable_io()
            .enable_time()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&service);
        let thread = std::thread::Builder::new()
            .name("standin".to_owned())
            .spawn(move || serve(&runtime, listener, shared, stopped))?;
        Ok(Self { address, service, stop: Some(stop), thread: Some(thread) })
    }

    /// Its URL, without a slash at the end: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked and answered so far.
    pub fn counts(&self) -> Counts {
        self.service.counts().clone()
    }

    /// Counts from nothing again.
    pub fn reset_counts(&self) {
        *self.service.counts() = Counts::default();
    }

    /// From now on, these faults; the numbers of requests and of attempts start again.
    pub fn set_faults(&self, faults: Faults) {
        *self.service.course() = faults.into();
    }

    /// Puts the server's clock forward, in whole seconds: tokens expire.
    pub fn advance(&self, by: Duration) {
        self.service.clock.advance(by);
    }

    /// The snapshot `id` as it is served.
    pub fn snapshot(&self, id: &str) -> Option<&crate::Snapshot> {
        self.service.snapshots.get(id)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was told on stderr already.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Runtime, listener: TcpListener, service: Arc<Service>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        // Cannot fail: the listener is non-blocking and the runtime has its reactor.
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let (graceful, gracefully) = oneshot::channel::<()>();
        let serving = axum::serve(
            Wires(listener),
            service::router(service).into_make_service_with_connect_info::<Cut>(),
        )
        .with_graceful_shutdown(async {
            let _ = gracefully.await;
        })
        .into_future();
        let serving = tokio::spawn(serving);
        let _ = stopped.await;
        drop(graceful);
        let _ = tokio::time::timeout(GRACE, serving).await;
    });
}
