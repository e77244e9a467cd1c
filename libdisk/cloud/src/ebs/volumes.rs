//! What the volumes of an instance are given (DescribeVolumes, Amazon EC2 API 2016-11-15).

use roxmltree::Node;

use super::ec2::{items, pages, text};
use super::{Action, Ebs};
use crate::retry::Failure;

/// A volume that is attached to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// The name of its device there: `/dev/xvda`.
    pub device: String,
    /// Its kind: `gp3`.
    pub kind: String,
    /// Its size in GiB.
    pub gib: u64,
    /// Requests each second that it is given, where its kind has a number of them.
    pub iops: Option<u32>,
    /// MiB each second that it is given, likewise.
    pub mibps: Option<u32>,
}

impl Ebs {
    /// The volumes of an instance, in the order of the service; those of no known kind are left out.
    ///
    /// # Errors
    /// What the service says: it takes another permission than to find snapshots.
    pub fn volumes(&self, instance: &str) -> Result<Vec<Volume>, Failure> {
        let query = [
            ("Filter.1.Name".to_owned(), "attachment.instance-id".to_owned()),
            ("Filter.1.Value.1".to_owned(), instance.to_owned()),
        ];
        pages(self.client(), instance, Action::DescribeVolumes, &query, |document| {
            items(document, "volumeSet").filter_map(|item| volume(item, instance)).collect()
        })
    }
}

fn volume(item: Node<'_, '_>, instance: &str) -> Option<Volume> {
    // One that several instances share has a device in each.
    let attached =
        items(item, "attachmentSet").find(|it| text(*it, "instanceId").as_deref() == Some(instance))?;
    let number = |name: &str| text(item, name).and_then(|text| text.parse().ok());
    Some(Volume {
        id: text(item, "volumeId")?,
        device: text(attached, "device")?,
        kind: text(item, "volumeType")?,
        gib: text(item, "size")?.parse().ok()?,
        iops: number("iops"),
        mibps: number("throughput"),
    })
}
