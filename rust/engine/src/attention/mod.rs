//! Attention as tract's operators for it are defined, in less time.

mod kernel;
mod products;

use std::borrow::Cow;

use anyhow::{Context, bail};
use tract_core::internal::tract_ndarray::{ArrayView4, Axis, Ix4};
use tract_core::internal::{
    EvalContext, EvalOp, LaneId, Op, OpState, StaticName, TValue, TVec, Tensor, TractResult,
    TurnState, as_op, not_out_of_plan, op_as_typed_op, op_out_of_plan, tvec,
};
use tract_core::prelude::{IntoTValue, IntoTensor, TypedFact, TypedOp};
use tract_transformers::ops::dyn_kv_cache::DynKeyValueCacheState;
use tract_transformers::ops::flash_sdpa::FlashSdpaOp;
use tract_transformers::ops::inplace_kv_cache::{InPlaceKvCache, InPlaceKvSdpa};

use kernel::{Inputs, Scores, attend};

/// What computes the same as an operator of tract's, faster.
pub(crate) fn faster(op: &dyn TypedOp) -> Option<Box<dyn TypedOp>> {
    if let Some(op) = op.downcast_ref::<FlashSdpaOp>() {
        return Some(Box::new(Attention(op.clone())));
    }
    let op = op.downcast_ref::<InPlaceKvSdpa>()?;
    Some(Box::new(CachedAttention(op.clone())))
}

/// Attention of queries `[B, H, S, D]` to keys and values `[B, K, T, D]`, with or without a mask,
/// all of them of one head each if they have three axes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attention(FlashSdpaOp);

/// Attention to all keys and values `[B, K, S, D]` that a session has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CachedAttention(InPlaceKvSdpa);

/// The keys and values of a session, as float32.
#[derive(Clone, Debug)]
struct Cache {
    op: InPlaceKvSdpa,
    keys: InPlaceKvCache,
    values: InPlaceKvCache,
}

impl Op for Attention {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    op_as_typed_op!();
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let scores = Scores { scale: self.0.scale, causal: self.0.causal };
        let [k, v] = [as_f32(&inputs[1])?, as_f32(&inputs[2])?];
        attention(scores, &inputs[0], [of_heads(&k)?, of_heads(&v)?], inputs.get(3))
    }
}

impl TypedOp for Attention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
}

impl CachedAttention {
    /// The axis along which keys and values grow.
    pub fn axis(&self) -> usize {
        self.0.axis
    }
}

impl Op for CachedAttention {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    op_as_typed_op!();
}

impl EvalOp for CachedAttention {
    not_out_of_plan!();

    fn state(&self, _ctx: &EvalContext) -> TractResult<Option<Box<dyn OpState>>> {
        let [keys, values] = [(); 2].map(|()| InPlaceKvCache::new(self.axis()));
        Ok(Some(Box::new(Cache { op: self.0.clone(), keys, values })))
    }
}

impl TypedOp for CachedAttention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
}

impl OpState for Cache {
    fn init_tensor_fact(&self) -> Option<(String, TypedFact)> {
        Some((self.op.name.clone(), self.op.past_sequence_fact.clone()))
    }

    fn has_init_tensor_fact(&self) -> bool {
        true
    }

    fn resolve_symbols(&mut self, state: &mut TurnState) -> TractResult<()> {
        let fact = self.op.past_sequence_fact.clone();
        DynKeyValueCacheState::resolve_symbols(state, fact, self.keys.valid_shape().as_deref())
    }

    fn eval(
        &mut self,
        _ctx: &EvalContext,
        _op: &dyn Op,
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        self.keys.push(&*as_f32(&inputs[1])?)?;
        self.values.push(&*as_f32(&inputs[2])?)?;
        let scores = Scores { scale: self.op.scale, causal: self.op.causal };
        let k = self.keys.valid_view()?.into_dimensionality()?;
        let v = self.values.valid_view()?.into_dimensionality()?;
        attention(scores, &inputs[0], [k, v], inputs.get(3))
    }

    fn save_to(&self, states: &mut Vec<TValue>) -> TractResult<()> {
        if !self.keys.is_empty() {
            for cache in [&self.keys, &self.values] {
                states.push(cache.valid_contiguous()?.into_tvalue());
            }
        }
        Ok(())
    }

    fn load_from(
        &mut self,
        state: &mut TurnState,
        states: &mut dyn Iterator<Item = TValue>,
    ) -> TractResult<()> {
        if let Some(keys) = states.next() {
            let values = states.next().context("saved keys without values")?;
            for (cache, saved) in [(&mut self.keys, keys), (&mut self.values, values)] {
                *cache = InPlaceKvCache::new(self.op.axis);
                cache.push(&*as_f32(&saved)?)?;
            }
        }
        self.resolve_symbols(state)
    }

    fn reset_lanes(&mut self, _lanes: &[LaneId]) -> TractResult<()> {
        bail!("a language model's cache has no lanes")
    }
}

fn attention(
    scores: Scores,
    queries: &Tensor,
    [k, v]: [ArrayView4<f32>; 2],
    mask: Option<&TValue>,
) -> TractResult<TVec<TValue>> {
    let q = as_f32(queries)?;
    let mask = mask.map(|mask| as_f32(mask)).transpose()?;
    let mask = mask.as_deref().map(of_heads).transpose()?;
    let mut output = attend(scores, &Inputs { q: of_heads(&q)?, k, v, mask })?.into_tensor();
    output.set_shape(queries.shape())?;
    Ok(tvec!(output.cast_to_dt(queries.datum_type())?.into_owned().into_tvalue()))
}

fn as_f32(tensor: &Tensor) -> TractResult<Cow<'_, Tensor>> {
    tensor.cast_to::<f32>()
}

/// A tensor with an axis of heads, its second.
fn of_heads(tensor: &Tensor) -> TractResult<ArrayView4<'_, f32>> {
    let array = tensor.to_plain_array_view::<f32>()?;
    let array = if array.ndim() == 3 { array.insert_axis(Axis(1)) } else { array };
    Ok(array.into_dimensionality::<Ix4>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_core::prelude::{DatumExt as _, Tensor};

    fn cache() -> Box<dyn OpState> {
        let op = CachedAttention(InPlaceKvSdpa {
            name: "cache".to_string(),
            past_sequence_fact: f32::fact([1, 1, 0, 2]),
            axis: 2,
            causal: false,
            scale: None,
        });
        op.state(&EvalContext::out_of_plan()).unwrap().unwrap()
    }

    #[test]
    fn a_cache_is_loaded_as_it_was_saved() {
        let keys = Tensor::from_shape(&[1, 1, 3, 2], &[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let saved = || keys.clone().into_tvalue();
        let mut loaded = cache();
        let both = [saved(), saved()];
        loaded.load_from(&mut TurnState::default(), &mut both.into_iter()).unwrap();
        let mut again = vec![];
        loaded.save_to(&mut again).unwrap();
        assert!(again.len() == 2 && again.iter().all(|cache| **cache == keys));
    }

    #[test]
    fn keys_without_values_are_not_loaded() {
        let keys = Tensor::zero::<f32>(&[1, 1, 3, 2]).unwrap().into_tvalue();
        let outcome = cache().load_from(&mut TurnState::default(), &mut [keys].into_iter());
        assert!(outcome.unwrap_err().to_string().contains("keys without values"));
    }
}
