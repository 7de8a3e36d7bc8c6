//! Which of the machine's vector instructions kernels may use.

use std::ffi::OsStr;
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

/// What `VERACITY_PORTABLE` leaves.
pub(crate) fn allowed() -> Kernels {
    static ALLOWED: OnceLock<Kernels> = OnceLock::new();
    *ALLOWED.get_or_init(|| left_by(std::env::var_os("VERACITY_PORTABLE").as_deref()))
}

/// `1` turns AVX-512 off, `plain` AVX2 as well.
fn left_by(asked: Option<&OsStr>) -> Kernels {
    match asked.and_then(OsStr::to_str) {
        Some("1") => Kernels::Avx2,
        Some("plain") => Kernels::Plain,
        _ => Kernels::Avx512,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernels, left_by};

    #[test]
    fn values_of_the_variable() {
        let of = |asked: &str| left_by(Some(asked.as_ref()));
        assert!(of("plain") == Kernels::Plain && of("1") == Kernels::Avx2);
        assert!(left_by(None) == Kernels::Avx512 && of("0") == Kernels::Avx512);
        assert!(Kernels::Plain < Kernels::Avx2 && Kernels::Avx2 < Kernels::Avx512);
    }
}
