//! Volumes of Windows, which are recorded beside the checkout, and of ntfs-3g.

mod made;
mod mounted;
mod recorded;
