//! From a model to one that computes a pulse of frames at a time: tract's own pulsifiers, one for
//! each operator, called by a driver that trusts none of them.
//!
//! tract's driver applies an operator to a single pulse wherever the operator says that an axis
//! goes through it, which is also what a softmax over time says of itself. This one asks
//! [`rules`](super::rules) first, delays what arrives early wherever inputs meet, and holds every
//! wire that comes out against the wire of the batch model.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, ensure};
use tract_core::internal::{SpecialOps as _, TDim, TVec, ToDim, TractResult};
use tract_core::model::translator::Translate;
use tract_core::model::{TypedFact, TypedModel, TypedNode, TypedOp};
use tract_core::ops::scan::Scan;
use tract_core::ops::source::TypedSource;
use tract_core::prelude::{OutletId, Symbol, SymbolValues};
use tract_pulse::internal::{OpPulsifier, PulsedFact, PulsedModel, PulsedOp};
use tract_pulse::ops::source;
use tract_pulse_opl::ops::Delay;

use super::attention::{Reach, ends_pairs, gives_pairs};
use super::operators::{Fixed, PerFrame};
use super::rules::{self, Treatment};
use crate::graph::Property;
use crate::guard::describe;
use crate::{Error, Stage};

/// Property of an exported file: paths of the modules it was made from, by blanks.
const MODULES: &str = "torchtract.modules";

/// Streams as long as this are none of the short ones that are looked at one by one.
const SHORT: i64 = 4096;

/// One way to cut the stream of `symbol` into pulses.
#[derive(Debug)]
pub(super) struct Translator<'a> {
    pub symbol: &'a Symbol,
    pub pulse: i64,
    /// The longest stream that the model takes, and why.
    pub limit: RefCell<Option<(i64, String)>>,
    /// Lengths that are the same wherever streams meet, but for some streams that are too short.
    met: RefCell<Vec<Vec<TDim>>>,
    /// How far frames see, by the nodes where attention ends: the same for all pulses.
    pub reaches: &'a Reaches,
    /// The layers that give other numbers than the batch model's, and why, where that is allowed.
    pub unequal: Option<RefCell<Vec<String>>>,
}

pub(super) type Reaches = RefCell<HashMap<usize, Rc<Result<Reach, String>>>>;

impl Translator<'_> {
    pub fn new<'a>(
        symbol: &'a Symbol,
        pulse: i64,
        reaches: &'a Reaches,
        allow_unequal: bool,
    ) -> Translator<'a> {
        let (limit, met) = (RefCell::default(), RefCell::default());
        let unequal = allow_unequal.then(RefCell::default);
        Translator { symbol, pulse, limit, met, reaches, unequal }
    }

    /// The lengths of streams that are not as long where they meet as where they part: there the
    /// batch model repeats the one frame of the shorter, or fails.
    pub fn irregular(&self) -> Vec<i64> {
        let met = self.met.borrow();
        let same = |dims: &Vec<TDim>, n| {
            let first = length(&dims[0], self.symbol, n);
            first.is_ok_and(|first| {
                dims.iter().all(|dim| length(dim, self.symbol, n).is_ok_and(|len| len == first))
            })
        };
        (0..self.long().min(SHORT)).filter(|n| !met.iter().all(|dims| same(dims, *n))).collect()
    }

    /// How long the frames of a stream of this length must wait until the stream surely has them.
    pub fn early(&self, dim: &TDim, per_pulse: i64) -> TractResult<usize> {
        let turns = 1000;
        let known = length(dim, self.symbol, turns * self.pulse)?;
        Ok(usize::try_from(turns * per_pulse - known).unwrap_or(0))
    }

    /// A length from which on it can be told how many frames each pulse adds to a wire.
    pub fn long(&self) -> i64 {
        let longest = self.limit.borrow().as_ref().map_or(i64::MAX, |(units, _)| *units);
        (1000 * self.pulse).min(longest - 3 * self.pulse - 8).max(0)
    }
}

pub(super) type Mapping = HashMap<OutletId, OutletId>;

