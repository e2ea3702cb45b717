//! tract's optimiser, and what it leaves slow (0.23.9) where sizes are symbols.

use std::sync::Arc;

use anyhow::Context;
use tract_core::internal::{
    AxisOp, EvalContext, EvalOp, Op, StaticName, TValue, TVec, Tensor, TractResult, as_op,
    op_as_typed_op, op_out_of_plan, tvec,
};
use tract_core::model::{
    DatumTypeExt as _, SpecialOps as _, TypedFact, TypedModel, TypedModelPatch, TypedOp,
};
use tract_core::ops::binary::{OptBinByScalar, OptBinUnicast, TypedBinOp};
use tract_core::ops::konst::Const;
use tract_core::ops::matmul::pack::OptMatMulPack;
use tract_core::prelude::{IntoArcTensor, IntoTValue, IntoTensor, OutletId, SymbolValues, TDim};

use crate::attention::faster;
use crate::declutter::declutter_to_run;
use crate::scan_sizes::tell_scans_sizes;

/// What stands for each symbol where a kernel is chosen: sizes at which kernels pay.
const TYPICAL: i64 = 64;

/// The graph as this processor computes it best.
pub(crate) fn optimized(mut graph: TypedModel) -> anyhow::Result<TypedModel> {
    declutter_to_run(&mut graph)?;
    tell_scans_sizes(&mut graph)?;
    graph.optimize()?;
    pack_shared_weights(&mut graph)?;
    for id in 0..graph.nodes.len() {
        if let Some(op) = faster(graph.nodes[id].op.as_ref()) {
            graph.nodes[id].op = op;
        } else if let Some(op) = vectorized(&graph, id) {
            graph.nodes[id].op = op;
        } else if let Some(op) = graph.nodes[id].op_as::<AxisOp>() {
            graph.nodes[id].op = Box::new(Natural(op.clone()));
        }
    }
    Ok(graph)
}

/// Packs weights ahead that several operators use: tract packs those anew in each run, beyond 4 MB,
/// so as not to keep a copy for each. Here all that want the same form share it.
fn pack_shared_weights(graph: &mut TypedModel) -> anyhow::Result<()> {
    let mut packed: Vec<(OutletId, Box<dyn TypedOp>, Arc<Tensor>)> = vec![];
    for id in 0..graph.nodes.len() {
        let node = graph.node(id);
        let [weights] = node.inputs[..] else { continue };
        let (true, Some(konst)) =
            (node.op_is::<OptMatMulPack>(), graph.outlet_fact(weights)?.konst.clone())
        else {
            continue;
        };
        let known = packed.iter().find(|(from, op, _)| *from == weights && op == &node.op);
        let tensor = if let Some((.., tensor)) = known {
            Arc::clone(tensor)
        } else {
            let Some(outputs) = node.op.eval_out_of_plan(tvec!(konst.into_tvalue()))? else {
                continue;
            };
            outputs.into_iter().next().context("a packing has an output")?.into_arc_tensor()
        };
        packed.push((weights, node.op.clone(), Arc::clone(&tensor)));
        let fact = graph.outlet_fact(id.into())?.exotic_fact.clone();
        let mut patch = TypedModelPatch::default();
        let constant = Const::new_with_opt_exotic_fact(tensor, fact)?;
        let wire = patch.wire_node(&node.name, constant, &[])?[0];
        patch.shunt_outside(graph, id.into(), wire)?;
        patch.apply(graph)?;
    }
    graph.compact()
}

/// The vectorised form of an operator of two tensors that tract kept in its general form, since it
/// could not prove that there is enough to compute.
fn vectorized(graph: &TypedModel, id: usize) -> Option<Box<dyn TypedOp>> {
    let node = graph.node(id);
    let op = node.op_as::<TypedBinOp>()?;
    let facts = graph.node_input_facts(id).ok()?;
    let mut typical = TypedModel::default();
    let mut inputs = vec![];
    for (i, fact) in facts.iter().enumerate() {
        let symbols = fact.shape.iter().flat_map(TDim::symbols);
        let values = symbols.fold(SymbolValues::default(), |known, s| known.with(&s, TYPICAL));
        let sizes = fact.shape.iter().map(|dim| dim.eval_to_i64(&values).ok());
        // `eval_to_usize` panics below 0, as where a window is longer than `TYPICAL`.
        let shape = sizes.map(|size| size?.try_into().ok()).collect::<Option<TVec<usize>>>()?;
        let fact = fact.datum_type.fact(shape);
        inputs.push(typical.add_source(format!("input-{i}"), fact).ok()?);
    }
    let outputs = typical.wire_node("output", op.clone(), &inputs).ok()?;
    typical.select_output_outlets(&outputs).ok()?;
    let typical = typical.into_optimized().ok()?;
    let chosen = typical.node(typical.output_outlets().ok()?[0].node);
    let sources: Vec<OutletId> = typical.input_outlets().ok()?.to_vec();
    if chosen.inputs[..] != sources[..]
        || !(chosen.op_is::<OptBinUnicast>() || chosen.op_is::<OptBinByScalar>())
    {
        return None;
    }
    // It holds its operands' shapes to what it can take, whatever the symbols' values.
    let given = chosen.op.output_facts(&facts).ok()?;
    let same = given[0].shape == node.outputs[0].fact.shape
        && given[0].datum_type == node.outputs[0].fact.datum_type;
    same.then(|| chosen.op.clone())
}

/// A change of axes whose result has natural strides. An axis of size 1 that tract adds has others:
/// nothing in memory differs, but vectorised operators refuse such a tensor, and their general form
/// takes twenty times as long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Natural(AxisOp);

impl Op for Natural {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    op_as_typed_op!();
}

impl EvalOp for Natural {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.0.eval(ctx, inputs)?;
        Ok(outputs.into_iter().map(natural).collect())
    }
}

impl TypedOp for Natural {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }
}

fn natural(value: TValue) -> TValue {
    let shape: TVec<usize> = value.shape().into();
    let strides = Tensor::natural_strides(&shape);
    if value.strides() == &*strides {
        return value;
    }
    let mut tensor = value.into_tensor();
    // SAFETY: tract's tensors lie in memory in the order of their axes, whatever their strides say.
    unsafe { tensor.set_geometry_unchecked(&shape, &strides) };
    tensor.into_tvalue()
}
