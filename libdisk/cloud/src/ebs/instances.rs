//! The instances of an account in a Region (DescribeInstances, Amazon EC2 API 2016-11-15).

use roxmltree::Node;

use super::ec2::{items, pages, text};
use super::{Action, Ebs};
use crate::retry::Failure;

/// Instances of a page; the service allows from 5 to 1000.
const PAGE: usize = 1000;

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Its type, as `m5.large`.
    pub kind: String,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
    /// How many volumes are attached to it.
    pub volumes: usize,
}

impl Ebs {
    /// The instances that have all of these tags and a volume, in the order of the service.
    ///
    /// # Errors
    /// What the service says.
    pub fn instances(&self, tags: &[(String, String)]) -> Result<Vec<Instance>, Failure> {
        let filters = tags.iter().zip(1_u32..).flat_map(|((key, value), n)| {
            [
                (format!("Filter.{n}.Name"), format!("tag:{key}")),
                (format!("Filter.{n}.Value.1"), value.clone()),
            ]
        });
        let query: Vec<_> = filters.chain([("MaxResults".to_owned(), PAGE.to_string())]).collect();
        let mut all = pages(self.client(), "instances", Action::DescribeInstances, &query, |document| {
            let reservations = items(document, "reservationSet");
            reservations.flat_map(|one| items(one, "instancesSet")).map(instance).collect()
        })?;
        // What starts from an instance store has no volume, and so no snapshot.
        all.retain(|instance| instance.volumes > 0);
        Ok(all)
    }
}

fn instance(item: Node<'_, '_>) -> Instance {
    let of = |name: &str| text(item, name).unwrap_or_default();
    let tags = items(item, "tagSet").filter_map(|tag| Some((text(tag, "key")?, text(tag, "value")?)));
    Instance {
        id: of("instanceId"),
        kind: of("instanceType"),
        tags: tags.collect(),
        volumes: items(item, "blockDeviceMapping").count(),
    }
}
