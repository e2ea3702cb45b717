//! Loops whose sizes are products of symbols.
//!
//! tract (0.23.9) finds the symbols of a loop's body from the shapes that the body is given, and a
//! batch of `B*K` tells neither. Each symbol that no axis is alone gets an input of its own.

use std::collections::BTreeSet;

use tract_core::internal::{TractResult, tensor0};
use tract_core::model::{DatumTypeExt as _, SpecialOps as _, TypedModel, TypedModelPatch};
use tract_core::ops::array::MultiBroadcastTo;
use tract_core::ops::scan::{InputMapping, Scan};
use tract_core::prelude::{DatumType, OutletId, Symbol, TDim};

/// Tells the loops of a graph, which is ready to be optimised, the sizes that they can't find.
pub(crate) fn tell_scans_sizes(graph: &mut TypedModel) -> TractResult<()> {
    let mut told = false;
    for id in 0..graph.nodes.len() {
        let Some(scan) = graph.node(id).op_as::<Scan>() else { continue };
        let symbols = untold(&scan.body)?;
        if symbols.is_empty() {
            continue;
        }
        let mut scan = scan.clone();
        let mut patch = TypedModelPatch::default();
        let node = graph.node(id);
        let mut inputs: Vec<OutletId> = patch.taps(graph, &node.inputs)?.to_vec();
        for symbol in symbols {
            let name = format!("{}.{symbol}", node.name);
            let fact = DatumType::U8.fact([TDim::from(symbol)]);
            let shape = fact.shape.clone();
            let size = scan.body.add_source(&name, fact)?;
            // The first, so that they are known where the other inputs are checked.
            scan.body.inputs.pop();
            scan.body.inputs.insert(0, size);
            scan.input_mapping.insert(0, InputMapping::Full);
            let zero =
                patch.add_const(format!("{name}.zero"), tensor0(0u8).broadcast_into_rank(1)?)?;
            inputs.insert(0, patch.wire_node(name, MultiBroadcastTo { shape }, &[zero])?[0]);
        }
        let outputs = patch.wire_node(&node.name, scan, &inputs)?;
        for (slot, output) in outputs.into_iter().enumerate() {
            patch.shunt_outside(graph, OutletId::new(id, slot), output)?;
        }
        patch.apply(graph)?;
        told = true;
    }
    if told { graph.compact() } else { Ok(()) }
}

/// The symbols of a body's inputs of which none is an axis by itself.
fn untold(body: &TypedModel) -> TractResult<BTreeSet<Symbol>> {
    let mut all = BTreeSet::new();
    let mut alone = BTreeSet::new();
    for input in &body.inputs {
        for axis in body.outlet_fact(*input)?.shape.iter() {
            all.extend(axis.symbols());
            alone.extend(match axis {
                TDim::Sym(symbol) => Some(symbol.clone()),
                _ => None,
            });
        }
    }
    Ok(all.difference(&alone).cloned().collect())
}
