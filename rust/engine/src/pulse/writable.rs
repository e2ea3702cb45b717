//! A pulsed graph brought to what tract's writer can say, and its reader takes.

use std::sync::{Arc, LazyLock};

use anyhow::bail;
use tract_core::internal::{TDim, TVec, TractResult};
use tract_core::model::{SpecialOps as _, TypedModel, TypedModelPatch, TypedNode};
use tract_core::ops::array::PadMode;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math;
use tract_core::ops::nn::gelu_exact::GeluExact;
use tract_core::ops::scan::Scan;
use tract_core::prelude::{OutletId, Symbol, SymbolValues, tensor0};
use tract_nnef::ast::RValue;
use tract_nnef::framework::Nnef;
use tract_nnef::internal::{IntoAst, Registry};
use tract_nnef::ser::{invocation, numeric, string, tdim};
use tract_pulse_opl::ops::{PulseMask, PulsePad};

use crate::load::nnef;

/// tract's writer, but for padding, whose value it leaves out where there is none while its reader
/// demands one.
pub(super) static WRITER: LazyLock<Nnef> = LazyLock::new(|| {
    let mut nnef = nnef();
    let mut registry = Registry::new("tract_pulse");
    registry.register_dumper(write_pad);
    nnef.registries.insert(0, registry);
    nnef
});

fn write_pad(
    ast: &mut IntoAst,
    node: &TypedNode,
    op: &PulsePad,
) -> TractResult<Option<Arc<RValue>>> {
    let (border, value) = match &op.mode {
        PadMode::Constant(value) => ("constant", value.cast_to_scalar::<f32>()?),
        PadMode::Edge => ("replicated", 0.0),
        PadMode::Reflect => ("reflect", 0.0),
    };
    let input = ast.mapping[&node.inputs[0]].clone();
    let parameters = [
        ("axis", numeric(op.axis)),
        ("before", numeric(op.before)),
        ("begin_input", numeric(op.begin_input)),
        ("overlap", numeric(op.overlap)),
        ("after", tdim(&op.after)),
        ("end_input", tdim(&op.end_input)),
        ("border", string(border)),
        ("value", numeric(value)),
    ];
    Ok(Some(invocation("tract_pulse_pulse_pad", &[input], &parameters)))
}

/// Changes nothing of what `graph` computes.
pub(super) fn prepare(graph: &mut TypedModel, symbol: &Symbol) -> anyhow::Result<()> {
    let mut unwritten = None;
    for node in &mut graph.nodes {
        if let Some(op) = node.op_as_mut::<PulsePad>() {
            op.after = settled(&op.after, symbol);
            op.end_input = settled(&op.end_input, symbol);
            unwritten =
                unwritten.or([&op.after, &op.end_input].into_iter().find(|d| chooses(d)).cloned());
        } else if let Some(op) = node.op_as_mut::<PulseMask>() {
            op.end = settled(&op.end, symbol);
            unwritten = unwritten.or(Some(op.end.clone()).filter(chooses));
        }
    }
    if let Some(dim) = unwritten {
        bail!(
            "tract can't write a stream's length that is {dim}, since it has no word for the \
             larger or smaller of two; save the batch model and pulse it once it is loaded"
        );
    }
    for id in 0..graph.nodes.len() {
        if graph.node(id).op_as::<ElementWiseOp>().is_some_and(|op| op.0.is::<GeluExact>()) {
            let patch = spelled_out_gelu(graph, graph.node(id))?;
            patch.apply(graph)?;
        }
    }
    name_apart(graph, "");
    Ok(())
}

