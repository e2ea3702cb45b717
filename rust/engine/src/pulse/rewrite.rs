//! What is said in another way before a model is pulsed.

use std::mem;

use tract_core::internal::{DimLike as _, TDim, TVec};
use tract_core::model::{SpecialOps as _, TypedModel, TypedModelPatch, TypedNode};
use tract_core::ops::array::{Gather, MultiBroadcastTo, Pad, PadMode, Range};
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::{PaddingSpec, SumPool};
use tract_core::ops::{Downsample, math};
use tract_core::prelude::{IntoArcTensor, Symbol, Tensor, tensor0, tensor1};

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

/// Says an average of padded frames as one of frames and zeros, divided by how many of them are
/// frames where zeros don't count.
pub(super) fn padded_averages(graph: &mut TypedModel, symbol: &Symbol) -> anyhow::Result<()> {
    for id in 0..graph.nodes.len() {
        if let Some(patch) = padded_average(graph, graph.node(id), symbol)? {
            patch.apply(graph)?;
        }
    }
    Ok(())
}

fn padded_average(
    graph: &TypedModel,
    node: &TypedNode,
    symbol: &Symbol,
) -> anyhow::Result<Option<TypedModelPatch>> {
    let Some(op) = node.op_as::<SumPool>() else { return Ok(None) };
    let fact = graph.outlet_fact(node.inputs[0])?;
    let mut spec = op.pool_spec.clone();
    let shape = spec.data_format.shape(&*fact.shape)?;
    let padding = spec.computed_padding(shape.hw_dims());
    let numbers = |dims: Vec<&TDim>| -> Option<TVec<usize>> {
        dims.iter().map(|dim| dim.to_usize().ok()).collect()
    };
    let before = numbers(padding.iter().map(|dim| &dim.pad_before).collect());
    let after = numbers(padding.iter().map(|dim| &dim.pad_after).collect());
    let (Some(axis), Some(mut before), Some(mut after)) = (axis_of(fact, symbol), before, after)
    else {
        return Ok(None);
    };
    let at = axis.checked_sub(shape.h_axis()).filter(|at| *at < before.len());
    let Some(at) = at else { return Ok(None) };
    let around = (mem::take(&mut before[at]), mem::take(&mut after[at]));
    if around == (0, 0) {
        return Ok(None);
    }
    spec.padding = PaddingSpec::Explicit(before, after);
    let counted = op.normalize && !op.count_include_pad;
    let pool = SumPool {
        pool_spec: spec.clone(),
        count_include_pad: op.count_include_pad,
        normalize: op.normalize && !counted,
    };
    let mut pads = vec![(0, 0); fact.rank()];
    pads[axis] = around;
    let zero = Tensor::zero_scalar_dt(fact.datum_type)?.into_arc_tensor();
    let pad = Pad { pads, mode: PadMode::Constant(zero) };
    let mut patch = TypedModelPatch::default();
    let total = |patch: &mut TypedModelPatch, name: &str, frames| {
        let padded = patch.wire_node(format!("{name}.padded"), pad.clone(), &[frames])?;
        anyhow::Ok(patch.wire_node(format!("{name}.total"), pool.clone(), &padded)?[0])
    };
    let frames = patch.tap_model(graph, node.inputs[0])?;
    let mut average = total(&mut patch, &node.name, frames)?;
    if counted {
        let name = format!("{}.ones", node.name);
        let one = tensor0(1f32).cast_to_dt(fact.datum_type)?.into_owned();
        let one = one.broadcast_scalar_to_shape(&vec![1; fact.rank()])?;
        let one = patch.add_const(format!("{name}.one"), one)?;
        let mut shape = fact.shape.clone();
        if spec.data_format.has_n() {
            shape.set(0, TDim::Val(1));
        }
        let ones = patch.wire_node(&name, MultiBroadcastTo { shape }, &[one])?[0];
        let frames = total(&mut patch, &name, ones)?;
        average = patch.wire_node(&node.name, math::div(), &[average, frames])?[0];
    }
    // Where sizes differ, the average stays as it is.
    Ok(patch.shunt_outside(graph, node.id.into(), average).is_ok().then_some(patch))
}

/// Takes every so many frames of a pulse by their places: tract's optimiser can't follow its own
/// operator for that through matrix products (0.23.9).
pub(super) fn downsampled(graph: &mut TypedModel) -> anyhow::Result<()> {
    for id in 0..graph.nodes.len() {
        let node = graph.node(id);
        let Some(op) = node.op_as::<Downsample>() else { continue };
        let Some(frames) = graph.outlet_fact(node.inputs[0])?.shape[op.axis].as_i64() else {
            continue;
        };
        let places = i64::try_from(op.modulo)?..frames;
        let places: Vec<i64> = places.step_by(op.stride.unsigned_abs()).collect();
        let mut patch = TypedModelPatch::default();
        let frames = patch.tap_model(graph, node.inputs[0])?;
        let places = patch.add_const(format!("{}.places", node.name), tensor1(&places))?;
        let few = patch.wire_node(&node.name, Gather::new(op.axis), &[frames, places])?;
        patch.shunt_outside(graph, id.into(), few[0])?;
        patch.apply(graph)?;
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
