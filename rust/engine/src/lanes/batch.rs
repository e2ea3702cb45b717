//! The axis on which the streams of a turn lie side by side, and whether they stay apart there.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use tract_core::batchify::batchify;
use tract_core::internal::{AxisOp, RunOptions};
use tract_core::model::{TypedFact, TypedNode};
use tract_core::ops::Downsample;
use tract_core::ops::gru_cell::GruEpilogue;
use tract_core::ops::lstm_cell::LstmEpilogue;
use tract_core::ops::scan::{InputMapping, Scan};
use tract_core::prelude::{IntoTValue, Symbol, TDim, TValue, Tensor, TypedModel, TypedSimplePlan};
use tract_linalg::multithread::Executor;
use tract_pulse_opl::concat::PulsedSameAxisConcat;
use tract_pulse_opl::ops::{DeconvDelay, Delay, PulseMask, PulsePad, PulsedCumSum};

use crate::optimize::optimized;
use crate::pulse::{PulsedModel, Treatment, layer, treatment};
use crate::stream::PulsedRunnable;
use crate::symbol::free_symbols;
use crate::track::Due;

const ALONG: &str = "one item of a batch may depend on another there";

/// A network for batches of streams.
#[derive(Debug)]
pub(super) struct Batch {
    pub plan: Arc<TypedSimplePlan>,
    pub symbol: Symbol,
    /// Of each input, the axis of the streams.
    pub inputs: Vec<usize>,
    /// Of each output.
    pub outputs: Vec<usize>,
    /// Whether that is an axis which the model itself does not have.
    pub added: bool,
}

impl Batch {
    /// The batch axis that the model has, or else one that is added to it.
    pub fn of(runnable: &PulsedRunnable) -> anyhow::Result<Batch> {
        let pulsed = &runnable.pulsed;
        let graph = &pulsed.model.graph;
        let found = symbol_of(pulsed)?;
        let added = found.is_none();
        let (symbol, graph) = if let Some(symbol) = found {
            (symbol, TypedModel::clone(graph))
        } else {
            let symbol = graph.symbols.new_with_prefix("streams");
            let batched = batchify(graph, &symbol, &[]).context(
                "the model has no symbol for a batch, and tract can't add one; export it with a \
                 dynamic batch axis",
            )?;
            (symbol, batched)
        };
        check_apart(&graph, &symbol)?;
        let axes = |facts: anyhow::Result<Vec<&TypedFact>>| -> anyhow::Result<Vec<usize>> {
            let axis = |fact: &&TypedFact| axis_of(fact, &symbol).context("an axis of streams");
            facts?.iter().map(axis).collect()
        };
        let inputs = axes((0..pulsed.inputs.len()).map(|i| graph.input_fact(i)).collect())?;
        let outputs = axes((0..pulsed.outputs.len()).map(|i| graph.output_fact(i)).collect())?;
        let best = if added {
            optimized(graph)?
        } else {
            TypedModel::clone(runnable.runnable.plan.model())
        };
        Ok(Batch { plan: plan(best)?, symbol, inputs, outputs, added })
    }

    /// Refuses a stream that is a batch itself.
    pub fn check_single(&self, due: &Due) -> anyhow::Result<()> {
        let size = if self.added { None } else { due.symbol(&self.symbol) };
        ensure!(
            size.is_none_or(|size| size == 1),
            "{}={}: a pool takes each stream by itself, as a batch of one",
            self.symbol,
            size.unwrap_or_default()
        );
        Ok(())
    }

    /// The inputs of several streams side by side.
    pub fn join<'a>(
        &self,
        axis: usize,
        seats: impl Iterator<Item = &'a TValue>,
    ) -> anyhow::Result<TValue> {
        let seats = seats.map(|seat| {
            let mut tensor = Tensor::clone(seat);
            if self.added {
                tensor.insert_axis(axis)?;
            }
            Ok(tensor)
        });
        let seats = seats.collect::<anyhow::Result<Vec<Tensor>>>()?;
        Ok(Tensor::stack_tensors(axis, &seats)?.into_tvalue())
    }

    /// The part of one stream.
    pub fn cut(&self, axis: usize, output: &TValue, seat: usize) -> anyhow::Result<TValue> {
        let mut part = output.slice(axis, seat, seat + 1)?;
        if self.added {
            part.remove_axis(axis)?;
        }
        Ok(part.into_tvalue())
    }
}

/// The plan of a network that one thread computes: threads make turns of their own, which gains more
/// than to share one.
pub(super) fn plan(optimized: TypedModel) -> anyhow::Result<Arc<TypedSimplePlan>> {
    let executor = Some(Executor::SingleThread);
    TypedSimplePlan::new_with_options(optimized, &RunOptions { executor, ..RunOptions::default() })
}

