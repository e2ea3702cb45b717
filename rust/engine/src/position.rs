//! How far a stream has come: what waits before the network, and what behind it.

use std::mem;

use anyhow::Context;
use tract_core::prelude::{IntoTensor, SymbolValues, TDim, TValue, TVec, Tensor};

use crate::pulse::{PulsedModel, StreamAxis};
use crate::tensor::to_plain;

/// How far a stream has come, the network's own state apart. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    /// Of each streaming input, the frames that don't fill a pulse yet.
    pub pending: Vec<Option<Tensor>>,
    /// The values of the symbols but the stream's, once a chunk bound them.
    pub symbols: Option<SymbolValues>,
    /// The symbol's value for what was pushed so far.
    pub pushed: i64,
    /// Pulses computed so far.
    pub turns: i64,
    pub outputs: Vec<Progress>,
    pub ended: bool,
}

/// How far an output has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Frames of it that were computed.
    computed: i64,
    /// Frames of it that were given out.
    given: i64,
    /// The computed ones that were not: they may turn out to lie beyond the end.
    held: Vec<Tensor>,
}

impl Position {
    pub fn start(pulsed: &PulsedModel) -> Position {
        Position {
            pending: vec![None; pulsed.inputs.len()],
            symbols: None,
            pushed: 0,
            turns: 0,
            outputs: vec![Progress::default(); pulsed.outputs.len()],
            ended: false,
        }
    }

    /// The symbols' values were the stream to end here.
    pub fn values(&self, pulsed: &PulsedModel) -> SymbolValues {
        self.symbols.clone().unwrap_or_default().with(&pulsed.symbol, self.pushed)
    }

    /// Takes what one pulse gave; gives back what does not stream.
    pub fn took(
        &mut self,
        pulsed: &PulsedModel,
        outputs: TVec<TValue>,
    ) -> anyhow::Result<Vec<Option<TValue>>> {
        let mut fixed = vec![];
        for ((value, axis), progress) in
            outputs.into_iter().zip(&pulsed.outputs).zip(&mut self.outputs)
        {
            let Some(axis) = axis else {
                fixed.push(Some(value));
                continue;
            };
            fixed.push(None);
            let frames = i64::try_from(axis.pulse)?;
            let first = self.turns * frames - i64::try_from(axis.delay)?;
            if first + frames > progress.computed {
                let fresh = usize::try_from(progress.computed - first)?;
                progress.held.push(part(&value.into_tensor(), axis, fresh, axis.pulse)?);
                progress.computed = first + frames;
            }
        }
        self.turns += 1;
        Ok(fixed)
    }

    /// Takes the frames of each streaming output that the stream has wherever it ends from here.
    pub fn collect(&mut self, pulsed: &PulsedModel) -> anyhow::Result<Vec<Option<Tensor>>> {
        let values = self.values(pulsed);
        let mut outputs = vec![];
        for (i, axis) in pulsed.outputs.iter().enumerate() {
            let Some(axis) = axis else {
                outputs.push(None);
                continue;
            };
            let progress = &mut self.outputs[i];
            let sure = if pulsed.is_irregular(self.pushed) {
                progress.given
            } else {
                pulsed.length(axis, self.pushed)?.min(progress.computed)
            };
            let ready = usize::try_from((sure - progress.given).max(0))?;
            let held = mem::take(&mut progress.held);
            let frames = match held.len() {
                0 => {
                    let fact = pulsed.model.graph.output_fact(i)?;
                    let mut shape = fact.shape.to_tvec();
                    shape[axis.axis] = TDim::Val(0);
                    let sizes =
                        shape.iter().map(|dim| Ok(usize::try_from(dim.eval_to_i64(&values)?)?));
                    let shape = sizes.collect::<anyhow::Result<Vec<usize>>>().context(
                        "nothing was pushed, so the sizes of the outputs are unknown: push an empty chunk",
                    )?;
                    Tensor::zero_dt(fact.datum_type, &shape)?
                }
                1 => held.into_iter().next().context("one")?,
                _ => Tensor::stack_tensors(axis.axis, &held)?,
            };
            let len = frames.shape()[axis.axis];
            if ready < len && !self.ended {
                progress.held.push(part(&frames, axis, ready, len)?);
            }
            progress.given += i64::try_from(ready)?;
            outputs.push(Some(to_plain(part(&frames, axis, 0, ready)?, &values)?));
        }
        Ok(outputs)
    }
}

impl PulsedModel {
    /// Whether no stream may end at this length.
    pub(crate) fn is_irregular(&self, units: i64) -> bool {
        self.irregular.contains(&units)
    }

    /// Frames in all of a stream that is `units` long.
    pub(crate) fn length(&self, axis: &StreamAxis, units: i64) -> anyhow::Result<i64> {
        axis.length.eval_to_i64(&SymbolValues::default().with(&self.symbol, units))
    }
}

/// The frames of `tensor` from `start` to `end`.
pub(crate) fn part(
    tensor: &Tensor,
    axis: &StreamAxis,
    start: usize,
    end: usize,
) -> anyhow::Result<Tensor> {
    if start == 0 && end == tensor.shape()[axis.axis] {
        return Ok(tensor.clone());
    }
    if start == end {
        let mut shape: TVec<usize> = tensor.shape().into();
        shape[axis.axis] = 0;
        return Tensor::zero_dt(tensor.datum_type(), &shape);
    }
    tensor.slice(axis.axis, start, end)
}
