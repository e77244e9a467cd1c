//! What a snapshot is read from: the EBS direct APIs, or a folder of images in this process.

use crate::fault::{Fault, FaultKind};

/// One page of a list, as it came.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Blocks of the volume.
    pub(super) volume_blocks: u64,
    /// Index and token; the token is empty for a changed block that the second snapshot lacks.
    pub(super) blocks: Vec<(u64, String)>,
    /// Where the list goes on, if it does.
    pub(super) next: Option<String>,
}

/// The three requests of the EBS direct APIs, each made once, a query to EC2, and one to AWS Organizations.
pub(super) trait Service: std::fmt::Debug + Send + Sync {
    /// Whether the service has answered once.
    fn known(&self) -> bool;

    /// One page of the blocks of `snapshot`: from the block `from` on, or where `next` says.
    ///
    /// # Errors
    /// What the service says.
    fn list(&self, snapshot: &str, from: u64, next: Option<String>) -> Result<Listed, Fault>;

    /// One page of the blocks that differ between two snapshots.
    ///
    /// # Errors
    /// [`FaultKind::Unrelated`] if the two are not of one volume; what the service says.
    fn changed(&self, first: &str, second: &str, from: u64, next: Option<String>) -> Result<Listed, Fault>;

    /// Fetches a block into `buf`, all of it, and gives its SHA-256, which has been checked.
    ///
    /// # Errors
    /// [`FaultKind::Damaged`] if the bytes are not what their digest says; what the service says.
    fn get(&self, snapshot: &str, index: u64, token: &str, buf: &mut [u8]) -> Result<[u8; 32], Fault>;

    /// Sends a query to EC2 and gives the status and the body of its answer.
    ///
    /// # Errors
    /// Where there is no EC2, or no answer.
    fn query(&self, body: &str) -> Result<(u16, Vec<u8>), Fault> {
        let _ = body;
        Err(Fault::new(FaultKind::NotFound, "this endpoint has no EC2 to ask"))
    }

    /// One page of the accounts of the organization, as JSON: the first, or where `next` says.
    ///
    /// # Errors
    /// Where there is no organization, or no answer.
    fn accounts(&self, next: Option<&str>) -> Result<Vec<u8>, Fault> {
        let _ = next;
        Err(Fault::new(FaultKind::NotFound, "this endpoint has no AWS Organizations to ask"))
    }
}
