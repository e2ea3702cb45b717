//! What can't stream as the batch model computes, let through as tract's own driver has it.

use std::collections::HashSet;

use anyhow::{Context, Error, ensure};
use tract_core::internal::{SpecialOps as _, TVec, ToDim, TractResult};
use tract_core::model::{TypedModel, TypedNode};
use tract_core::ops::array::Slice;
use tract_core::ops::identity::Identity;
use tract_core::prelude::{OutletId, Symbol};
use tract_pulse::internal::{InOut, OpPulsifier, PulsedModel};

use super::attention::gives_pairs;
use super::operators::{Fixed, PerFrame};
use super::translate::{Mapping, Translator, delay, delayed, layer, length};
use super::values::reads_length;
use crate::Stage;
use crate::guard::{describe, guarded};

impl Translator<'_> {
    /// `node`, which can't stream because of `why`, computing something else where that is allowed
    /// and tract has a way; noted.
    pub fn unequal(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
        why: Error,
    ) -> TractResult<TVec<OutletId>> {
        let Some(unequal) = &self.unequal else { return Err(why) };
        // Some of tract's pulsifiers panic.
        let wired = guarded(Stage::Pulse, || self.as_tract_does(source, node, target, mapping));
        let Ok(outlets) = wired else { return Err(why) };
        let told = format!("{}: {}", layer(source, node), describe(&why));
        // tract writes texts with a ' in them, and can't read them.
        unequal.borrow_mut().push(told.replace('\'', "\u{2019}"));
        Ok(outlets)
    }

    /// As `unequal` for attention that ends in `node`: among the frames of each pulse.
    pub fn unequal_pairs(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
        why: Error,
    ) -> TractResult<TVec<OutletId>> {
        if self.unequal.is_none() {
            return Err(why);
        }
        let mut wired = mapping.clone();
        for id in pairs_before(source, node, self.symbol)? {
            let pairs = source.node(id);
            let outlets =
                guarded(Stage::Pulse, || self.as_tract_does(source, pairs, target, &wired));
            let Ok(outlets) = outlets else { return Err(why) };
            wired.extend(outlets.into_iter().enumerate().map(|(slot, o)| ((id, slot).into(), o)));
        }
        self.unequal(source, node, target, &wired, why)
    }

    /// By tract's pulsifier for it, or as if it treated each frame by itself.
    fn as_tract_does(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let given = source.node_input_facts(node.id)?;
        ensure!(!given.iter().any(|fact| reads_length(fact, self.symbol)));
        if let Some(slice) = node.op_as::<Slice>() {
            ensure!(length(&slice.start, self.symbol, self.pulse)? >= 0);
        }
        let inputs = Self::in_whole_pulses(node, target, mapping)?;
        let mut synchronized = mapping.clone();
        synchronized.extend(node.inputs.iter().copied().zip(inputs.iter().copied()));
        let pulse = self.pulse.to_dim();
        let pulsified =
            OpPulsifier::pulsify(source, node, target, &synchronized, self.symbol, &pulse)?;
        let mut outlets = match pulsified {
            Some(outlets) => outlets,
            None => self.tracked(source, node, target, &inputs)?,
        };
        for (slot, (outlet, output)) in outlets.iter_mut().zip(&node.outputs).enumerate() {
            let whole = PerFrame::new(node, self.symbol).streams[slot].clone();
            if target.outlet_fact(*outlet)?.stream.is_none() && whole.is_some() {
                // A tensor that is the same in each pulse.
                let op = PerFrame { op: Box::new(Identity), streams: vec![whole] };
                *outlet =
                    target.wire_node(format!("{}.each-{slot}", node.name), op, &[*outlet])?[0];
            }
            let fact = target.outlet_fact(*outlet)?;
            ensure!(!fact.shape.iter().any(|dim| dim.symbols().contains(self.symbol)));
            self.compare(&output.fact, fact)?;
        }
        Ok(outlets)
    }

    /// The operator of `node` applied to single pulses, where it keeps the axis of the frames.
    fn tracked(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut first = None;
        for (slot, input) in inputs.iter().enumerate() {
            let stream = &target.outlet_fact(*input)?.stream;
            first = first.or(stream.as_ref().map(|stream| (slot, stream.axis)));
        }
        let Some((slot, axis)) = first else {
            return target.wire_node(&node.name, Fixed::new(node), inputs);
        };
        let (given, made) = source.node_facts(node.id)?;
        let tracks = node.op.axes_mapping(&given, &made)?;
        let through = &tracks.axis((InOut::In(slot), axis))?.outputs;
        let mut op = PerFrame::new(node, self.symbol);
        for ((stream, to), output) in op.streams.iter_mut().zip(through).zip(&node.outputs) {
            let [to] = to[..] else { return Err(Error::msg("no axis of frames")) };
            *stream = Some((to, output.fact.shape[to].clone()));
        }
        target.wire_node(&node.name, op, inputs)
    }

    /// The inputs of `node` such that no pulse has frames from before the stream's first beside
    /// its own: these would be part of what it computes.
    fn in_whole_pulses(
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs = Self::synchronize(node, target, mapping)?;
        for (slot, input) in inputs.iter_mut().enumerate() {
            let fact = target.outlet_fact(*input)?;
            let Some(stream) = &fact.stream else { continue };
            let pulse = fact.shape[stream.axis].as_i64().context("a pulse of fixed length")?;
            let whole = delay(fact).next_multiple_of(usize::try_from(pulse)?.max(1));
            let missing = whole - delay(fact);
            *input = delayed(&format!("{}.whole-{slot}", node.name), target, *input, missing)?;
        }
        Ok(inputs)
    }
}

/// The nodes by which pairs of frames come to `node`, in an order in which they are computed.
fn pairs_before(source: &TypedModel, node: &TypedNode, symbol: &Symbol) -> TractResult<Vec<usize>> {
    let mut found = HashSet::new();
    let mut open: Vec<&TypedNode> = vec![node];
    while let Some(node) = open.pop() {
        let before = node.inputs.iter().map(|input| source.node(input.node));
        open.extend(before.filter(|node| gives_pairs(node, symbol) && found.insert(node.id)));
    }
    Ok(source.eval_order()?.into_iter().filter(|id| found.contains(id)).collect())
}
