//! Softmax(Q Kᵀ · scale + mask) V, a block of queries by a block of keys at a time.
//!
//! The scores of two blocks stay in the processor's cache; what is known of a query's softmax is
//! corrected with each block of keys: `FlashAttention`, Dao et al. 2022, arXiv:2205.14135. tract's
//! own (0.23.9) has blocks that are too small for its matrix products, and a scalar exponential.

use std::ops::Range;

use anyhow::{Context, ensure};
use tract_core::internal::tract_ndarray::{
    Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayView4, ArrayViewMut2, Axis, Ix2, Ix3, Ix4,
    SliceInfo, SliceInfoElem, s,
};
use tract_core::prelude::Tensor;
use tract_linalg::routines::Func;

use super::products;
use crate::workers::map;

/// Queries of a block, those of the heads that share keys counted each.
const QUERIES: usize = 128;
/// Keys of a block.
const KEYS: usize = 256;
/// What a mask has where it hides a key: this, the lowest of float16, or less.
const HIDDEN: f32 = -65504.0;

/// How scores are made of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scores {
    /// By default one over the square root of the features.
    pub scale: Option<f32>,
    /// Whether a query sees no key after its own, the last query's being the last key.
    pub causal: bool,
}

/// What attention reads: queries `[B, H, S, D]`, keys and values `[B, K, T, D]`, where H is a
/// multiple of K, and a mask `[B or 1, H or 1, S, T]` that is added to the scores.
pub(super) struct Inputs<'a> {
    pub q: ArrayView4<'a, f32>,
    pub k: ArrayView4<'a, f32>,
    pub v: ArrayView4<'a, f32>,
    pub mask: Option<ArrayView4<'a, f32>>,
}

/// Queries of one element of the batch, of the heads that share keys.
struct Block {
    element: usize,
    heads: Range<usize>,
    queries: Range<usize>,
}

/// What is known of the softmax of some queries, keys by keys.
struct Softmax {
    largest: Vec<f32>,
    sums: Vec<f32>,
    /// Of values by the exponentials of their scores.
    weighted: Array2<f32>,
}

/// Attention, `[B, H, S, D]`.
pub(super) fn attend(scores: Scores, inputs: &Inputs) -> anyhow::Result<Array4<f32>> {
    let (batch, heads, queries, features) = inputs.q.dim();
    let shared = inputs.k.dim().1;
    ensure!(shared > 0 && heads % shared == 0, "{heads} heads of queries, {shared} of keys");
    ensure!(inputs.k.dim() == inputs.v.dim(), "keys and values differ");
    if let Some(mask) = &inputs.mask {
        let of_each = (mask.len_of(Axis(2)), mask.len_of(Axis(3)));
        ensure!(of_each == (queries, inputs.k.len_of(Axis(2))), "a mask of other queries or keys");
    }
    let group = heads / shared;
    let size = (QUERIES / group).max(1);
    let mut blocks = vec![];
    for element in 0..batch {
        for first in (0..heads).step_by(group) {
            blocks.extend((0..queries).step_by(size).map(|query| Block {
                element,
                heads: first..first + group,
                queries: query..queries.min(query + size),
            }));
        }
    }
    let computed = map(&blocks, |block| block.attend(scores, inputs))?;
    let mut output = Array4::zeros((batch, heads, queries, features));
    for (block, computed) in blocks.iter().zip(computed) {
        output.slice_mut(block.own()).assign(&computed);
    }
    Ok(output)
}

impl Block {
    /// Its attention, `[heads, queries, D]`.
    #[allow(clippy::cast_precision_loss)] // features are few
    fn attend(&self, scores: Scores, inputs: &Inputs) -> anyhow::Result<Array3<f32>> {
        let head = self.heads.start * inputs.k.dim().1 / inputs.q.dim().1;
        let keys = inputs.k.slice(s![self.element, head, .., ..]);
        let values = inputs.v.slice(s![self.element, head, .., ..]);
        let features = keys.ncols();
        let scale = scores.scale.unwrap_or_else(|| (features as f32).sqrt().recip());
        let queries = inputs.q.slice(self.own()).mapv(|value| value * scale);
        let shape = queries.raw_dim();
        let rows = self.heads.len() * self.queries.len();
        let queries = queries.into_shape_with_order((rows, features))?;

        let mut softmax = Softmax::new(rows, features);
        // Of tract's alignment: what its routines sum in which order depends on it.
        let mut products = Tensor::zero::<f32>(&[rows, KEYS])?;
        let mut products =
            products.to_plain_array_view_mut::<f32>()?.into_dimensionality::<Ix2>()?;
        let visible = self.visible(scores, inputs);
        for first in visible.clone().step_by(KEYS) {
            let block = first..visible.end.min(first + KEYS);
            let mut products = products.slice_mut(s![.., ..block.len()]);
            let keys = keys.slice(s![block.clone(), ..]);
            products::scores(&queries.view(), &keys, &mut products);
            self.mask(scores, inputs, &block, &mut products);
            softmax.add(products, &values.slice(s![block, ..]))?;
        }
        Ok(softmax.mean().into_shape_with_order(shape)?)
    }

