//! What is known of the values in a graph before it runs.

use tract_core::internal::TDim;
use tract_core::model::{TypedFact, TypedModel, TypedNode};
use tract_core::ops::array::{DynSlice, Slice};
use tract_core::prelude::{DatumType, Symbol, Tensor};

use super::rules::axis_of;

/// A slice of a tensor that does not stream, up to a length that does.
pub(super) struct Table {
    pub axis: usize,
    pub start: i64,
    pub end: TDim,
}

/// How `node` cuts a table of positions to the stream's length, if that is what it does.
pub(super) fn table(source: &TypedModel, node: &TypedNode, symbol: &Symbol) -> Option<Table> {
    let facts = source.node_input_facts(node.id).ok()?;
    if axis_of(facts[0], symbol).is_some() {
        return None;
    }
    let (axis, start, end) = if let Some(op) = node.op_as::<Slice>() {
        (op.axis, op.start.clone(), op.end.clone())
    } else {
        let op = node.op_as::<DynSlice>()?;
        (op.axis, constant(facts[1])?, constant(facts[2])?)
    };
    let start = start.as_i64().filter(|start| *start >= 0)?;
    facts[0].shape[axis].as_i64()?;
    (end.guess_slope(symbol).0 > 0).then_some(Table { axis, start, end })
}

/// The number that a value is known to be, or the expression.
pub(super) fn constant(fact: &TypedFact) -> Option<TDim> {
    let value = fact.konst.as_ref()?.cast_to::<TDim>().ok()?;
    value.try_as_plain_ram().ok()?.as_slice::<TDim>().ok()?.first().cloned()
}

/// Whether a value is known to be made of `symbol`.
pub(super) fn reads_length(fact: &TypedFact, symbol: &Symbol) -> bool {
    let counts = |tensor: &Tensor| {
        tensor.datum_type() == DatumType::TDim
            && tensor
                .try_as_plain_ram()
                .and_then(|plain| {
                    Ok(plain.as_slice::<TDim>()?.iter().any(|d| d.symbols().contains(symbol)))
                })
                .unwrap_or(false)
    };
    [&fact.konst, &fact.uniform].into_iter().flatten().any(|tensor| counts(tensor))
}

/// Whether the operator itself holds `symbol`, as a slice or a broadcast may.
pub(super) fn mentions(node: &TypedNode, symbol: &Symbol) -> bool {
    let counted = |dim: &TDim| dim.symbols().contains(symbol);
    node.op_as::<Slice>().is_some_and(|op| counted(&op.start) || counted(&op.end))
}