impl Translate<TypedFact, Box<dyn TypedOp>, PulsedFact, Box<dyn PulsedOp>> for Translator<'_> {
    fn translate_node(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let compared = self.wire(source, node, target, mapping).and_then(|outlets| {
            let compared = node.outputs.iter().zip(&outlets);
            for (output, &outlet) in compared.filter(|_| !gives_pairs(node, self.symbol)) {
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

/// The module that `node` comes from, where the file tells, and the node.
pub(crate) fn layer(source: &TypedModel, node: &TypedNode) -> String {
    let told = format!("{} {}", node.op.name(), node.name);
    match module(source, node) {
        Some(module) => format!("layer {module} ({told})"),
        None => told,
    }
}

/// The path of the module that `node` comes from, where the file tells.
pub(super) fn module(source: &TypedModel, node: &TypedNode) -> Option<String> {
    let modules = match source.properties.get(MODULES).map(|value| Property::new(value)) {
        Some(Ok(Property::Text(paths))) => paths,
        _ => String::new(),
    };
    let within = |module: &&str| {
        let prefix = module.replace('.', "_");
        let rest = node.name.strip_prefix(&prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '.']))
    };
    let module = modules.split_whitespace().filter(within).max_by_key(|module| module.len());
    module.map(ToString::to_string)
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
            let sources = source::pulsify(op, source, node, target, mapping, self.symbol, &pulse)?;
            return sources.context("a source is always pulsified");
        }
        let inputs: TVec<OutletId> = node.inputs.iter().map(|i| mapping[i]).collect();
        if gives_pairs(node, self.symbol) {
            let ends = |o: &OutletId| o.node == node.id;
            ensure!(!source.output_outlets()?.iter().any(ends), "{}", rules::ALL_PAIRS);
            // They are wired where they end; until then anything stands for them.
            return Ok(node.outputs.iter().map(|_| inputs[0]).collect());
        }
        if ends_pairs(source, node, self.symbol)? {
            return self
                .attention(source, node, target, mapping)
                .or_else(|why| self.unequal_pairs(source, node, target, mapping, why));
        }
        let streams = |target: &PulsedModel, outlet: &OutletId| {
            target.outlet_fact(*outlet).is_ok_and(|fact| fact.stream.is_some())
        };
        let generates = node.outputs.iter().any(|o| rules::axis_of(&o.fact, self.symbol).is_some());
        if !generates && !inputs.iter().any(|i| streams(target, i)) {
            rules::check_fixed(source, node, self.symbol)?;
            return target.wire_node(&node.name, Fixed::new(node), &inputs);
        }
        let treatment = match rules::treatment(source, node, self.symbol) {
            Ok(treatment) => treatment,
            Err(why) => return self.unequal(source, node, target, mapping, why),
        };
        match treatment {
            Treatment::PerFrame => {
                self.meet(source, node)?;
                let inputs = Self::synchronize(node, target, mapping)?;
                let op = PerFrame::new(node, self.symbol);
                target.wire_node(&node.name, op, &inputs)
            }
            Treatment::Broadcast => self.broadcast(source, node, target, mapping),
            Treatment::Positions => self.positions(source, node, target, mapping),
            Treatment::Table => self.table(source, node, target, mapping),
            Treatment::Reflected => self.reflected(node, target, mapping),
            Treatment::Transposed => self.transposed(source, node, target, mapping),
            Treatment::Pulsifier { reads_end } => {
                let mut inputs = Self::synchronize(node, target, mapping)?;
                if reads_end {
                    for (slot, input) in inputs.iter_mut().enumerate() {
                        *input =
                            hold_back(self, &format!("{}.end-{slot}", node.name), target, *input)?;
                    }
                }
                let mut mapping = mapping.clone();
                mapping.extend(node.inputs.iter().copied().zip(inputs));
                self.pulsify(source, node, target, &mapping)
            }
        }
    }

    /// tract's own way for the operator of `node`.
    pub fn pulsify(
        &self,
        source: &TypedModel,
        node: &TypedNode,
        target: &mut PulsedModel,
        mapping: &Mapping,
    ) -> TractResult<TVec<OutletId>> {
        let (symbol, pulse) = (self.symbol, self.pulse.to_dim());
        let outlets = OpPulsifier::pulsify(source, node, target, mapping, symbol, &pulse)?
            .with_context(|| format!("tract can't stream {}", node.op.name()))?;
        for outlet in &outlets {
            let op = target.node_mut(outlet.node).op.as_op_mut();
            if let Some(scan) = op.downcast_mut::<Scan>() {
                // Its first state may be an input: it is the stream's first, not each pulse's.
                scan.reset_every_turn = false;
            }
        }
        Ok(outlets)
    }

    /// Notes the lengths of the streams that meet in `node`.
    fn meet(&self, source: &TypedModel, node: &TypedNode) -> TractResult<()> {
        let mut dims: Vec<TDim> = vec![];
        for fact in source.node_input_facts(node.id)? {
            if let Some(axis) = rules::axis_of(fact, self.symbol)
                && !dims.contains(&fact.shape[axis])
            {
                dims.push(fact.shape[axis].clone());
            }
        }
        if dims.len() > 1 && !self.met.borrow().contains(&dims) {
            self.met.borrow_mut().push(dims);
        }
        Ok(())
    }

    /// Delays the inputs of `node` that are ahead of others.
    pub fn synchronize(
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

    /// Refuses a pulsed wire that does not carry what the batch model's wire does.
    pub fn compare(&self, batch: &TypedFact, pulsed: &PulsedFact) -> TractResult<()> {
        let Some(stream) = &pulsed.stream else {
            let axis = rules::axis_of(batch, self.symbol);
            ensure!(axis.is_none(), "tract lost the stream on the way");
            return Ok(());
        };
        let streams =
            batch.shape.get(stream.axis).is_some_and(|dim| dim.symbols().contains(self.symbol));
        ensure!(streams, "tract lost the stream's axis on the way");
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
                "tract takes the stream to be {} frames long, it is {dim}",
                stream.dim
            );
        }
        Ok(())
    }
}

/// `dim`, a length, where the symbol is `value`.
pub(super) fn length(dim: &TDim, symbol: &Symbol, value: i64) -> TractResult<i64> {
    let values = SymbolValues::default().with(symbol, value);
    dim.eval(&values).as_i64().with_context(|| format!("{dim} depends on more than {symbol}"))
}

pub(super) fn delay(fact: &PulsedFact) -> usize {
    fact.stream.as_ref().map_or(0, |stream| stream.delay)
}

pub(super) fn delayed(
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
pub(super) fn hold_back(
    translator: &Translator<'_>,
    name: &str,
    target: &mut PulsedModel,
    input: OutletId,
) -> TractResult<OutletId> {
    let fact = target.outlet_fact(input)?;
    let Some(stream) = &fact.stream else { return Ok(input) };
    let per_pulse = fact.shape[stream.axis].as_i64().context("a pulse of fixed length")?;
    let early = translator.early(&stream.dim, per_pulse)?.saturating_sub(stream.delay);
    delayed(name, target, input, early)
}
