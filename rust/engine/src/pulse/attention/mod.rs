//! Attention that a mask limits to some frames before and after each: its queries stream, and the
//! keys and values around a pulse of them are kept.

mod entry;
mod known;
mod reach;
mod sides;

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, anyhow, ensure};
use tract_core::internal::{AxisOp, TDim, TVec, ToDim as _, TractResult};
use tract_core::model::{SpecialOps as _, TypedModel, TypedNode, TypedOp};
use tract_core::ops::array::{MultiBroadcastTo, PadMode};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::logic::{self, Iff};
use tract_core::ops::nn::{Reduce, Reducer, Softmax};
use tract_core::prelude::{DatumType, IntoArcTensor, OutletId, Tensor, tensor0, tensor1};
use tract_pulse::internal::PulsedModel;
use tract_pulse_opl::ops::{Delay, PulsePad};

use super::operators::{Across, PerFrame};
use super::translate::{Mapping, Translator, delay, delayed, hold_back, length};
use crate::guard::describe;
pub(super) use reach::Reach;
use reach::Window;
use sides::{Sides, is_pair};
pub(super) use sides::{ends_pairs, gives_pairs};

/// Attention that ends in one node, brought to windows of keys.
struct Windows<'a, 'b> {
    translator: &'a Translator<'b>,
    source: &'a TypedModel,
    target: &'a mut PulsedModel,
    mapping: &'a Mapping,
    /// What its nodes are called after.
    name: &'a str,
    window: Window,
    /// Queries, or keys, of the whole stream.
    length: TDim,
    pulse: usize,
    wired: HashMap<(OutletId, Sides), OutletId>,
    keys: HashMap<OutletId, OutletId>,
}

impl Translator<'_> {
    /// A node that makes one result for each query out of all keys.
    pub fn attention(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let sides = sides::ending(node, self.symbol);
        let axis = sides.queries.context("a stream of queries")?;
        let length = node.outputs[0].fact.shape[axis].clone();
        let mut windows = Windows {
            translator: self,
            source,
            target,
            mapping,
            name: &node.name,
            window: Window::default(),
            pulse: self.per_pulse(&length)?,
            length,
            wired: HashMap::new(),
            keys: HashMap::new(),
        };
        let (queries, keys) = windows.latest(node, sides)?;
        let reach = self.reach(source, node);
        let reach = reach.as_ref().as_ref().map_err(|error| anyhow!("{error}"))?;
        windows.window = reach.window(windows.pulse, queries, keys);
        windows.node(node, sides)
    }

    fn reach(&self, source: &TypedModel, node: &TypedNode) -> Rc<Result<Reach, String>> {
        let mut reaches = self.reaches.borrow_mut();
        let reach = reaches.entry(node.id).or_insert_with(|| {
            Rc::new(Reach::of(source, node, self.symbol).map_err(|error| describe(&error)))
        });
        Rc::clone(reach)
    }

    /// How many frames of a stream of this length a pulse has.
    fn per_pulse(&self, dim: &TDim) -> TractResult<usize> {
        let long = self.long();
        let at = |n| length(dim, self.symbol, n);
        Ok(usize::try_from(at(long + self.pulse)? - at(long)?)?)
    }
}

impl Windows<'_, '_> {
    /// The delays of the latest queries and of the latest keys. Keys that may turn out to be none
    /// of the stream's are held back.
    fn latest(&mut self, node: &TypedNode, sides: Sides) -> TractResult<(usize, usize)> {
        let symbol = self.translator.symbol;
        let mut latest = (0, self.early()?);
        let mut waiting = vec![(node.id, sides)];
        let mut known = vec![];
        while let Some((id, sides)) = waiting.pop() {
            let node = self.source.node(id);
            let of_inputs = sides::of_inputs(self.source, node, sides, symbol)?;
            for (input, sides) in node.inputs.iter().zip(of_inputs) {
                let fact = self.source.outlet_fact(*input)?;
                for axis in [sides.queries, sides.keys].into_iter().flatten() {
                    self.check_length(&fact.shape[axis])?;
                }
                if is_pair(fact, symbol) {
                    if !known.contains(&(input.node, sides)) {
                        known.push((input.node, sides));
                        waiting.push((input.node, sides));
                    }
                } else if sides.keys.is_some() {
                    let name = format!("{}.keys-{}-{}", self.name, input.node, input.slot);
                    let keys = self.mapping[input];
                    if !self.keys.contains_key(input) {
                        let held = hold_back(self.translator, &name, self.target, keys)?;
                        self.keys.insert(*input, held);
                    }
                    latest.1 = latest.1.max(delay(self.target.outlet_fact(self.keys[input])?));
                } else if sides.queries.is_some() {
                    let fact = self.target.outlet_fact(self.mapping[input])?;
                    latest.0 = latest.0.max(delay(fact));
                }
            }
        }
        Ok(latest)
    }