/// The axis of `fact` that is as long as `symbol` says.
pub(super) fn axis_of(fact: &TypedFact, symbol: &Symbol) -> Option<usize> {
    fact.shape.iter().position(|dim| *dim == TDim::Sym(symbol.clone()))
}

/// The symbol of the batch, if the model has any that is free.
fn symbol_of(pulsed: &PulsedModel) -> anyhow::Result<Option<Symbol>> {
    let graph = &pulsed.model.graph;
    let free = free_symbols(graph);
    let mut facts = vec![];
    for i in 0..pulsed.inputs.len() {
        facts.push(graph.input_fact(i)?);
    }
    for i in 0..pulsed.outputs.len() {
        facts.push(graph.output_fact(i)?);
    }
    let everywhere = |symbol: &&Symbol| facts.iter().all(|fact| axis_of(fact, symbol).is_some());
    let mut batches = free.iter().filter(everywhere);
    match (batches.next(), batches.next()) {
        (Some(symbol), None) => Ok(Some(symbol.clone())),
        (Some(one), Some(other)) => {
            bail!("{one} and {other} are axes of all inputs and outputs: set one of them")
        }
        (None, _) => {
            let alone: Vec<String> = free.iter().map(ToString::to_string).collect();
            ensure!(
                alone.is_empty(),
                "{}: no axis of all inputs and outputs, so it can't tell streams apart: set it",
                alone.join(", ")
            );
            Ok(None)
        }
    }
}

/// Refuses a graph in which one item of the batch depends on another.
fn check_apart(graph: &TypedModel, symbol: &Symbol) -> anyhow::Result<()> {
    for node in &graph.nodes {
        if let Some(scan) = node.op_as::<Scan>() {
            check_apart(&scan.body, symbol).with_context(|| layer(graph, node))?;
        }
        stays_apart(graph, node, symbol)
            .with_context(|| format!("{}: streams can't share turns", layer(graph, node)))?;
    }
    Ok(())
}

fn stays_apart(graph: &TypedModel, node: &TypedNode, symbol: &Symbol) -> anyhow::Result<()> {
    let inputs = graph.node_input_facts(node.id)?;
    let has = |fact: &TypedFact| fact.shape.iter().any(|dim| dim.symbols().contains(symbol));
    if inputs.is_empty() {
        return Ok(());
    }
    if !inputs.iter().any(|fact| has(fact)) && !node.outputs.iter().any(|o| has(&o.fact)) {
        ensure!(along(node).is_none(), "what it remembers would be the same for all of them");
        return Ok(());
    }
    if let Some(axis) = along(node) {
        let batch = axis_of(inputs[0], symbol);
        let batch = batch.context("the batch is no axis of its own there")?;
        ensure!(axis != batch, "{ALONG}");
        return Ok(());
    }
    if let Some(scan) = node.op_as::<Scan>() {
        for (mapping, fact) in scan.input_mapping.iter().zip(&inputs) {
            if let InputMapping::Scan(info) = mapping {
                ensure!(Some(info.axis) != axis_of(fact, symbol), "{ALONG}");
            }
        }
        return Ok(());
    }
    if node.op_is::<LstmEpilogue>() || node.op_is::<GruEpilogue>() {
        let batch = axis_of(inputs[0], symbol);
        ensure!(batch.is_some_and(|axis| axis + 1 < inputs[0].rank()), "{ALONG}");
        return Ok(());
    }
    // What streams along the batch, frame by frame, does not mix it.
    match treatment(graph, node, symbol) {
        Ok(Treatment::PerFrame | Treatment::Broadcast) => Ok(()),
        Ok(Treatment::Pulsifier { .. }) if node.op_is::<AxisOp>() => Ok(()),
        _ => bail!("{ALONG}"),
    }
}

/// The axis along which an operator of a pulsed graph remembers, or takes one of so many.
fn along(node: &TypedNode) -> Option<usize> {
    let delay = || node.op_as::<Delay>().map(|op| op.axis);
    let pad = || node.op_as::<PulsePad>().map(|op| op.axis);
    let concat = || node.op_as::<PulsedSameAxisConcat>().map(|op| op.axis);
    let sum = || node.op_as::<PulsedCumSum>().map(|op| op.axis);
    let mask = || node.op_as::<PulseMask>().map(|op| op.axis);
    let spread = || node.op_as::<DeconvDelay>().map(|op| op.axis);
    let few = || node.op_as::<Downsample>().map(|op| op.axis);
    delay().or_else(pad).or_else(concat).or_else(sum).or_else(mask).or_else(spread).or_else(few)
}
