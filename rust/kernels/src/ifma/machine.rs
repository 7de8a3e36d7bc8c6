//! Which machines have the instructions, and functions compiled for them.

use crate::machine::{Kernels, allowed};
use std::sync::OnceLock;

/// Whether this machine has the instructions and nobody turned them off.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| allowed() >= Kernels::Avx512 && supported())
}

/// Whether this machine has the instructions.
pub(crate) fn supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("avx512vnni")
}

/// A kernel of this module: a function compiled for the instructions of [`available`].
macro_rules! kernel {
    ($($item:item)*) => {$(
        #[target_feature(
            enable = "avx512f,avx512dq,avx512bw,avx512vl,avx512ifma,avx512vbmi2,avx512vnni"
        )]
        $item
    )*};
}
pub(super) use kernel;