    /// How late keys must be for all of them to be the stream's.
    fn early(&self) -> TractResult<usize> {
        self.translator.early(&self.length, i64::try_from(self.pulse)?)
    }

    fn check_length(&self, dim: &TDim) -> TractResult<()> {
        let at = |dim, n| length(dim, self.translator.symbol, n);
        for n in (0..64).chain([self.translator.long()]) {
            ensure!(
                at(dim, n)? == at(&self.length, n)?,
                "its queries are {}, its keys {dim}: attention streams within one stream",
                self.length
            );
        }
        Ok(())
    }

    /// A wire as what the pulse's queries need of it.
    fn wire(&mut self, outlet: OutletId, sides: Sides) -> TractResult<OutletId> {
        let fact = self.source.outlet_fact(outlet)?;
        if let Some(wired) = self.wired.get(&(outlet, sides)) {
            return Ok(*wired);
        }
        let wired = if is_pair(fact, self.translator.symbol) {
            self.node(self.source.node(outlet.node), sides)?[outlet.slot]
        } else if let Some(axis) = sides.keys {
            self.window(outlet, axis)?
        } else {
            let input = self.mapping[&outlet];
            if sides.queries.is_some() {
                let frames = self.window.delay - delay(self.target.outlet_fact(input)?);
                let name = format!("{}.queries-{}-{}", self.name, outlet.node, outlet.slot);
                delayed(&name, self.target, input, frames)?
            } else {
                input
            }
        };
        self.wired.insert((outlet, sides), wired);
        Ok(wired)
    }

    /// An operator on wires that have windows for keys.
    fn node(&mut self, node: &TypedNode, sides: Sides) -> TractResult<TVec<OutletId>> {
        let symbol = self.translator.symbol;
        let of_inputs = sides::of_inputs(self.source, node, sides, symbol)?;
        let mut inputs = TVec::new();
        for (input, sides) in node.inputs.iter().zip(&of_inputs) {
            let mut wired = self.wire(*input, *sides)?;
            if is_pair(self.source.outlet_fact(*input)?, symbol) {
                wired = self.without_others(node, *input, *sides, wired)?;
            }
            inputs.push(wired);
        }
        let mut op = node.op.clone();
        if let Some(op) = op.downcast_mut::<MultiBroadcastTo>() {
            let keys = self.pulse + self.window.before + self.window.after;
            for (axis, size) in [(sides.queries, self.pulse), (sides.keys, keys)] {
                if let Some(axis) = axis {
                    op.shape.set(axis, size.to_dim());
                }
            }
        }
        let name = self.named(node);
        let stream = sides.queries.map(|axis| (axis, self.length.clone()));
        self.target.wire_node(name, Across { op, stream, delay: self.window.delay }, &inputs)
    }

    /// What is wired for `node` here.
    fn named(&self, node: &TypedNode) -> String {
        if node.name == self.name {
            node.name.clone()
        } else {
            format!("{}.{}", self.name, node.name)
        }
    }

