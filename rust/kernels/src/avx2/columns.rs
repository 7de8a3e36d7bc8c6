//! Columns with signs, as elements.

use crate::field::{Fe, Modulus, Wide};

/// The sum over the lanes of `sum_k lanes[k] 2^(26 k) / R`.
pub(super) fn reduce<M: Modulus>(lanes: &[[i64; 4]; 20]) -> Fe<M> {
    let columns = lanes.map(|lanes| lanes.iter().map(|&x| i128::from(x)).sum());
    match digits(&columns) {
        Some(digits) => Wide::from_columns(digits).reduce(),
        None => {
            let negated = columns.map(|column: i128| -column);
            // The negative of a negative number is none.
            -Wide::from_columns(digits(&negated).unwrap_or_default()).reduce()
        }
    }
}

/// Digits to base 2^52, the last one with what is above it; `None` for negative numbers.
fn digits(columns: &[i128; 20]) -> Option<[u128; 10]> {
    let mut carry = 0i128;
    let mut out = [0; 10];
    for (k, digit) in out.iter_mut().enumerate() {
        carry += columns[2 * k] + (columns[2 * k + 1] << 26);
        if k == 9 {
            *digit = u128::try_from(carry).ok()?;
        } else {
            *digit = (carry & ((1 << 52) - 1)) as u128;
            carry >>= 52;
        }
    }
    Some(out)
}
