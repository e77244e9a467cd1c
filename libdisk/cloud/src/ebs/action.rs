//! What AWS is asked, by the names that policies have for it.

/// A request to AWS. Each is allowed by its name ("Actions, resources, and condition keys" for Amazon Elastic Block
/// Store, Amazon EC2, AWS Security Token Service and AWS Organizations, Service Authorization Reference, 2026).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The blocks that a snapshot has.
    ListSnapshotBlocks,
    /// The blocks that differ between two.
    ListChangedBlocks,
    /// A block.
    GetSnapshotBlock,
    /// The instances of an account, and the volumes of one.
    DescribeInstances,
    /// What is known of snapshots, and which ones a volume has.
    DescribeSnapshots,
    /// What the volumes of an instance are given.
    DescribeVolumes,
    /// The credentials of a role.
    AssumeRole,
    /// The accounts of an organization.
    ListAccounts,
}

impl Action {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::ListSnapshotBlocks,
        Self::ListChangedBlocks,
        Self::GetSnapshotBlock,
        Self::DescribeInstances,
        Self::DescribeSnapshots,
        Self::DescribeVolumes,
        Self::AssumeRole,
        Self::ListAccounts,
    ];

    /// As a policy allows it: `ec2:DescribeVolumes`.
    pub fn permission(self) -> &'static str {
        match self {
            Self::ListSnapshotBlocks => "ebs:ListSnapshotBlocks",
            Self::ListChangedBlocks => "ebs:ListChangedBlocks",
            Self::GetSnapshotBlock => "ebs:GetSnapshotBlock",
            Self::DescribeInstances => "ec2:DescribeInstances",
            Self::DescribeSnapshots => "ec2:DescribeSnapshots",
            Self::DescribeVolumes => "ec2:DescribeVolumes",
            Self::AssumeRole => "sts:AssumeRole",
            Self::ListAccounts => "organizations:ListAccounts",
        }
    }

    /// As it is asked for: `DescribeVolumes`.
    pub(super) fn name(self) -> &'static str {
        let permission = self.permission();
        permission.split_once(':').map_or(permission, |(_, name)| name)
    }
}
