//! From a model to one that computes a pulse of frames at a time: tract's own pulsifiers, one for
//! each operator, called by a driver that trusts none of them.
//!
//! tract's driver applies an operator to a single pulse wherever the operator says that an axis
//! goes through it, which is also what a softmax over time says of itself. This one asks
//! [`rules`](super::rules) first, delays what arrives early wherever inputs meet, and holds every
//! wire that comes out against the wire of the batch model.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use tract_core::internal::{
    EvalOp, Op, SpecialOps as _, StaticName, TDim, TValue, TVec, ToDim, TractResult, as_op,
    not_a_typed_op, not_out_of_plan,
};
use tract_core::model::translator::Translate;
use tract_core::model::{TypedFact, TypedModel, TypedNode, TypedOp};
use tract_core::ops::array::{Gather, MultiBroadcastTo, PadMode};
use tract_core::ops::math;
use tract_core::ops::source::TypedSource;
use tract_core::prelude::{
    IntoArcTensor, OutletId, Symbol, SymbolValues, Tensor, tensor0, tensor1,
};
use tract_pulse::fact::StreamInfo;
use tract_pulse::internal::{OpPulsifier, PulsedFact, PulsedModel, PulsedOp};
use tract_pulse::ops::source;
use tract_pulse_opl::ops::{Delay, PulsePad, PulsedAxisSlice, PulsedCumSum};

use super::rules::{self, Treatment};
use crate::graph::Property;
use crate::guard::describe;
use crate::{Error, Stage};

/// Property of an exported file: paths of the PyTorch modules it was made from, by blanks.
const MODULES: &str = "torchtract.modules";

/// One way to cut the stream of `symbol` into pulses.
#[derive(Debug)]
pub(super) struct Translator<'a> {
    pub symbol: &'a Symbol,
    pub pulse: i64,
    /// The longest stream that the model takes, and why.
    pub limit: RefCell<Option<(i64, String)>>,
}

impl Translator<'_> {
    pub fn new(symbol: &Symbol, pulse: i64) -> Translator<'_> {
        Translator { symbol, pulse, limit: RefCell::default() }
    }

    /// A length from which on it can be told how many frames each pulse adds to a wire.
    fn long(&self) -> i64 {
        let longest = self.limit.borrow().as_ref().map_or(i64::MAX, |(units, _)| *units);
        (1000 * self.pulse).min(longest - 3 * self.pulse - 8).max(0)
    }
}

type Mapping = HashMap<OutletId, OutletId>;

impl Translate<TypedFact, Box<dyn TypedOp>, PulsedFact, Box<dyn PulsedOp>> for Translator<'_> {
    fn translate_node(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let compared = self.wire(source, node, target, mapping).and_then(|outlets| {
            for (output, &outlet) in node.outputs.iter().zip(&outlets) {
                self.compare(&output.fact, target.outlet_fact(outlet)?)?;
            }
            Ok(outlets)
        });
        compared.map_err(|error| {
            let message = format!("{}: {}", layer(source, node), describe(&error));
            Error::new(Stage::Pulse, message).into()
        })
    }
}

/// The PyTorch module that `node` comes from, where the file tells, and the node.
pub(super) fn layer(source: &TypedModel, node: &TypedNode) -> String {
    let told = format!("{} {}", node.op.name(), node.name);
    let modules = match source.properties.get(MODULES).map(|value| Property::new(value)) {
        Some(Ok(Property::Text(paths))) => paths,
        _ => String::new(),
    };
    let within = |module: &&str| {
        let prefix = module.replace('.', "_");
        let rest = node.name.strip_prefix(&prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '.']))
    };
    match modules.split_whitespace().filter(within).max_by_key(|module| module.len()) {
        Some(module) => format!("layer {module} ({told})"),
        None => told,
    }
}

