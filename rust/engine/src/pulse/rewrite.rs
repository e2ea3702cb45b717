//! What is said in another way before a model is pulsed.

use tract_core::model::{TypedModel, TypedModelPatch, TypedNode};
use tract_core::ops::Downsample;
use tract_core::ops::array::{Gather, Range};
use tract_core::ops::cast::Cast;
use tract_core::prelude::Symbol;

use super::rules::axis_of;
use super::values::constant;

/// Says a gather at every so many positions of the stream as what tract can stream.
pub(super) fn every_few_frames(graph: &mut TypedModel, symbol: &Symbol) -> anyhow::Result<()> {
    for id in 0..graph.nodes.len() {
        let node = graph.node(id);
        if let Some(op) = every_few(graph, node, symbol) {
            let mut patch = TypedModelPatch::default();
            let frames = patch.tap_model(graph, node.inputs[0])?;
            let few = patch.wire_node(&node.name, op, &[frames])?;
            // Where the positions end before the stream does, the sizes differ.
            if patch.shunt_outside(graph, id.into(), few[0]).is_ok() {
                patch.apply(graph)?;
            }
        }
    }
    Ok(())
}

fn every_few(graph: &TypedModel, node: &TypedNode, symbol: &Symbol) -> Option<Downsample> {
    let op = node.op_as::<Gather>()?;
    let frames = graph.outlet_fact(node.inputs[0]).ok()?;
    if axis_of(frames, symbol) != Some(op.axis) {
        return None;
    }
    let mut positions = graph.node(node.inputs[1].node);
    while !positions.op_is::<Range>() {
        let origins: Vec<usize> = positions.inputs.iter().map(|i| uncast(graph, i.node)).collect();
        // The exporter writes `x & x` where tract must not guess a mask from positions.
        let passes = positions.op_is::<Cast>() || positions.op.name() == "BitAnd";
        if !passes || origins.iter().any(|origin| *origin != origins[0]) {
            return None;
        }
        positions = graph.node(*origins.first()?);
    }
    let facts = graph.node_input_facts(positions.id).ok()?;
    let (first, step) = (constant(facts[0])?.as_i64()?, constant(facts[2])?.as_i64()?);
    let (modulo, stride) = (usize::try_from(first).ok()?, isize::try_from(step).ok()?);
    (stride > 0).then_some(Downsample { axis: op.axis, stride, modulo })
}

/// The node whose value `node` casts, if it does.
fn uncast(graph: &TypedModel, mut node: usize) -> usize {
    while graph.node(node).op_is::<Cast>() {
        node = graph.node(node).inputs[0].node;
    }
    node
}