    /// Where its queries, and their attention, are.
    fn own(&self) -> SliceInfo<[SliceInfoElem; 4], Ix4, Ix3> {
        s![self.element, self.heads.clone(), self.queries.clone(), ..]
    }

    /// The rows of the mask that are for its queries: those of a head, or of each.
    fn masks<'a>(&self, mask: &ArrayView4<'a, f32>) -> ArrayView3<'a, f32> {
        let element = self.element.min(mask.len_of(Axis(0)) - 1);
        let heads = if mask.len_of(Axis(1)) == 1 { 0..1 } else { self.heads.clone() };
        mask.slice_move(s![element, heads, self.queries.clone(), ..])
    }

    /// From the first to the last key that one of its queries sees.
    fn visible(&self, scores: Scores, inputs: &Inputs) -> Range<usize> {
        let (queries, keys) = (inputs.q.len_of(Axis(2)), inputs.k.len_of(Axis(2)));
        let Some(mask) = &inputs.mask else {
            let unseen = if scores.causal { queries - self.queries.end } else { 0 };
            return 0..keys.saturating_sub(unseen);
        };
        let (mut first, mut end) = (keys, 0);
        for row in self.masks(mask).rows() {
            let Some(start) = row.iter().position(|&mask| mask > HIDDEN) else {
                return 0..keys; // to a query from which all are hidden, all are alike
            };
            first = first.min(start);
            end = end.max(keys - row.iter().rev().position(|&mask| mask > HIDDEN).unwrap_or(0));
        }
        first..end
    }

    /// Adds the mask to the scores of its queries, rows head by head, and a block of keys.
    fn mask(
        &self,
        scores: Scores,
        inputs: &Inputs,
        keys: &Range<usize>,
        rows: &mut ArrayViewMut2<f32>,
    ) {
        if let Some(mask) = &inputs.mask {
            let masks = self.masks(mask);
            let repeated = masks.rows().into_iter().cycle();
            for (mut row, mask) in rows.rows_mut().into_iter().zip(repeated) {
                row += &mask.slice(s![keys.clone()]);
            }
        } else if scores.causal {
            let all = inputs.k.len_of(Axis(2)) - keys.start;
            let unseen = (0..self.heads.len()).flat_map(|_| {
                self.queries.clone().map(|query| inputs.q.len_of(Axis(2)) - query - 1)
            });
            for (mut row, unseen) in rows.rows_mut().into_iter().zip(unseen) {
                let seen = all.saturating_sub(unseen).min(keys.len());
                row.slice_mut(s![seen..]).fill(f32::NEG_INFINITY);
            }
        }
    }
}

impl Softmax {
    fn new(rows: usize, features: usize) -> Softmax {
        Softmax {
            largest: vec![f32::NEG_INFINITY; rows],
            sums: vec![0.0; rows],
            weighted: Array2::zeros((rows, features)),
        }
    }

