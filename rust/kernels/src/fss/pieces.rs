//! Functions by parabolas between knots, of values under masks.

use super::descend::visit;
use super::key::Shape;
use rayon::prelude::*;

/// Payload of the keys, and coefficients of a parabola: 1, x and x^2.
const POWERS: usize = 3;
/// Values of a task at least: one takes some microseconds.
const TASK: usize = 8;

/// Shares, by power of the mask and by coefficient, of the payload times the weights.
type Sums = [[u64; POWERS]; POWERS];

/// A function and the values to evaluate it at.
pub struct Pieces<'a> {
    /// Of comparison keys with the payload `(1, alpha, alpha^2)`, for 63 bits at most.
    pub shape: Shape,
    /// One key a value.
    pub keys: &'a [u8],
    /// The opened values.
    pub values: &'a [u64],
    /// A party's shares of the payloads.
    pub payloads: &'a [u64],
    /// Where the function changes.
    pub knots: &'a [u64],
    /// By how much, for each knot: coefficients below it less those above; all add up to zero.
    pub weights: &'a [u64],
}

impl Pieces<'_> {
    /// A party's share of `sum_m weights[m](u) [u < knots[m]]` for `u = value - alpha` modulo the
    /// domain's size.
    ///
    /// For an opened c, `[u < k] = [c - k < alpha] - [c < alpha] + [c < k]`, and the middle term
    /// cancels in the sum. Where `c < k` the point `c - k` tells values above alpha that went
    /// round, `u = c + size - alpha`, from all others.
    fn share(&self, party: usize, index: usize) -> u64 {
        let size = 1u64 << self.shape.bits();
        let c = self.values[index] & (size - 1);
        let key = &self.keys[index * self.shape.bytes()..][..self.shape.bytes()];
        let points: Vec<u64> = self.knots.iter().map(|k| c.wrapping_sub(*k)).collect();
        let (mut plain, mut around) = (Sums::default(), Sums::default());
        let payload = std::array::from_fn(|p| self.payloads[index * POWERS + p]);
        for (at, &knot) in self.knots.iter().enumerate() {
            if c < knot {
                self.add(&mut plain, payload, at);
            }
        }
        visit::<POWERS>(&self.shape, party, key, &points, |at, share, _| {
            let sums = if c < self.knots[at] {
                &mut around
            } else {
                &mut plain
            };
            self.add(sums, share, at);
        });
        assemble(&plain, c).wrapping_add(assemble(&around, c.wrapping_add(size)))
    }

    /// Adds a share of the payload times the weights of a knot.
    fn add(&self, sums: &mut Sums, share: [u64; POWERS], at: usize) {
        let weights = &self.weights[at * POWERS..][..POWERS];
        for (sums, share) in sums.iter_mut().zip(share) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(share.wrapping_mul(*weight));
            }
        }
    }
}

/// `sum a_q (c - r)^q` from shares `s[p][q]` of `r^p a_q`.
fn assemble(s: &Sums, c: u64) -> u64 {
    let constant = s[0][0].wrapping_sub(s[1][1]).wrapping_add(s[2][2]);
    let slope = s[0][1].wrapping_sub(s[1][2].wrapping_mul(2));
    let bend = s[0][2];
    constant.wrapping_add(c.wrapping_mul(slope.wrapping_add(c.wrapping_mul(bend))))
}

/// A party's shares of several functions, each of as many values as the others.
pub fn pieces(party: usize, all: &[Pieces<'_>]) -> Vec<u64> {
    let each = all.first().map_or(0, |one| one.values.len());
    let mut out = vec![0; all.len() * each];
    out.par_iter_mut()
        .with_min_len(TASK)
        .enumerate()
        .for_each(|(at, out)| *out = all[at / each].share(party, at % each));
    out
}
