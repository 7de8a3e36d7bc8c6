//! Points on their way from and to where a batch of additions has them, eight at a time.

use super::lanes::{Fe8, V, set1};
use super::transpose::lane_transpose;
use crate::curve::Affine;
use crate::field::Base;
use crate::places::Tagged;
use std::arch::x86_64::*;

type Lanes = Fe8<Base>;

/// Which points are negated.
#[inline(always)]
pub(super) unsafe fn signs(places: &[Tagged; 8]) -> u8 {
    unsafe {
        let pointers = _mm512_loadu_si512(places.as_ptr().cast());
        _mm512_test_epi64_mask(pointers, set1(1))
    }
}

/// The words of eight abscissas: register `k` holds word `k` of each.
#[inline(always)]
pub(super) unsafe fn load_x(places: &[Tagged; 8]) -> [V; 4] {
    unsafe {
        let pair = |i: usize| {
            _mm512_inserti64x4::<1>(
                _mm512_castsi256_si512(_mm256_loadu_si256(places[i].point().cast())),
                _mm256_loadu_si256(places[i + 4].point().cast()),
            )
        };
        let r = [pair(0), pair(1), pair(2), pair(3)];
        let t0 = _mm512_unpacklo_epi64(r[0], r[1]);
        let t1 = _mm512_unpackhi_epi64(r[0], r[1]);
        let t2 = _mm512_unpacklo_epi64(r[2], r[3]);
        let t3 = _mm512_unpackhi_epi64(r[2], r[3]);
        let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
        let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
        [
            _mm512_permutex2var_epi64(t0, low, t2),
            _mm512_permutex2var_epi64(t1, low, t3),
            _mm512_permutex2var_epi64(t0, high, t2),
            _mm512_permutex2var_epi64(t1, high, t3),
        ]
    }
}

#[inline(always)]
pub(super) unsafe fn load_words(places: &[Tagged; 8]) -> [V; 8] {
    unsafe {
        let mut rows = [_mm512_setzero_si512(); 8];
        for (row, place) in rows.iter_mut().zip(places) {
            *row = _mm512_loadu_si512(place.point().cast());
        }
        transpose(rows)
    }
}

#[inline(always)]
pub(super) unsafe fn load_points(places: &[Tagged; 8]) -> (Lanes, Lanes) {
    unsafe {
        let w = load_words(places);
        (
            Lanes::unpack([w[0], w[1], w[2], w[3]]),
            Lanes::unpack([w[4], w[5], w[6], w[7]]),
        )
    }
}

#[inline(always)]
pub(super) unsafe fn store_points(places: &[*mut Affine; 8], x: Lanes, y: Lanes) {
    unsafe {
        let (x, y) = (x.pack(), y.pack());
        let rows = transpose([x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]]);
        for (place, row) in places.iter().zip(rows) {
            _mm512_storeu_si512(place.cast(), row);
        }
    }
}

/// Transposes 8 by 8 words.
#[inline(always)]
unsafe fn transpose(r: [V; 8]) -> [V; 8] {
    unsafe {
        let even = lane_transpose([
            _mm512_unpacklo_epi64(r[0], r[1]),
            _mm512_unpacklo_epi64(r[2], r[3]),
            _mm512_unpacklo_epi64(r[4], r[5]),
            _mm512_unpacklo_epi64(r[6], r[7]),
        ]);
        let odd = lane_transpose([
            _mm512_unpackhi_epi64(r[0], r[1]),
            _mm512_unpackhi_epi64(r[2], r[3]),
            _mm512_unpackhi_epi64(r[4], r[5]),
            _mm512_unpackhi_epi64(r[6], r[7]),
        ]);
        [
            even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3],
        ]
    }
}
