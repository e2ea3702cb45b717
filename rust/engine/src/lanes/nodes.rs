//! Lanes for operators that tract gives none: recurrent layers, running sums, transposed
//! convolutions.

use std::sync::Arc;

use anyhow::{Context, ensure};
use tract_core::internal::{DimLike as _, EvalContext, EvalOp as _, LaneId, OpState, Seating};
use tract_core::model::TypedNode;
use tract_core::ops::scan::OptScan;
use tract_core::prelude::{IntoTValue, Symbol, TValue, TVec, Tensor, TypedModel};
use tract_pulse_opl::concat::PulsedSameAxisConcat;
use tract_pulse_opl::ops::{Delay, PulsePad};

use super::batch::axis_of;

/// What a node remembers of each lane.
#[derive(Clone, Debug)]
pub(super) enum Memory {
    /// tract's operator does so by itself.
    Native,
    /// A state of the operator for each lane; lanes are computed one by one.
    Each(Each),
    /// The states of a recurrent layer, a batch of which goes through a turn.
    Recurrent(Recurrent),
}

/// An operator with a state for each lane.
#[derive(Clone, Debug)]
pub(super) struct Each {
    symbol: Symbol,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    states: Vec<Option<Box<dyn OpState>>>,
}

/// A scan that begins each turn with states that are given, and gives them at its end.
#[derive(Clone, Debug)]
pub(super) struct Recurrent {
    op: OptScan,
    /// Where a turn is computed that skips nothing.
    state: Box<dyn OpState>,
    /// Frames at the start of each stream that it does not take.
    skip: usize,
    /// Outputs of the operator as it stands in the graph; those of the states follow.
    outputs: usize,
    /// Of each state: its input, and the axis of the batch.
    slots: Vec<(usize, usize)>,
    /// The axis of the scanned input.
    frames: (usize, usize),
    /// How many frames it scans in a turn.
    per_turn: usize,
    /// Of each lane: its states once it has any, and the frames it has to skip still.
    lanes: Vec<(Option<Vec<Tensor>>, usize)>,
}

impl Memory {
    /// How `node`, which keeps a state, keeps one for each of so many lanes.
    pub fn of(
        graph: &TypedModel,
        node: &TypedNode,
        symbol: &Symbol,
        lanes: usize,
    ) -> anyhow::Result<Memory> {
        let inputs = graph.node_input_facts(node.id)?;
        let inputs: Vec<_> = inputs.iter().map(|fact| axis_of(fact, symbol)).collect();
        let first = inputs.iter().flatten().next().context("no input is a batch")?;
        let delay = node.op_as::<Delay>().map(|op| op.axis);
        let pad = || node.op_as::<PulsePad>().map(|op| op.axis);
        let concat = || node.op_as::<PulsedSameAxisConcat>().map(|op| op.axis);
        if let Some(axis) = delay.or_else(pad).or_else(concat)
            && *first == 0
            && axis > 0
        {
            return Ok(Memory::Native);
        }
        if let Some(scan) = node.op_as::<OptScan>()
            && !scan.reset_every_turn
            && let Some(recurrent) = Recurrent::of(graph, node, scan, symbol, lanes)?
        {
            return Ok(Memory::Recurrent(recurrent));
        }
        let outputs = node.outputs.iter().map(|output| axis_of(&output.fact, symbol)).collect();
        let states = (0..lanes).map(|_| None).collect();
        Ok(Memory::Each(Each { symbol: symbol.clone(), inputs, outputs, states }))
    }

    /// How many turns a stream takes until all that skips its first frames has done so.
    pub fn warm_up(&self) -> usize {
        match self {
            Memory::Recurrent(scan) => scan.skip.div_ceil(scan.per_turn.max(1)),
            _ => 0,
        }
    }

    /// Forgets what it knows of `lane`.
    pub fn reset(&mut self, lane: LaneId) {
        match self {
            Memory::Native => (),
            Memory::Each(each) => each.states[lane.0] = None,
            Memory::Recurrent(scan) => scan.lanes[lane.0] = (None, scan.skip),
        }
    }
}

