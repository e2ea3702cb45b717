//! Layers that tract's pulsifiers would get wrong, or have none for, streamed in other ways.

use std::borrow::Cow;

use anyhow::{Context, bail};
use tract_core::internal::{SpecialOps as _, TDim, TVec, ToDim, TractResult};
use tract_core::model::{TypedModel, TypedNode};
use tract_core::ops::array::{Gather, MultiBroadcastTo, PadMode};
use tract_core::ops::math;
use tract_core::prelude::{IntoArcTensor, OutletId, Tensor, tensor0, tensor1};
use tract_pulse::internal::PulsedModel;
use tract_pulse_opl::ops::{PulsePad, PulsedAxisSlice, PulsedCumSum};

use super::operators::PerFrame;
use super::rules;
use super::translate::{Mapping, Translator, hold_back, layer, length};
use super::values;

impl Translator<'_> {
    /// Numbers that go up or down from frame to frame.
    pub fn positions(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let fact = &node.outputs[0].fact;
        let inputs = source.node_input_facts(node.id)?;
        let (Some(start), Some(step)) = (&inputs[0].konst, &inputs[2].konst) else {
            bail!("it starts or goes on by what is known only while the model runs; use numbers");
        };
        if !fact.datum_type.is_number() {
            return self.pulsify(source, node, target, mapping);
        }
        let length = |n| length(&fact.shape[0], self.symbol, n);
        let per_pulse = length(self.long() + self.pulse)? - length(self.long())?;
        let cast = |tensor: &Tensor| tensor.cast_to_dt(fact.datum_type).map(Cow::into_owned);
        let from = (cast(start)?, cast(step)?);
        let stream = (0, fact.shape[0].clone());
        count(&node.name, target, from, usize::try_from(per_pulse)?, stream)
    }

    /// Rows of a table at the positions of the frames. Frames of the last pulse may lie beyond the
    /// stream's end, and so beyond the table.
    pub fn table(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let table = values::table(source, node, self.symbol).context("a table")?;
        let rows = source.outlet_fact(node.inputs[0])?.shape[table.axis].to_i64()?;
        let length = |n| length(&table.end, self.symbol, n);
        let per_pulse = length(2 * self.pulse)? - length(self.pulse)?;
        let fits = |n: &i64| length(*n).is_ok_and(|end| end <= rows);
        let longest = (0..=rows).rev().find(fits).context("a table of too few rows")?;
        self.limit(longest, format!("{} has {rows} rows", layer(source, node)));
        let name = &node.name;
        let stream = (0, table.end.clone() - table.start);
        let from = (tensor0(table.start), tensor0(1i64));
        let pulse = usize::try_from(per_pulse)?;
        let positions = count(&format!("{name}.positions"), target, from, pulse, stream)?;
        let last = target.add_const(format!("{name}.last"), tensor1(&[rows - 1]))?;
        let stream = Some((0, table.end.clone() - table.start));
        let op = PerFrame { op: Box::new(math::min()), streams: vec![stream] };
        let within = target.wire_node(format!("{name}.within"), op, &[positions[0], last])?;
        let stream = Some((table.axis, table.end - table.start));
        let op = PerFrame { op: Box::new(Gather::new(table.axis)), streams: vec![stream] };
        target.wire_node(name, op, &[mapping[&node.inputs[0]], within[0]])
    }

    /// A transposed convolution. tract's pulsifier counts the input's delay in frames of the
    /// output, so it gets an input that has none: the frames before the stream's first become
    /// zeros, which add nothing, and belong to it.
    pub fn transposed(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let name = &node.name;
        let input = hold_back(self, &format!("{name}.end"), target, mapping[&node.inputs[0]])?;
        let fact = target.outlet_fact(input)?;
        let stream = fact.stream.clone().context("a stream")?;
        let mut mapping = mapping.clone();
        mapping.insert(node.inputs[0], input);
        if stream.delay == 0 {
            return self.pulsify(source, node, target, &mapping);
        }
        let zeros = PulsePad {
            axis: stream.axis,
            before: stream.delay,
            after: 0.to_dim(),
            begin_input: stream.delay,
            end_input: stream.dim + stream.delay,
            mode: PadMode::Constant(Tensor::zero_scalar_dt(fact.datum_type)?.into_arc_tensor()),
            overlap: 0,
        };
        let before = fact.shape[stream.axis].to_i64()?;
        let zeros = target.wire_node(format!("{name}.zeros"), zeros, &[input])?[0];
        mapping.insert(node.inputs[0], zeros);
        let spread = self.pulsify(source, node, target, &mapping)?;
        let output = rules::axis_of(&node.outputs[0].fact, self.symbol).context("a stream")?;
        let after = target.outlet_fact(spread[0])?.shape[output].to_i64()?;
        let op = PulsedAxisSlice {
            axis: output,
            skip: stream.delay * usize::try_from(after)? / usize::try_from(before)?,
            take: node.outputs[0].fact.shape[output].clone(),
        };
        target.wire_node(format!("{name}.delayed"), op, &spread)
    }

    /// Notes that streams are no longer than `units`.
    fn limit(&self, units: i64, why: String) {
        let mut limit = self.limit.borrow_mut();
        if limit.as_ref().is_none_or(|(known, _)| units < *known) {
            *limit = Some((units, why));
        }
    }

    /// tract's pulsifier forgets the delay of an input that streams already.
    pub fn broadcast(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let op = node.op_as::<MultiBroadcastTo>().context("a broadcast")?;
        let input = mapping[&node.inputs[0]];
        let fact = target.outlet_fact(input)?;
        let pulse = match (&fact.stream, fact.pulse()) {
            (Some(_), Some(pulse)) => pulse.clone(),
            _ => return self.pulsify(source, node, target, mapping),
        };
        let mut shape = op.shape.clone();
        let axis = rules::axis_of(&node.outputs[0].fact, self.symbol).context("a stream")?;
        shape.set(axis, pulse);
        let wrapped = Box::new(MultiBroadcastTo { shape });
        let op = PerFrame { op: wrapped, ..PerFrame::new(node, self.symbol) };
        target.wire_node(&node.name, op, &[input])
    }
}

/// Numbers from `from.0` on, by steps of `from.1`: as a running sum of ones, since tract can't write
/// the streaming range that it has.
fn count(
    name: &str,
    target: &mut PulsedModel,
    from: (Tensor, Tensor),
    pulse: usize,
    stream: (usize, TDim),
) -> TractResult<TVec<OutletId>> {
    let (start, step) = from;
    let dt = start.datum_type();
    let ones = tensor0(1i64).cast_to_dt(dt)?.broadcast_scalar_to_shape(&[pulse])?;
    let ones = target.add_const(format!("{name}.ones"), ones)?;
    let start = target.add_const(format!("{name}.start"), start.into_shape(&[1])?)?;
    let step = target.add_const(format!("{name}.step"), step.into_shape(&[1])?)?;
    let sum = PulsedCumSum { axis: 0, exclusive: true, skip: 0 };
    let streams = vec![Some(stream)];
    let op = PerFrame { op: Box::new(sum), streams: streams.clone() };
    let turns = target.wire_node(format!("{name}.count"), op, &[ones])?[0];
    let op = PerFrame { op: Box::new(math::mul()), streams: streams.clone() };
    let steps = target.wire_node(format!("{name}.steps"), op, &[turns, step])?[0];
    let op = PerFrame { op: Box::new(math::add()), streams };
    target.wire_node(name, op, &[steps, start])
}
