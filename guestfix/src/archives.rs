//! Initramfs images, parsed once each however many rules ask.

/// A cache of parsed initramfs images, by the digest of their bytes.
#[derive(Default)]
pub struct Archives;
