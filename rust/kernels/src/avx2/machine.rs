//! Which machines have the instructions, and functions compiled for them.

use crate::machine::{Kernels, allowed};
use std::sync::OnceLock;

/// Whether this machine has the instructions and nobody turned them off.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| allowed() >= Kernels::Avx2 && supported())
}

/// Whether this machine has the instructions.
pub(crate) fn supported() -> bool {
    is_x86_feature_detected!("avx2")
}

/// A kernel of this module: a function compiled for the instructions of [`available`].
macro_rules! kernel {
    ($($item:item)*) => {$(
        #[target_feature(enable = "avx2")]
        $item
    )*};
}
pub(super) use kernel;
