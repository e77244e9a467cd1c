//! Operations that a record tells to do, or to take back (rust-fs-ntfs, "Opcodes and current dispatch").

use Opcode::*;

/// The operations by their numbers, from 0.
macro_rules! opcodes {
    ($($name:ident,)*) => {
        /// An operation. The names are the field's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Opcode {
            $($name,)*
        }

        const ALL: &[Opcode] = &[$($name,)*];
    };
}

opcodes! {
    Noop,
    CompensationLogRecord,
    InitializeFileRecordSegment,
    DeallocateFileRecordSegment,
    WriteEndOfFileRecordSegment,
    CreateAttribute,
    DeleteAttribute,
    UpdateResidentValue,
    UpdateNonresidentValue,
    UpdateMappingPairs,
    DeleteDirtyClusters,
    SetNewAttributeSizes,
    AddIndexEntryRoot,
    DeleteIndexEntryRoot,
    AddIndexEntryAllocation,
    DeleteIndexEntryAllocation,
    WriteEndOfIndexBuffer,
    SetIndexEntryVcnRoot,
    SetIndexEntryVcnAllocation,
    UpdateFileNameRoot,
    UpdateFileNameAllocation,
    SetBitsInNonresidentBitMap,
    ClearBitsInNonresidentBitMap,
    HotFix,
    EndTopLevelAction,
    PrepareTransaction,
    CommitTransaction,
    ForgetTransaction,
    OpenNonresidentAttribute,
    OpenAttributeTableDump,
    AttributeNamesDump,
    DirtyPageTableDump,
    TransactionTableDump,
    UpdateRecordDataRoot,
    UpdateRecordDataAllocation,
    UpdateRelativeDataInIndex,
    UpdateRelativeDataInIndex2,
    ZeroEndOfFileRecord,
}

/// What an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// No page: it is for analysis.
    Nothing,
    /// A record of the master file table.
    FileRecord,
    /// A node of an index.
    IndexBlock,
    /// The content of a stream, which in an index is a node.
    Content,
    /// No recovery by Windows has shown what it does.
    Unproven,
}

impl Opcode {
    pub(super) fn of(number: u16) -> Option<Self> {
        ALL.get(usize::from(number)).copied()
    }

    /// Whether the block keeps the number of the change before.
    pub(super) fn keeps_number(self) -> bool {
        matches!(self, UpdateFileNameRoot | UpdateFileNameAllocation | UpdateRecordDataRoot)
    }

    pub(super) fn target(self) -> Target {
        match self {
            Noop
            | ForgetTransaction
            | OpenNonresidentAttribute
            | OpenAttributeTableDump
            | AttributeNamesDump
            | DirtyPageTableDump
            | TransactionTableDump => Target::Nothing,
            InitializeFileRecordSegment
            | DeallocateFileRecordSegment
            | CreateAttribute
            | DeleteAttribute
            | UpdateResidentValue
            | UpdateMappingPairs
            | SetNewAttributeSizes
            | AddIndexEntryRoot
            | DeleteIndexEntryRoot
            | SetIndexEntryVcnRoot
            | UpdateFileNameRoot
            | UpdateRecordDataRoot
            | ZeroEndOfFileRecord => Target::FileRecord,
            AddIndexEntryAllocation
            | DeleteIndexEntryAllocation
            | WriteEndOfIndexBuffer
            | SetIndexEntryVcnAllocation
            | UpdateFileNameAllocation => Target::IndexBlock,
            UpdateNonresidentValue | SetBitsInNonresidentBitMap | ClearBitsInNonresidentBitMap => {
                Target::Content
            }
            CompensationLogRecord
            | WriteEndOfFileRecordSegment
            | DeleteDirtyClusters
            | HotFix
            | EndTopLevelAction
            | PrepareTransaction
            | CommitTransaction
            | UpdateRecordDataAllocation
            | UpdateRelativeDataInIndex
            | UpdateRelativeDataInIndex2 => Target::Unproven,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_format() {
        let numbered =
            [(0x07, UpdateResidentValue), (0x15, SetBitsInNonresidentBitMap), (0x1b, ForgetTransaction)];
        for (number, opcode) in numbered.into_iter().chain([(0x25, ZeroEndOfFileRecord)]) {
            assert_eq!(Opcode::of(number), Some(opcode));
        }
        assert_eq!(Opcode::of(0x26), None);
    }
}