impl Translator<'_> {
    fn wire(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let pulse = self.pulse.to_dim();
        if let Some(op) = node.op_as::<TypedSource>() {
            let sources =
                source::pulsify(op, source, node, target, mapping, self.symbol, &pulse)?;
            return sources.context("a source is always pulsified");
        }
        let inputs: TVec<OutletId> = node.inputs.iter().map(|i| mapping[i]).collect();
        let streams = |target: &PulsedModel, outlet: &OutletId| {
            target.outlet_fact(*outlet).is_ok_and(|fact| fact.stream.is_some())
        };
        let generates =
            node.outputs.iter().any(|o| rules::axis_of(&o.fact, self.symbol).is_some());
        if !generates && !inputs.iter().any(|i| streams(target, i)) {
            rules::check_fixed(source, node, self.symbol)?;
            return target.wire_node(&node.name, Fixed(node.op.clone()), &inputs);
        }
        match rules::treatment(source, node, self.symbol)? {
            Treatment::PerFrame => {
                let inputs = self.synchronize(node, target, mapping)?;
                let op = PerFrame::new(node, self.symbol);
                target.wire_node(&node.name, op, &inputs)
            }
            Treatment::Broadcast => self.broadcast(source, node, target, mapping),
            Treatment::Positions => self.positions(source, node, target, mapping),
            Treatment::Table => self.table(source, node, target, mapping),
            Treatment::Transposed => self.transposed(source, node, target, mapping),
            Treatment::Pulsifier { reads_end } => {
                let mut inputs = self.synchronize(node, target, mapping)?;
                if reads_end {
                    for (slot, input) in inputs.iter_mut().enumerate() {
                        *input = hold_back(self, &format!("{}.end-{slot}", node.name), target, *input)?;
                    }
                }
                let mut mapping = mapping.clone();
                mapping.extend(node.inputs.iter().copied().zip(inputs));
                self.pulsify(source, node, target, &mapping)
            }
        }
    }

    /// tract's own way for the operator of `node`.
    fn pulsify(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let (symbol, pulse) = (self.symbol, self.pulse.to_dim());
        OpPulsifier::pulsify(source, node, target, mapping, symbol, &pulse)?
            .with_context(|| format!("tract can't stream {}", node.op.name()))
    }

    /// Numbers that go up or down from frame to frame.
    fn positions(
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
    fn table(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let table = rules::table(source, node, self.symbol).context("a table")?;
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
    fn transposed(
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

    /// Delays the inputs of `node` that are ahead of others.
    fn synchronize(
        &self,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = node.inputs.iter().map(|i| mapping[i]).collect();
        let mut latest = 0;
        for input in &inputs {
            latest = latest.max(delay(target.outlet_fact(*input)?));
        }
        for (slot, input) in inputs.iter_mut().enumerate() {
            let name = format!("{}.delay-{slot}", node.name);
            let fact = target.outlet_fact(*input)?;
            if fact.stream.is_some() {
                *input = delayed(&name, target, *input, latest - delay(fact))?;
            }
        }
        Ok(inputs)
    }

    /// tract's pulsifier forgets the delay of an input that streams already.
    fn broadcast(
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

    /// Refuses a pulsed wire that does not carry what the batch model's wire does.
    fn compare(&self, batch: &TypedFact, pulsed: &PulsedFact) -> TractResult<()> {
        let axis = rules::axis_of(batch, self.symbol);
        let Some(stream) = &pulsed.stream else {
            ensure!(axis.is_none(), "tract lost the stream on the way");
            return Ok(());
        };
        ensure!(axis == Some(stream.axis), "tract lost the stream's axis on the way");
        let per_pulse = pulsed.shape[stream.axis].as_i64();
        let per_pulse = per_pulse.context("a pulse whose length depends on symbols")?;
        let dim = &batch.shape[stream.axis];
        for offset in 0..8 {
            let at = |turn: i64| length(dim, self.symbol, self.long() + turn * self.pulse + offset);
            for turn in 0..3 {
                ensure!(
                    at(turn + 1)? - at(turn)? == per_pulse,
                    "a pulse of {} gives no whole number of its frames, which are {dim}",
                    self.pulse
                );
            }
            let n = self.long() + offset;
            let told = length(&stream.dim, self.symbol, n)?;
            ensure!(
                told == length(dim, self.symbol, n)?,
                "tract takes the stream to be {} frames long, it is {dim}", stream.dim
            );
        }
        Ok(())
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

/// `dim`, a length, where the symbol is `value`.
pub(super) fn length(dim: &TDim, symbol: &Symbol, value: i64) -> TractResult<i64> {
    let values = SymbolValues::default().with(symbol, value);
    dim.eval(&values).as_i64().with_context(|| format!("{dim} depends on more than {symbol}"))
}

fn delay(fact: &PulsedFact) -> usize {
    fact.stream.as_ref().map_or(0, |stream| stream.delay)
}

fn delayed(
    name: &str,
    target: &mut PulsedModel,
    input: OutletId,
    frames: usize,
) -> TractResult<OutletId> {
    if frames == 0 {
        return Ok(input);
    }
    let fact = target.outlet_fact(input)?;
    let axis = fact.stream.as_ref().context("only streams are delayed")?.axis;
    let op = Delay::new_typed(&fact.into(), axis, frames, 0);
    Ok(target.wire_node(name, op, &[input])?[0])
}

/// Delays `input` until each frame it gives is one that the stream has, should it end right then:
/// `x[:, :-3]` gives frames at once that the last three to come will show to be none.
fn hold_back(
    translator: &Translator<'_>,
    name: &str,
    target: &mut PulsedModel,
    input: OutletId,
) -> TractResult<OutletId> {
    let fact = target.outlet_fact(input)?;
    let Some(stream) = &fact.stream else { return Ok(input) };
    let per_pulse = fact.shape[stream.axis].as_i64().context("a pulse of fixed length")?;
    let turns = 1000;
    let known = length(&stream.dim, translator.symbol, turns * translator.pulse)?;
    let early = turns * per_pulse - i64::try_from(stream.delay)? - known;
    delayed(name, target, input, usize::try_from(early).unwrap_or(0))
}

/// An operator that treats each frame by itself, applied to a pulse of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PerFrame {
    op: Box<dyn TypedOp>,
    /// Of each output: the axis of the stream, and its length in the batch model.
    streams: Vec<Option<(usize, TDim)>>,
}

impl PerFrame {
    fn new(node: &TypedNode, symbol: &Symbol) -> PerFrame {
        let streams = node.outputs.iter().map(|output| {
            let axis = rules::axis_of(&output.fact, symbol)?;
            Some((axis, output.fact.shape[axis].clone()))
        });
        PerFrame { op: node.op.clone(), streams: streams.collect() }
    }
}

/// An operator that has nothing to do with the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fixed(Box<dyn TypedOp>);

impl Op for PerFrame {
    fn name(&self) -> StaticName {
        self.op.name()
    }

    not_a_typed_op!();
}

impl EvalOp for PerFrame {
    not_out_of_plan!();
}

impl Op for Fixed {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Fixed {
    not_out_of_plan!();
}

impl PulsedOp for PerFrame {
    fn pulsed_output_facts(&self, inputs: &[&PulsedFact]) -> TractResult<TVec<PulsedFact>> {
        let delay = inputs.iter().map(|fact| delay(fact)).max().unwrap_or(0);
        let facts = typed_outputs(&*self.op, inputs)?.into_iter().zip(&self.streams);
        facts
            .map(|(fact, stream)| {
                let stream = stream.clone();
                Ok(PulsedFact {
                    datum_type: fact.datum_type,
                    shape: fact.shape,
                    stream: stream.map(|(axis, dim)| StreamInfo { axis, dim, delay }),
                })
            })
            .collect()
    }

    fn to_typed(&self) -> Box<dyn TypedOp> {
        self.op.clone()
    }

    as_op!();
}

impl PulsedOp for Fixed {
    fn pulsed_output_facts(&self, inputs: &[&PulsedFact]) -> TractResult<TVec<PulsedFact>> {
        let facts = typed_outputs(&*self.0, inputs)?.into_iter();
        let fixed = |fact: TypedFact| PulsedFact {
            datum_type: fact.datum_type,
            shape: fact.shape,
            stream: None,
        };
        Ok(facts.map(fixed).collect())
    }

    fn to_typed(&self) -> Box<dyn TypedOp> {
        self.0.clone()
    }

    as_op!();
}

fn typed_outputs(op: &dyn TypedOp, inputs: &[&PulsedFact]) -> TractResult<TVec<TypedFact>> {
    let facts: TVec<TypedFact> = inputs.iter().map(|fact| (*fact).into()).collect();
    op.output_facts(&facts.iter().collect::<TVec<_>>())
}
