//! `cargo xtask demo-image`: the example inside the program, made by mke2fs and not by us.

use anyhow::{Context, Result, ensure};

use crate::top;

/// What the program may carry, in bytes.
const LIMIT: u64 = 4 << 20;

pub(crate) fn run() -> Result<()> {
    let guest = testimages::synthetic::demo();
    let target = top().join("tools/refloat/src/demo/ec2-guest.img.zst");
    let image = guest.path().context("a tool is missing")?;
    crate::run("zstd", &["-19", "-f", "-q", &image.to_string_lossy(), "-o", &target.to_string_lossy()])?;
    let size = std::fs::metadata(&target).context("the compressed example")?.len();
    ensure!(size <= LIMIT, "the example takes {size} bytes, more than {LIMIT}");
    println!("{}: {size} bytes", target.display());
    Ok(())
}
