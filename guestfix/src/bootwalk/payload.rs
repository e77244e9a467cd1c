//! Whether the body of a bzImage is what its build made: by the checksum at its end, and where that does not
//! fit, by unpacking the compressed kernel, as newer builds have no checksum, and programs that sign a kernel
//! may change its header.

use std::io;

use initramfs::Codec;

use crate::kernel_image::{HEAD, KernelImage};
use crate::{Result, View};

/// Read at once.
const PART: usize = 1 << 20;
/// The largest body that is read, in bytes; real ones are a tenth.
const MOST: u64 = 128 << 20;
/// The largest kernel that comes out, in bytes.
const UNPACKED: u64 = 1 << 30;
/// What a CRC-32 over data with its own CRC behind it comes to, the last inversion left out (Linux,
/// `Documentation/arch/x86/boot.rst`, "The image checksum").
const FITS: u32 = 0xffff_ffff;

/// What is wrong with the body; `None` if it is whole, or of a form that nobody checks.
pub(super) fn damage(view: &dyn View, path: &str, image: &KernelImage) -> Result<Option<&'static str>> {
    let Some(body) = image.body.as_ref().filter(|body| body.end <= MOST) else { return Ok(None) };
    let mut head = view.range(path, 0, HEAD)?.unwrap_or_default();
    // A signature is put in after the checksum.
    for field in &body.signed {
        let zeros = usize::try_from(field.start).ok().zip(usize::try_from(field.end).ok());
        if let Some(bytes) = zeros.and_then(|(start, end)| head.get_mut(start..end)) {
            bytes.fill(0);
        }
    }
    let mut sum = crc32fast::Hasher::new();
    let first = head.len().min(usize::try_from(body.end).unwrap_or(HEAD));
    sum.update(head.get(..first).unwrap_or_default());
    let mut at = first as u64;
    while at < body.end {
        let len = usize::try_from(body.end.saturating_sub(at)).unwrap_or(PART).min(PART);
        let Some(part) = view.range(path, at, len)?.filter(|part| !part.is_empty()) else { break };
        sum.update(&part);
        at = at.saturating_add(part.len() as u64);
    }
    if sum.finalize() == FITS {
        return Ok(None);
    }
    let len = usize::try_from(body.payload.end.saturating_sub(body.payload.start)).unwrap_or(0);
    let packed = view.range(path, body.payload.start, len)?.unwrap_or_default();
    Ok(match Codec::detect(&packed) {
        Some(codec) if codec.unpack_into(&packed, UNPACKED, "the kernel", &mut io::sink()).is_err() => {
            Some("its compressed kernel is damaged: it does not unpack")
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KERNEL, RELEASE, debian};
    use super::*;
    use crate::kernel_image::testing::bz_image;

    fn damage_of(file: &[u8]) -> Option<&'static str> {
        let image = KernelImage::parse(file).unwrap();
        debian().file(KERNEL, file).guest(|guest| damage(guest.view, KERNEL, &image).unwrap())
    }

    #[test]
    fn a_body_that_was_changed_is_seen() {
        let image = bz_image(RELEASE);
        assert_eq!(damage_of(&image), None);
        for at in [0xa14, 0xb00, image.len() - 2] {
            let mut image = image.clone();
            image[at] ^= 0x55;
            assert_eq!(
                damage_of(&image),
                Some("its compressed kernel is damaged: it does not unpack"),
                "{at:#x}"
            );
        }
    }

    /// The kernel of this machine, if it has one: built, and signed, by others.
    #[test]
    fn real_kernels_are_whole() {
        let boot = std::fs::read_dir("/boot").into_iter().flatten().flatten();
        for path in boot.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("/vmlinuz-"))
        {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            assert_eq!(damage_of(&bytes), None, "{}", path.display());
        }
    }
}
