//! Wires with two axes of frames, as attention's scores have: one of the frames that see, the
//! queries, and one of the frames that are seen, the keys.

use anyhow::ensure;
use tract_core::internal::{AxisOp, InOut, TVec, TractResult};
use tract_core::model::{TypedFact, TypedModel, TypedNode};
use tract_core::ops::array::{Gather, MultiBroadcastTo};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;
use tract_core::ops::logic::Iff;
use tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};
use tract_core::prelude::Symbol;

use crate::pulse::values::reads_length;

/// The axes of a wire that run over queries and over keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sides {
    pub queries: Option<usize>,
    pub keys: Option<usize>,
}

/// The axes whose sizes depend on `symbol`.
fn streams(fact: &TypedFact, symbol: &Symbol) -> TVec<usize> {
    let axes = fact.shape.iter().enumerate();
    axes.filter(|(_, dim)| dim.symbols().contains(symbol)).map(|(axis, _)| axis).collect()
}

/// Whether a wire sets every frame against every other.
pub(super) fn is_pair(fact: &TypedFact, symbol: &Symbol) -> bool {
    streams(fact, symbol).len() == 2
}

/// Whether `node` gives such a wire.
pub(in crate::pulse) fn gives_pairs(node: &TypedNode, symbol: &Symbol) -> bool {
    node.outputs.iter().any(|output| is_pair(&output.fact, symbol))
}

/// Whether `node` makes one result for each query of such wires.
pub(in crate::pulse) fn ends_pairs(
    source: &TypedModel,
    node: &TypedNode,
    symbol: &Symbol,
) -> TractResult<bool> {
    let inputs = source.node_input_facts(node.id)?;
    let one = node.outputs.iter().all(|output| streams(&output.fact, symbol).len() == 1);
    Ok(one && inputs.iter().any(|fact| is_pair(fact, symbol)))
}

/// The sides of the result of a node that ends pairs.
pub(super) fn ending(node: &TypedNode, symbol: &Symbol) -> Sides {
    Sides { queries: streams(&node.outputs[0].fact, symbol).first().copied(), keys: None }
}

/// The sides of the inputs of `node`, whose result has these.
pub(super) fn of_inputs(
    source: &TypedModel,
    node: &TypedNode,
    sides: Sides,
    symbol: &Symbol,
) -> TractResult<TVec<Sides>> {
    check(node, sides)?;
    let inputs = source.node_input_facts(node.id)?;
    ensure!(
        !inputs.iter().any(|fact| reads_length(fact, symbol)),
        "it computes with {symbol}, the number of frames, which nobody knows before the stream's \
         end; compute with numbers that don't depend on it"
    );
    let outputs: TVec<&TypedFact> = node.outputs.iter().map(|output| &output.fact).collect();
    let mapping = node.op.axes_mapping(&inputs, &outputs)?;
    let mut of_inputs = TVec::new();
    for (slot, fact) in inputs.iter().enumerate() {
        let streams = streams(fact, symbol);
        let tied = |axis: usize| {
            let axis = mapping.axis((InOut::Out(0), axis)).ok()?;
            axis.inputs[slot].iter().copied().find(|axis| streams.contains(axis))
        };
        let summed = || {
            let ends = |axis: &usize| {
                mapping.axis((InOut::In(slot), *axis)).is_ok_and(|axis| axis.outputs[0].is_empty())
            };
            streams.iter().copied().find(ends)
        };
        let keys = sides.keys.map_or_else(summed, tied);
        let found = Sides { queries: sides.queries.and_then(tied), keys };
        ensure!(
            streams.iter().all(|axis| [found.queries, found.keys].contains(&Some(*axis))),
            "it mixes frames with frames in a way that nothing is known of"
        );
        of_inputs.push(found);
    }
    Ok(of_inputs)
}

/// Refuses operators that depend on how many queries or keys there are, or on their places.
fn check(node: &TypedNode, sides: Sides) -> TractResult<()> {
    let op = &node.op;
    if let Some(op) = node.op_as::<Softmax>() {
        let queries = sides.queries.is_some_and(|axis| op.axes.contains(&axis));
        ensure!(!queries, "it takes its sum over the frames that see; take it over those seen");
        ensure!(op.kind == SoftmaxKind::Softmax, "a log_softmax over frames; use a softmax");
        return Ok(());
    }
    if let Some(op) = node.op_as::<Reduce>() {
        let known = matches!(op.reducer, Reducer::Sum | Reducer::Max | Reducer::Min);
        ensure!(known, "nothing is known of how {:?} over frames streams", op.reducer);
        return Ok(());
    }
    let known = is_by_element(node)
        || op.is::<EinSum>()
        || op.is::<MultiBroadcastTo>()
        || op.is::<Gather>();
    ensure!(known, "nothing is known of how {} over pairs of frames streams", op.name());
    Ok(())
}

/// Whether an operator treats each element by itself, or only moves axes.
pub(super) fn is_by_element(node: &TypedNode) -> bool {
    let op = &node.op;
    op.is::<ElementWiseOp>()
        || op.is::<TypedBinOp>()
        || op.is::<Cast>()
        || op.is::<Iff>()
        || op.is::<Identity>()
        || op.is::<AxisOp>()
}