    /// Goes on with the scores `[rows, T]` of more keys, and their values `[T, D]`.
    fn add(
        &mut self,
        mut scores: ArrayViewMut2<f32>,
        values: &ArrayView2<f32>,
    ) -> anyhow::Result<()> {
        let (largest_of, exp_and_sum) =
            (Func::ReduceMax.reduce_f32()?, Func::Softmax2.map_reduce_f32()?);
        for (i, mut row) in scores.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().context("keys lie side by side")?;
            let largest = self.largest[i].max(largest_of.run(row)?);
            if largest == f32::NEG_INFINITY {
                row.fill(0.0); // none of its keys is seen so far
                continue;
            }
            let kept = (self.largest[i] - largest).exp();
            self.largest[i] = largest;
            self.sums[i] = self.sums[i] * kept + exp_and_sum.run_with_params(row, largest)?;
            self.weighted.row_mut(i).mapv_inplace(|value| value * kept);
        }
        products::add_weighted(&scores.view(), values, &mut self.weighted.view_mut());
        Ok(())
    }

    /// The mean of the values, `[rows, D]`, weighted by the softmax.
    fn mean(mut self) -> Array2<f32> {
        for (mut row, sum) in self.weighted.rows_mut().into_iter().zip(self.sums) {
            row /= sum;
        }
        self.weighted
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    /// Numbers between -1 and 1 without a pattern.
    fn noise(shape: (usize, usize, usize, usize), seed: u64) -> Array4<f32> {
        let mut state = seed;
        Array4::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
    }

    /// The same by the definition, a query at a time and in float64.
    fn defined(scores: Scores, inputs: &Inputs) -> Array4<f32> {
        let (_, heads, queries, features) = inputs.q.dim();
        let (_, shared, keys, _) = inputs.k.dim();
        let scale = scores.scale.map_or(1.0 / (features as f64).sqrt(), f64::from);
        Array4::from_shape_fn(inputs.q.dim(), |(element, head, query, feature)| {
            let own = head * shared / heads;
            let score = |key: usize| {
                let products = (0..features).map(|d| {
                    f64::from(
                        inputs.q[[element, head, query, d]] * inputs.k[[element, own, key, d]],
                    )
                });
                let added = match &inputs.mask {
                    Some(mask) => {
                        mask[[
                            element % mask.len_of(Axis(0)),
                            head % mask.len_of(Axis(1)),
                            query,
                            key,
                        ]]
                    }
                    None if scores.causal && key + queries > keys + query => f32::NEG_INFINITY,
                    None => 0.0,
                };
                products.sum::<f64>() * scale + f64::from(added)
            };
            let scores: Vec<f64> = (0..keys).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights = scores.iter().map(|score| (score - largest).exp());
            let sum: f64 = weights.clone().sum();
            let weighted = weights
                .enumerate()
                .map(|(key, weight)| weight * f64::from(inputs.v[[element, own, key, feature]]));
            (weighted.sum::<f64>() / sum) as f32
        })
    }

    fn check(
        (batch, heads, shared): (usize, usize, usize),
        (queries, keys, features): (usize, usize, usize),
        scores: Scores,
        mask: Option<&Array4<f32>>,
    ) {
        let q = noise((batch, heads, queries, features), 1) * 4.0;
        let k = noise((batch, shared, keys, features), 2);
        let v = noise((batch, shared, keys, features), 3);
        let mask = mask.map(|mask| mask.view());
        let inputs = Inputs { q: q.view(), k: k.view(), v: v.view(), mask };
        let expected = defined(scores, &inputs);
        let found = attend(scores, &inputs).unwrap();
        let farthest = (&found - &expected).iter().fold(0f32, |most, x| most.max(x.abs()));
        // `max` drops NaN, which neither may have.
        assert!(found.iter().all(|x| x.is_finite()) && farthest < 2e-6, "{farthest}");
    }

    #[test]
    fn attention_is_as_defined() {
        for scores in
            [Scores { scale: None, causal: false }, Scores { scale: Some(0.3), causal: true }]
        {
            check((1, 1, 1), (1, 1, 1), scores, None);
            check((2, 6, 2), (7, 7, 5), scores, None);
            check((1, 6, 2), (1, 600, 16), scores, None);
            check((1, 3, 3), (130, 513, 3), scores, None);
            check((1, 300, 1), (2, 9, 4), scores, None);
            check((2, 8, 2), (2, 301, 19), scores, None);
            check((1, 9, 1), (1, 301, 19), scores, None);
        }
    }

    #[test]
    fn attention_with_masks() {
        let scores = Scores { scale: None, causal: false };
        for hidden in [f32::NEG_INFINITY, f32::MIN, HIDDEN] {
            // A window, as wide as no block is, for each of the heads, for one, and for two elements.
            for (batch, heads) in [(1, 1), (1, 4), (2, 4)] {
                let mut mask = noise((batch, heads, 140, 700), 4);
                for ((.., query, key), mask) in mask.indexed_iter_mut() {
                    if key > query + 560 || key + 30 < query + 560 {
                        *mask = hidden;
                    }
                }
                check((2, 4, 2), (140, 700, 2), scores, Some(&mask));
            }
        }
    }

    #[test]
    fn keys_are_alike_to_a_query_from_which_all_are_hidden() {
        let mut mask = Array4::zeros((1, 1, 3, 300));
        mask.slice_mut(s![.., .., 1, ..]).fill(f32::MIN);
        mask.slice_mut(s![.., .., 2, ..290]).fill(f32::MIN);
        check((1, 2, 1), (3, 300, 4), Scores { scale: None, causal: false }, Some(&mask));
    }

    #[test]
    fn attention_is_the_same_wherever_its_memory_is() {
        let (q, k) = (noise((1, 4, 1, 8), 1), noise((1, 2, 30, 8), 2));
        let inputs = Inputs { q: q.view(), k: k.view(), v: k.view(), mask: None };
        let attention = || attend(Scores { scale: None, causal: false }, &inputs).unwrap();
        let first = attention();
        let mut between = vec![];
        for i in 0..200 {
            between.push(vec![0u8; 16 * (i % 37) + 1]);
            assert_eq!(attention(), first);
        }
    }

    #[test]
    fn attention_to_nothing() {
        let scores = Scores { scale: None, causal: false };
        let (q, k) = (noise((1, 2, 3, 4), 1), noise((1, 2, 0, 4), 2));
        let inputs = Inputs { q: q.view(), k: k.view(), v: k.view(), mask: None };
        assert_eq!(attend(scores, &inputs).unwrap().dim(), (1, 2, 3, 4));
        let none = noise((1, 2, 0, 4), 1);
        let inputs = Inputs { q: none.view(), k: q.view(), v: q.view(), mask: None };
        assert_eq!(attend(scores, &inputs).unwrap().dim(), (1, 2, 0, 4));
    }
}
