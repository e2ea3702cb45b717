//! The two matrix products of attention: of queries and keys, and of weights and values.
//!
//! A general product copies both matrices first. For the few queries of a token that takes several
//! times as long as the product, so theirs is computed where keys and values lie.

use pulp::{Arch, Simd, WithSimd};
use tract_core::internal::tract_ndarray::linalg::general_mat_mul;
use tract_core::internal::tract_ndarray::{ArrayView2, ArrayViewMut2};

/// Queries up to which copies do not pay.
const FEW: usize = 8;

/// Scores `[R, T]`, the products of queries `[R, D]` and keys `[T, D]`.
pub(super) fn scores(q: &ArrayView2<f32>, k: &ArrayView2<f32>, into: &mut ArrayViewMut2<f32>) {
    let Some(keys) = k.to_slice().filter(|k| q.nrows() <= FEW && !k.is_empty()) else {
        return general_mat_mul(1.0, q, &k.t(), 0.0, into);
    };
    for (query, mut into) in q.rows().into_iter().zip(into.rows_mut()) {
        match (query.to_slice(), into.as_slice_mut()) {
            (Some(query), Some(into)) => {
                Arch::new().dispatch(Dots { vector: query, rows: keys, into });
            }
            _ => into.assign(&k.dot(&query)),
        }
    }
}

/// Adds values `[T, D]` times their weights `[R, T]` to sums `[R, D]`.
pub(super) fn add_weighted(
    weights: &ArrayView2<f32>,
    v: &ArrayView2<f32>,
    sums: &mut ArrayViewMut2<f32>,
) {
    let Some(values) = v.to_slice().filter(|v| weights.nrows() <= FEW && !v.is_empty()) else {
        return general_mat_mul(1.0, weights, v, 1.0, sums);
    };
    for (weights, mut sums) in weights.rows().into_iter().zip(sums.rows_mut()) {
        match (weights.to_slice(), sums.as_slice_mut()) {
            (Some(weights), Some(sums)) => {
                Arch::new().dispatch(AddWeighted { weights, rows: values, to: sums });
            }
            _ => sums += &weights.dot(v),
        }
    }
}

/// The products of a vector and the rows of a matrix.
struct Dots<'a> {
    vector: &'a [f32],
    rows: &'a [f32],
    into: &'a mut [f32],
}

impl WithSimd for Dots<'_> {
    type Output = ();

    #[allow(clippy::inline_always)] // the caller has the instructions
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (vector, vector_rest) = S::as_simd_f32s(self.vector);
        for (row, into) in self.rows.chunks_exact(self.vector.len()).zip(self.into) {
            let (row, row_rest) = S::as_simd_f32s(row);
            let mut sum = simd.splat_f32s(0.0);
            for (a, b) in vector.iter().zip(row) {
                sum = simd.mul_add_f32s(*a, *b, sum);
            }
            let rest: f32 = vector_rest.iter().zip(row_rest).map(|(a, b)| a * b).sum();
            *into = simd.reduce_sum_f32s(sum) + rest;
        }
    }
}

/// The rows of a matrix, each times its weight, added to a vector.
struct AddWeighted<'a> {
    weights: &'a [f32],
    rows: &'a [f32],
    to: &'a mut [f32],
}

impl WithSimd for AddWeighted<'_> {
    type Output = ();

    #[allow(clippy::inline_always)] // the caller has the instructions
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = self.to.len();
        let (sums, sums_rest) = S::as_mut_simd_f32s(self.to);
        for (row, &weight) in self.rows.chunks_exact(columns).zip(self.weights) {
            let (row, row_rest) = S::as_simd_f32s(row);
            let weights = simd.splat_f32s(weight);
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = simd.mul_add_f32s(weights, *value, *sum);
            }
            for (sum, value) in sums_rest.iter_mut().zip(row_rest) {
                *sum += weight * value;
            }
        }
    }
}
