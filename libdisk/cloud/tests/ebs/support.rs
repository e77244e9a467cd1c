//! What the tests share: a stand-in, a client for it, random volumes.

use std::path::Path;
use std::time::Duration;

use cloud::ebs::{BLOCK, Ebs, Options};
use standin::{Config, Faults, Server, Snapshot};

/// A stand-in with these snapshots and faults.
pub(crate) fn serve(snapshots: Vec<Snapshot>, faults: Faults) -> Server {
    Server::start(Config { snapshots, faults, ..Config::default() }).unwrap()
}

/// Options for `endpoint`: nothing kept between runs, little patience.
pub(crate) fn options(endpoint: String) -> Options {
    Options {
        region: Some("eu-west-1".into()),
        endpoint: Some(endpoint),
        credentials: Some(("AKIDEXAMPLE".into(), "secret".into())),
        patience: Duration::from_secs(20),
        requests_per_second: 100_000.0,
        meeting: None,
        cache: None,
        ..Options::default()
    }
}

/// The same, with a cache.
pub(crate) fn options_with_cache(endpoint: String, cache: &Path) -> Options {
    Options { cache: Some(cache.to_owned()), ..options(endpoint) }
}

pub(crate) fn connect(server: &Server) -> Ebs {
    Ebs::connect(&options(server.endpoint())).unwrap()
}

/// A volume of `blocks` blocks, cut at the end: some never written, some of zeros, some with zeros inside.
pub(crate) fn volume(random: &mut fastrand::Rng, blocks: usize) -> Vec<u8> {
    let mut bytes = vec![0; blocks * BLOCK as usize];
    for block in bytes.chunks_mut(BLOCK as usize) {
        fill(random, block);
    }
    bytes
}

/// Some content for a block: most often all of it, some pages of it, or none.
pub(crate) fn fill(random: &mut fastrand::Rng, block: &mut [u8]) {
    block.fill(0);
    match random.u8(0..10) {
        0..3 => {}
        3..6 => {
            for page in block.chunks_mut(4096) {
                if random.u8(0..4) == 0 {
                    random.fill(page);
                }
            }
        }
        _ => random.fill(block),
    }
}
