//! Encodings of many points, in parallel.

use crate::curve::{Affine, COORDINATE_BYTES, Encoded, POINT_BYTES};
#[cfg(target_arch = "x86_64")]
use crate::{avx2, field::Fp, ifma};
use rayon::prelude::*;

/// Points per parallel task of the encodings; each costs microseconds.
const ENCODING_CHUNK: usize = 256;

/// Encodes points, in parallel.
pub fn compress(points: &[Affine], out: &mut [u8]) {
    assert_eq!(points.len() * POINT_BYTES, out.len());
    points
        .par_chunks(ENCODING_CHUNK)
        .zip(out.par_chunks_mut(ENCODING_CHUNK * POINT_BYTES))
        .for_each(|(points, out)| {
            for (p, o) in points.iter().zip(out.chunks_exact_mut(POINT_BYTES)) {
                o.copy_from_slice(&p.to_bytes());
            }
        });
}

/// Decodes points on at most so many threads; `None` where any encoding is bad or the length is no
/// multiple.
pub fn decompress(data: &[u8], threads: usize) -> Option<Vec<Affine>> {
    let (encodings, rest) = data.as_chunks::<POINT_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    if encodings.len() <= ENCODING_CHUNK || threads <= 1 {
        return decode(encodings); // the pool may be busy
    }
    let each = if threads < rayon::current_num_threads() {
        encodings.len().div_ceil(threads).max(ENCODING_CHUNK)
    } else {
        ENCODING_CHUNK
    };
    let parts: Option<Vec<Vec<Affine>>> = encodings.par_chunks(each).map(decode).collect();
    Some(parts?.concat())
}

/// Decodes points, one group after the other.
fn decode(encodings: &[[u8; POINT_BYTES]]) -> Option<Vec<Affine>> {
    let (groups, rest) = encodings.as_chunks::<16>();
    let mut out = Vec::with_capacity(encodings.len());
    for group in groups {
        out.extend(decode_group(group)?);
    }
    for bytes in rest {
        out.push(Affine::from_bytes(bytes)?);
    }
    Some(out)
}

/// Writes the coordinates of points, in parallel.
pub fn coordinates(points: &[Affine], out: &mut [u8]) {
    assert_eq!(points.len() * COORDINATE_BYTES, out.len());
    points
        .par_chunks(ENCODING_CHUNK)
        .zip(out.par_chunks_mut(ENCODING_CHUNK * COORDINATE_BYTES))
        .for_each(|(points, out)| {
            for (p, o) in points.iter().zip(out.chunks_exact_mut(COORDINATE_BYTES)) {
                o.copy_from_slice(&p.to_coordinates());
            }
        });
}

/// Reads coordinates, in parallel; `None` where any are no point or the length is no multiple.
pub fn from_coordinates(data: &[u8]) -> Option<Vec<Affine>> {
    let (pairs, rest) = data.as_chunks::<COORDINATE_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let point = Affine::from_coordinates;
    pairs
        .par_iter()
        .with_min_len(ENCODING_CHUNK)
        .map(point)
        .collect()
}

/// Sixteen points, where the processor allows with their square roots side by side.
fn decode_group(group: &[[u8; POINT_BYTES]; 16]) -> Option<Vec<Affine>> {
    #[cfg(target_arch = "x86_64")]
    if ifma::available() || avx2::available() {
        let encoded: Vec<Encoded> = group.iter().map(Encoded::parse).collect::<Option<_>>()?;
        let squares = std::array::from_fn(|i| encoded[i].square());
        let exponent = Fp::sqrt_exponent();
        // SAFETY: the instructions exist.
        let powers = unsafe {
            if ifma::available() {
                ifma::power(&squares, &exponent)
            } else {
                avx2::power(&squares, &exponent)
            }
        };
        return encoded
            .iter()
            .zip(squares.iter().zip(&powers))
            .map(|(e, (square, power))| e.finish(square.sqrt_from_power(power)))
            .collect();
    }
    group.iter().map(Affine::from_bytes).collect()
}
