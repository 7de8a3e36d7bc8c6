//! Small integers against field elements: 16-bit digits times 10-bit digits.

use super::machine::kernel;
use super::pack::{DEEP, EIGHT, Rows, Sums, TILE, VECTORS, blank, columns, multiply, rows};
use crate::digits::{ColumnDigits, DIGITS, HALF, Line, Piece, planes};
use crate::field::{Fq, Modulus, Order};
use crate::small::Small;

/// Sums of a tile: for each vector, of half of the digits.
type TileSums = [[Sums<HALF>; 2]; VECTORS];

/// `p 2^50` in limbs of 64 bits: more than any sum of digits' sums is below zero.
const ABOVE: [u64; 5] = {
    let p = Order::MODULUS;
    let mut limbs = [0; 5];
    let mut i = 0;
    while i < 4 {
        limbs[i] |= p[i] << 50;
        limbs[i + 1] |= p[i] >> 14;
        i += 1;
    }
    limbs
};

/// `sum_k sums(k) 2^(10 k)`, as the Montgomery form of an element; sums are below 2^52.
#[inline(always)]
fn combine(sums: impl Fn(usize) -> i64) -> Fq {
    let mut words = ABOVE.map(i128::from);
    for k in (0..DIGITS).step_by(2) {
        // Below 2^63; at most four of a word, shifted by at most 60 bits: below 2^125.
        let pair = sums(k) + (sums(k + 1) << 10);
        words[10 * k / 64] += i128::from(pair) << (10 * k % 64);
    }
    // The sum is below 2^303, so with `ABOVE` it is positive and below 2^306: no carry is left.
    let mut limbs = [0; 5];
    let mut carry = 0;
    for (limb, word) in limbs.iter_mut().zip(words) {
        let word = word + carry;
        *limb = word as u64;
        carry = word >> 64;
    }
    debug_assert_eq!(carry, 0);
    let [a, b, c, d, high] = limbs;
    Fq::from_montgomery_overflow([a, b, c, d], high)
}

/// The digits of a vector.
pub(crate) unsafe fn column_digits(v: &[Fq]) -> ColumnDigits {
    // SAFETY: as the caller says.
    ColumnDigits::new(v, |v| unsafe { cut(v) })
}

kernel! {
    /// [`crate::digits::cut`].
    unsafe fn cut(v: &[Fq]) -> [Line; DIGITS] {
        crate::digits::cut(v)
    }

    /// Outputs `start..` of arrays with one last axis, summed over the pieces: fewer than 2^28
    /// products an output, so that sums of digits' products, each below 2^24, are below 2^52.
    ///
    /// Where the last axis is not shorter than a tile, outputs are of one row.
    pub(crate) unsafe fn contract<T: Small>(
        pieces: &[Piece<'_, T, ColumnDigits>],
        start: usize,
        out: &mut [Fq],
    ) {
        let planes = const { planes::<T>() };
        let tiles = out.len().div_ceil(TILE);
        let outputs = |t: usize| TILE.min(out.len() - t * TILE);
        // Planes are added as they are met.
        let mut sums: Vec<TileSums> = Vec::with_capacity(planes * tiles);
        let mut tile = blank();
        let parts = pieces.iter().enumerate().flat_map(|(k, piece)| {
            (0..piece.1.len()).step_by(DEEP).map(move |from| (k, from))
        });
        let mut parts = parts.peekable();
        while let Some((k, from)) = parts.next() {
            let (m, range, digits) = &pieces[k];
            let width = DEEP.min(range.len() - from);
            let steps = width.div_ceil(2);
            let lies_apart = m.inner < TILE;
            let (o, column) = (start / m.inner, start % m.inner);
            let row = |k: usize, j: usize, t: usize| {
                let (m, range, _) = &pieces[k];
                &m.data[(o * m.n + range.start + j) * m.inner + column + t * TILE..][..outputs(t)]
            };
            let (next, stride) = match parts.peek() {
                Some(&(k, from)) if !lies_apart => (Some((k, from)), pieces[k].0.inner),
                _ => (None, 0),
            };
            for t in 0..tiles {
                for plane in 0..planes {
                    let found = unsafe {
                        if lies_apart {
                            let (first, outputs) = (start + t * TILE, outputs(t));
                            let from = range.start + from;
                            rows(&mut tile, plane, m, Rows { from, width, first, outputs })
                        } else {
                            columns(&mut tile, plane, width, |j| row(k, from + j, t))
                        }
                    };
                    if found.digits {
                        if sums.len() < (plane + 1) * tiles {
                            sums.resize((plane + 1) * tiles, [[[[0; EIGHT]; HALF]; 2]; VECTORS]);
                        }
                        let sums = &mut sums[plane * tiles + t];
                        let vectors = sums[..outputs(t).div_ceil(EIGHT)].iter_mut();
                        for (vector, sums) in vectors.enumerate() {
                            for (half, (digits, sums)) in digits.0.iter().zip(sums).enumerate() {
                                // What comes next is fetched meanwhile: its rows lie far apart.
                                let ahead = match next {
                                    Some((k, from)) if vector == 0 => row(k, from, t)
                                        .as_ptr()
                                        .wrapping_add(half * stride),
                                    _ => m.data.as_ptr(),
                                };
                                let apart = match vector {
                                    0 => 2 * stride * size_of::<T>(),
                                    _ => 0,
                                };
                                let digits = &digits[from / 2..];
                                let steps = (&tile[..steps], vector);
                                unsafe { multiply(steps, digits, sums, (ahead.cast(), apart)) };
                            }
                        }
                    }
                    if !found.higher {
                        break;
                    }
                }
            }
        }
        if sums.is_empty() {
            return out.fill(Fq::ZERO);
        }
        let used = sums.len() / tiles;
        for (t, out) in out.chunks_mut(TILE).enumerate() {
            for (i, out) in out.iter_mut().enumerate() {
                let of_plane = |plane: usize| {
                    let sums = &sums[plane * tiles + t][i / EIGHT];
                    combine(|k| sums[k / HALF][k % HALF][i % EIGHT])
                };
                *out = of_plane(used - 1);
                for plane in (0..used - 1).rev() {
                    *out = out.times_u64(1 << 16) + of_plane(plane);
                }
            }
        }
    }
}