    /// A pair in which keys outside of the stream count for nothing in `node`.
    fn without_others(
        &mut self,
        node: &TypedNode,
        input: OutletId,
        sides: Sides,
        pair: OutletId,
    ) -> TractResult<OutletId> {
        let fact = self.source.outlet_fact(input)?;
        let neutral = match (node.op_as::<Softmax>(), node.op_as::<Reduce>()) {
            (Some(op), _) if sides.keys.is_some_and(|axis| op.axes.contains(&axis)) => {
                lowest(fact.datum_type)?
            }
            (_, Some(op)) if sides.keys.is_some_and(|axis| op.axes.contains(&axis)) => {
                match op.reducer {
                    Reducer::Max => lowest(fact.datum_type)?,
                    Reducer::Min => highest(fact.datum_type)?,
                    _ => Tensor::zero_scalar_dt(fact.datum_type)?,
                }
            }
            _ if is_pair(&node.outputs[0].fact, self.translator.symbol) => return Ok(pair),
            // Of other keys a softmax leaves nothing.
            _ if self.source.node(input.node).op_is::<Softmax>() => return Ok(pair),
            _ => Tensor::zero_scalar_dt(fact.datum_type)?,
        };
        let axis = sides.keys.context("keys")?;
        let name = format!("{}.within", self.named(node));
        let neutral = neutral.broadcast_scalar_to_shape(&vec![1; fact.rank()])?;
        let neutral = self.target.add_const(format!("{name}.neutral"), neutral)?;
        let within = self.within(&name, fact.rank(), axis)?;
        let stream = sides.queries.map(|axis| (axis, self.length.clone()));
        let op = Across { op: Box::new(Iff), stream, delay: self.window.delay };
        Ok(self.target.wire_node(name, op, &[within, pair, neutral])?[0])
    }

    /// Which keys of the window are the stream's, along `axis` of tensors of this rank.
    fn within(&mut self, name: &str, rank: usize, axis: usize) -> TractResult<OutletId> {
        let ones = tensor0(1f32).broadcast_scalar_to_shape(&[self.pulse])?;
        let mut wire = self.target.add_const(format!("{name}.ones"), ones)?;
        wire = self.kept(name, wire, 0, self.early()?)?;
        let half = self.target.add_const(format!("{name}.half"), tensor1(&[0.5f32]))?;
        wire = self.fixed(
            format!("{name}.are"),
            Box::new(TypedBinOp(logic::comp_gt(), None)),
            &[wire, half],
        )?;
        for at in 0..rank - 1 {
            let op = Box::new(AxisOp::Add(if at < axis { 0 } else { at + 1 }));
            wire = self.fixed(format!("{name}.axis-{at}"), op, &[wire])?;
        }
        Ok(wire)
    }

    /// The keys around a pulse of queries, with zeros for those that the stream does not have.
    fn window(&mut self, outlet: OutletId, axis: usize) -> TractResult<OutletId> {
        let name = format!("{}.window-{}-{}", self.name, outlet.node, outlet.slot);
        let keys = self.keys[&outlet];
        let late = delay(self.target.outlet_fact(keys)?);
        self.kept(&name, keys, axis, late)
    }

    /// The same for a wire of keys that are `late`.
    fn kept(
        &mut self,
        name: &str,
        wire: OutletId,
        axis: usize,
        late: usize,
    ) -> TractResult<OutletId> {
        let fact = self.target.outlet_fact(wire)?;
        ensure!(fact.datum_type.is_copy(), "it keeps frames of type {:?}", fact.datum_type);
        let Window { delay, before, after } = self.window;
        let zero = Tensor::zero_scalar_dt(fact.datum_type)?.into_arc_tensor();
        let outside = PulsePad {
            axis,
            before: late,
            after: (self.pulse + before + after).to_dim(),
            begin_input: late,
            end_input: self.length.clone() + late,
            mode: PadMode::Constant(zero),
            overlap: 0,
        };
        let stream = Some((axis, self.length.clone()));
        let op = Across { op: Box::new(outside), stream, delay: late };
        let wire = self.target.wire_node(format!("{name}.outside"), op, &[wire])?[0];
        let fact = self.target.outlet_fact(wire)?.into();
        let keep = Delay::new_typed(&fact, axis, delay - after - late, before + after);
        self.fixed(name.to_string(), Box::new(keep), &[wire])
    }

    /// A wire that is no pulse of a stream.
    fn fixed(
        &mut self,
        name: String,
        op: Box<dyn TypedOp>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        Ok(self.target.wire_node(name, PerFrame { op, streams: vec![None] }, inputs)?[0])
    }
}

fn lowest(datum_type: DatumType) -> TractResult<Tensor> {
    extreme(datum_type, f64::NEG_INFINITY)
}

fn highest(datum_type: DatumType) -> TractResult<Tensor> {
    extreme(datum_type, f64::INFINITY)
}

fn extreme(datum_type: DatumType, number: f64) -> TractResult<Tensor> {
    ensure!(datum_type.is_float(), "it compares frames of type {datum_type:?}; use float32");
    Ok(tensor0(number).cast_to_dt(datum_type)?.into_owned())
}
