//! Padding by the stream's own frames, reflected at its first and at its last.

use anyhow::Context;
use tract_core::internal::{DimLike as _, TDim, TVec, ToDim as _, TractResult};
use tract_core::model::{SpecialOps as _, TypedNode, TypedOp};
use tract_core::ops::array::{Gather, Pad, PadMode};
use tract_core::ops::math;
use tract_core::prelude::{IntoArcTensor, OutletId, tensor0, tensor1};
use tract_pulse::internal::PulsedModel;
use tract_pulse_opl::ops::{Delay, PulsePad, PulsedCumSum};

use super::operators::{Across, PerFrame};
use super::translate::{Mapping, Translator, hold_back};

impl Translator<'_> {
    /// Each pulse takes its frames out of the latest ones. Where the stream has ended, the number
    /// of its frames tells which: it is what a sum of ones, one for each frame, has come to.
    pub fn reflected(
        &self,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let name = &node.name;
        let op = node.op_as::<Pad>().context("a padding")?;
        let input = hold_back(self, &format!("{name}.end"), target, mapping[&node.inputs[0]])?;
        let fact = target.outlet_fact(input)?;
        let stream = fact.stream.clone().context("a stream")?;
        let (axis, late) = (stream.axis, stream.delay);
        let pulse = fact.shape[axis].to_usize()?;
        let (before, after) = op.pads[axis];
        // The first frame that comes out is one that comes in later than the stream's first.
        let delayed = before + late;
        let overlap = 2 * (before + after);
        let keep = Delay::new_typed(&fact.into(), axis, 0, overlap);
        let keep = PerFrame { op: Box::new(keep), streams: vec![None] };
        let latest = target.wire_node(format!("{name}.latest"), keep, &[input])?[0];

        let mut numbers = Numbers { name, target };
        let ones = tensor1(&vec![1i64; pulse]);
        let ones = numbers.target.add_const(format!("{name}.ones"), ones)?;
        let turns = PulsedCumSum { axis: 0, exclusive: true, skip: 0 };
        let now = numbers.wire("now", Box::new(turns), &[ones])?;
        // Frame n comes out as n - delayed, and stands for frame n - delayed - before.
        let end = stream.dim.clone() + delayed + before;
        let outside = PulsePad {
            axis: 0,
            before: 0,
            after: (pulse + before + after + delayed).to_dim(),
            begin_input: 0,
            end_input: end,
            mode: PadMode::Constant(tensor0(0i64).into_arc_tensor()),
            overlap: 0,
        };
        let frames = numbers.wire("frames", Box::new(outside), &[ones])?;
        let sum = PulsedCumSum { axis: 0, exclusive: false, skip: 0 };
        let frames = numbers.wire("counted", Box::new(sum), &[frames])?;
        let twice = numbers.with("twice", Box::new(math::mul()), frames, &[2])?;
        let mirrored = numbers.wire("mirrored", Box::new(math::sub()), &[twice, now])?;
        let shift = i64::try_from(delayed + before + 2)?;
        let shifted = numbers.with("shifted", Box::new(math::sub()), mirrored, &[shift])?;
        let taken = numbers.wire("taken", Box::new(math::abs()), &[shifted])?;
        let from_now = numbers.wire("from_now", Box::new(math::sub()), &[taken, now])?;
        let first = i64::try_from(late + overlap)?;
        let places: Vec<i64> = (first..).take(pulse).collect();
        let places = numbers.with("places", Box::new(math::add()), from_now, &places)?;
        let places = numbers.with("least", Box::new(math::max()), places, &[0])?;
        let last = i64::try_from(pulse + overlap - 1)?;
        let places = numbers.with("within", Box::new(math::min()), places, &[last])?;

        let length: TDim = stream.dim + (before + after);
        let take = |op| Across { op, stream: Some((axis, length.clone())), delay: delayed };
        let mut pads = op.pads.clone();
        pads[axis] = (0, 0);
        let padded = take(Box::new(Pad { pads, mode: op.mode.clone() }));
        let taken = take(Box::new(Gather::new(axis)));
        let taken = target.wire_node(format!("{name}.reflected"), taken, &[latest, places])?;
        target.wire_node(name, padded, &taken)
    }
}

/// Numbers for each frame of a pulse.
struct Numbers<'a> {
    name: &'a str,
    target: &'a mut PulsedModel,
}

impl Numbers<'_> {
    fn wire(
        &mut self,
        what: &str,
        op: Box<dyn TypedOp>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        let op = PerFrame { op, streams: vec![None] };
        Ok(self.target.wire_node(format!("{}.{what}", self.name), op, inputs)?[0])
    }

    /// An operator on them and on fixed numbers.
    fn with(
        &mut self,
        what: &str,
        op: Box<dyn TypedOp>,
        input: OutletId,
        numbers: &[i64],
    ) -> TractResult<OutletId> {
        let name = format!("{}.{what}_by", self.name);
        let by = self.target.add_const(name, tensor1(numbers))?;
        self.wire(what, op, &[input, by])
    }
}
