//! Which of the machine's vector instructions kernels may use.

use std::sync::OnceLock;

/// Kernels to choose from, each with those before it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kernels {
    /// Plain Rust.
    Plain,
    /// AVX2, too.
    Avx2,
    /// AVX-512, too.
    Avx512,
}

/// What `VERACITY_PORTABLE` leaves: `1` turns AVX-512 off, `plain` AVX2 as well.
pub(crate) fn allowed() -> Kernels {
    static ALLOWED: OnceLock<Kernels> = OnceLock::new();
    *ALLOWED.get_or_init(|| match std::env::var_os("VERACITY_PORTABLE") {
        Some(asked) if asked == "1" => Kernels::Avx2,
        Some(asked) if asked == "plain" => Kernels::Plain,
        _ => Kernels::Avx512,
    })
}