impl Each {
    pub fn eval(
        &mut self,
        ctx: &EvalContext,
        node: &TypedNode,
        inputs: &[TValue],
    ) -> anyhow::Result<TVec<TValue>> {
        let single = Seating::single();
        let symbols = ctx.symbols.clone().with(&self.symbol, 1);
        let alone = EvalContext { seating: &single, symbols: &symbols, ..*ctx };
        let mut seats: Vec<TVec<TValue>> = vec![];
        for (seat, lane) in ctx.seating.lanes().iter().enumerate() {
            let cut = inputs.iter().zip(&self.inputs).map(|(input, axis)| match axis {
                Some(axis) => Ok(input.slice(*axis, seat, seat + 1)?.into_tvalue()),
                None => Ok(input.clone()),
            });
            let cut = cut.collect::<anyhow::Result<TVec<TValue>>>()?;
            let state = &mut self.states[lane.0];
            if state.is_none() {
                *state = node.op.state(&alone)?;
            }
            let state = state.as_mut().context("a state")?;
            seats.push(state.eval(&alone, node.op(), cut)?);
        }
        let joined = self.outputs.iter().enumerate().map(|(slot, axis)| match axis {
            Some(axis) => {
                let parts: Vec<&Tensor> = seats.iter().map(|outputs| &*outputs[slot]).collect();
                Ok(Tensor::stack_tensors(*axis, &parts)?.into_tvalue())
            }
            None => Ok(seats[0][slot].clone()),
        });
        joined.collect()
    }
}

impl Recurrent {
    /// None where a state of `scan` has no axis for the batch.
    fn of(
        graph: &TypedModel,
        node: &TypedNode,
        scan: &OptScan,
        symbol: &Symbol,
        lanes: usize,
    ) -> anyhow::Result<Option<Recurrent>> {
        let mut params = (**scan).clone();
        params.reset_every_turn = true;
        let skip = params.skip;
        let body = params.plan.model();
        let mut slots = vec![];
        for (slot, mapping) in params.input_mapping.iter().enumerate() {
            if mapping.is_state() {
                let Some(axis) = axis_of(body.input_fact(slot)?, symbol) else { return Ok(None) };
                slots.push((slot, axis));
            }
        }
        let scanned = params.input_mapping.iter().enumerate();
        let scanned = scanned.filter_map(|(slot, mapping)| Some((slot, mapping.as_scan()?)));
        let Some(frames) = scanned.map(|(slot, info)| (slot, info.axis)).next() else {
            return Ok(None);
        };
        let per_turn = graph.node_input_facts(node.id)?[frames.0].shape[frames.1].to_usize()?;
        let outputs = node.outputs.len();
        let states = params.output_mapping.iter_mut().filter(|mapping| mapping.state);
        for (slot, mapping) in (outputs..).zip(states) {
            if mapping.last_value_slot.is_some() {
                return Ok(None);
            }
            mapping.last_value_slot = Some(slot);
        }
        params.skip = 0;
        let op = OptScan::new(Arc::new(params));
        let state = op.state(&EvalContext::out_of_plan())?.context("a state")?;
        let lanes = vec![(None, skip); lanes];
        Ok(Some(Recurrent { op, state, skip, outputs, slots, frames, per_turn, lanes }))
    }

    pub fn eval(
        &mut self,
        ctx: &EvalContext,
        inputs: &TVec<TValue>,
    ) -> anyhow::Result<TVec<TValue>> {
        let lanes = ctx.seating.lanes();
        let (slot, axis) = self.frames;
        let frames = inputs[slot].shape()[axis];
        let skip = |lane: &LaneId| self.lanes[lane.0].1.min(frames);
        let first = skip(&lanes[0]);
        ensure!(
            lanes.iter().all(|lane| skip(lane) == first),
            "streams that have just begun share no turns with others"
        );
        let mut given = inputs.clone();
        for (state, (slot, axis)) in self.slots.iter().enumerate() {
            let seats = lanes.iter().enumerate().map(|(seat, lane)| match &self.lanes[lane.0].0 {
                Some(states) => Ok(states[state].clone()),
                None => inputs[*slot].slice(*axis, seat, seat + 1),
            });
            let seats = seats.collect::<anyhow::Result<Vec<Tensor>>>()?;
            given[*slot] = Tensor::stack_tensors(*axis, &seats)?.into_tvalue();
        }
        let outputs = if first == 0 {
            self.state.eval(ctx, &self.op, given)?
        } else {
            let mut params = (*self.op).clone();
            params.skip = first;
            let op = OptScan::new(Arc::new(params));
            let mut state = op.state(ctx)?.context("a state")?;
            state.eval(ctx, &op, given)?
        };
        self.keep(lanes, &outputs, frames, first)?;
        Ok(outputs.into_iter().take(self.outputs).collect())
    }

    /// Puts the states at the end of a turn where its streams will find them.
    fn keep(
        &mut self,
        lanes: &[LaneId],
        outputs: &TVec<TValue>,
        frames: usize,
        skipped: usize,
    ) -> anyhow::Result<()> {
        for (seat, lane) in lanes.iter().enumerate() {
            let (states, skip) = &mut self.lanes[lane.0];
            *skip -= skipped;
            if skipped < frames {
                let last = self.slots.iter().zip(&outputs[self.outputs..]);
                let last = last.map(|((_, axis), state)| state.slice(*axis, seat, seat + 1));
                *states = Some(last.collect::<anyhow::Result<_>>()?);
            }
        }
        Ok(())
    }
}