/// `dim` without the minimum or maximum of terms of which one always is. tract can't write these.
pub(super) fn settled(dim: &TDim, symbol: &Symbol) -> TDim {
    let within =
        |terms: &[TDim]| -> Vec<TDim> { terms.iter().map(|t| settled(t, symbol)).collect() };
    match dim {
        TDim::Add(terms) => within(terms).into_iter().sum(),
        TDim::MulInt(factor, term) => settled(term, symbol) * *factor,
        TDim::Div(term, divisor) => settled(term, symbol) / *divisor,
        TDim::Min(terms) => always(&within(terms), symbol, |a, b| a <= b).unwrap_or(dim.clone()),
        TDim::Max(terms) => always(&within(terms), symbol, |a, b| a >= b).unwrap_or(dim.clone()),
        TDim::Broadcast(terms) => {
            always(&within(terms), symbol, |a, b| a == b).unwrap_or(dim.clone())
        }
        _ => dim.clone(),
    }
}

/// Whether a minimum or a maximum is left in `dim`.
fn chooses(dim: &TDim) -> bool {
    match dim {
        TDim::Min(_) | TDim::Max(_) | TDim::Broadcast(_) => true,
        TDim::Add(terms) | TDim::Mul(terms) => terms.iter().any(chooses),
        TDim::MulInt(_, term) | TDim::Div(term, _) => chooses(term),
        _ => false,
    }
}

/// The term that relates so to each of `terms`, however long the stream.
fn always(terms: &[TDim], symbol: &Symbol, relation: impl Fn(i64, i64) -> bool) -> Option<TDim> {
    let lengths = (0..64).chain([1 << 10, 1 << 20, 1 << 30]);
    let values: Vec<_> = lengths.map(|n| SymbolValues::default().with(symbol, n)).collect();
    let at = |term: &TDim, values| term.eval(values).as_i64();
    let holds = |term: &&TDim| {
        values.iter().all(|values| {
            terms.iter().all(|other| {
                matches!((at(term, values), at(other, values)), (Some(a), Some(b)) if relation(a, b))
            })
        })
    };
    terms.iter().find(holds).cloned()
}

/// tract recognises a GELU when it simplifies a graph, and has no name for it in a file.
fn spelled_out_gelu(graph: &TypedModel, node: &TypedNode) -> anyhow::Result<TypedModelPatch> {
    let mut patch = TypedModelPatch::default();
    let x = patch.tap_model(graph, node.inputs[0])?;
    let fact = &node.outputs[0].fact;
    let name = &node.name;
    let number = |patch: &mut TypedModelPatch, what: &str, value: f32| {
        let value = tensor0(value).cast_to_dt(fact.datum_type)?.into_owned();
        let ones: TVec<usize> = (0..fact.rank()).map(|_| 1).collect();
        patch.add_const(format!("{name}.{what}"), value.broadcast_scalar_to_shape(&ones)?)
    };
    let root = number(&mut patch, "root", std::f32::consts::FRAC_1_SQRT_2)?;
    let one = number(&mut patch, "one", 1.0)?;
    let half = number(&mut patch, "half", 0.5)?;
    let mut wire = |what: &str, op: Box<dyn tract_core::ops::TypedOp>, inputs: &[OutletId]| {
        anyhow::Ok(patch.wire_node(format!("{name}.{what}"), op, inputs)?[0])
    };
    let scaled = wire("scaled", Box::new(math::mul()), &[x, root])?;
    let erf = wire("erf", Box::new(math::erf()), &[scaled])?;
    let weight = wire("weight", Box::new(math::add()), &[erf, one])?;
    let halved = wire("halved", Box::new(math::mul()), &[x, half])?;
    let gelu = wire("gelu", Box::new(math::mul()), &[halved, weight])?;
    patch.shunt_outside(graph, node.id.into(), gelu)?;
    Ok(patch)
}

/// Gives every value of a scan's body a name of its own: tract refuses to read a body in which a
/// parameter is called as a result is.
fn name_apart(graph: &mut TypedModel, within: &str) {
    for (scan, node) in graph.nodes.iter_mut().enumerate() {
        if let Some(op) = node.op_as_mut::<Scan>() {
            let within = format!("{within}scan{scan}_");
            op.body.outlet_labels.clear();
            for (id, inner) in op.body.nodes.iter_mut().enumerate() {
                inner.name = format!("{within}{id}");
            }
            name_apart(&mut op.body, &within);
        }
    }
}
