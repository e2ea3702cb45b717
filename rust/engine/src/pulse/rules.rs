//! What each operator does to a stream that runs through it, and which can't have one.

use anyhow::bail;
use tract_core::internal::{AxisOp, TDim, TractResult};
use tract_core::model::{TypedFact, TypedModel, TypedNode};
use tract_core::ops::Downsample;
use tract_core::ops::array::{
    CumSum, DynSlice, Gather, MultiBroadcastTo, OneHot, Pad, PadMode, Range, Slice, TypedConcat,
};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::{Conv, Deconv, MaxPool, PoolSpec, SumPool};
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::fft::{Fft, Stft};
use tract_core::ops::identity::Identity;
use tract_core::ops::konst::Const;
use tract_core::ops::logic::Iff;
use tract_core::ops::nn::{Reduce, RmsNorm, Softmax};
use tract_core::ops::scan::{InputMapping, Scan};
use tract_core::prelude::Symbol;
use tract_transformers::ops::apply_rope::{ApplyRope, RotateHalf};
use tract_transformers::ops::scaled_masked_softmax::ScaledMaskedSoftmax;

use super::values::{mentions, reads_length, table};
use super::writable::settled;

/// How an operator is made to stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It treats each frame by itself: a pulse of them is as good as all of them.
    PerFrame,
    /// It repeats what it is given along other axes.
    Broadcast,
    /// It counts frames.
    Positions,
    /// It cuts a tensor that does not stream to the stream's length.
    Table,
    /// It spreads each frame over several, and these add up.
    Transposed,
    /// It continues the stream by its own frames, backwards.
    Reflected,
    /// By tract's own pulsifier for it.
    Pulsifier {
        /// Whether what it gives for a frame depends on whether others follow.
        reads_end: bool,
    },
}

const BY_TRACT: Treatment = Treatment::Pulsifier { reads_end: false };
const READS_END: Treatment = Treatment::Pulsifier { reads_end: true };

pub(super) const ALL_PAIRS: &str = "it sets every frame against every other, those that are still to \
     come included; attention streams where a mask limits it to a window or to chunks";

const ALL_FRAMES: &str = "it takes all frames at once, those that are still to come included";

/// The one axis whose size depends on `symbol`.
pub(super) fn axis_of(fact: &TypedFact, symbol: &Symbol) -> Option<usize> {
    fact.shape.iter().position(|dim| dim.symbols().contains(symbol))
}

/// Refuses a node outside the stream that computes with its length.
pub(super) fn check_fixed(
    source: &TypedModel,
    node: &TypedNode,
    symbol: &Symbol,
) -> TractResult<()> {
    if node.op_is::<Const>() {
        return Ok(());
    }
    let facts = source.node_input_facts(node.id)?;
    if facts.iter().any(|fact| reads_length(fact, symbol)) || mentions(node, symbol) {
        bail!(
            "it computes with {symbol}, the number of frames, which nobody knows before the \
             stream's end; compute with numbers that don't depend on it"
        );
    }
    Ok(())
}

/// What `node` does to the stream of `symbol` that runs through it or begins in it.
pub(crate) fn treatment(
    source: &TypedModel,
    node: &TypedNode,
    symbol: &Symbol,
) -> TractResult<Treatment> {
    let inputs = source.node_input_facts(node.id)?;
    let outputs: Vec<&TypedFact> = node.outputs.iter().map(|o| &o.fact).collect();
    let streams =
        |fact: &TypedFact| fact.shape.iter().filter(|d| d.symbols().contains(symbol)).count();
    if outputs.iter().chain(&inputs).any(|fact| streams(fact) > 1) {
        bail!("{ALL_PAIRS}");
    }
    let input_axes: Vec<Option<usize>> = inputs.iter().map(|fact| axis_of(fact, symbol)).collect();
    let Some(node_streams) =
        outputs.iter().map(|fact| axis_of(fact, symbol)).collect::<Option<Vec<_>>>()
    else {
        bail!("{}", consumes(node));
    };
    if table(source, node, symbol).is_some() {
        return Ok(Treatment::Table);
    }
    if !node.op_is::<Range>() && inputs.iter().any(|fact| reads_length(fact, symbol)) {
        bail!(
            "it computes with {symbol}, the number of frames, which nobody knows before the \
               stream's end; compute with numbers that don't depend on it"
        );
    }
    if input_axes.iter().all(Option::is_none) {
        return generator(node, symbol);
    }
    by_operator(node, symbol, &input_axes, node_streams[0])
}

/// Why a node whose output has no axis of frames does not stream.
fn consumes(node: &TypedNode) -> String {
    if let Some(slice) = node.op_as::<Slice>() {
        return format!(
            "it takes frames {} to {} out of the stream, a stream has no such end; give the \
             model these frames as an input of their own",
            slice.start, slice.end
        );
    }
    format!(
        "{ALL_FRAMES}; keep one result for each frame, as a cumulative sum or a pooling over a few frames does"
    )
}

/// A node that makes a stream out of what is none.
fn generator(node: &TypedNode, symbol: &Symbol) -> TractResult<Treatment> {
    if node.op_is::<Range>() {
        return Ok(Treatment::Positions);
    }
    if node.op_is::<MultiBroadcastTo>() {
        return Ok(Treatment::Broadcast);
    }
    bail!(
        "it cuts a tensor of its own to the stream's length {symbol}, so that the frames' \
         positions count from each pulse's start; compute it from positions, torch.arange({symbol})"
    )
}

fn by_operator(
    node: &TypedNode,
    symbol: &Symbol,
    inputs: &[Option<usize>],
    output: usize,
) -> TractResult<Treatment> {
    let axis = inputs.iter().flatten().next().copied().unwrap_or(output);
    let op = &node.op;
    if op.is::<ElementWiseOp>()
        || op.is::<TypedBinOp>()
        || op.is::<Cast>()
        || op.is::<Iff>()
        || op.is::<Identity>()
        || op.is::<Reduce>()
        || op.is::<OneHot>()
        || op.is::<EinSum>()
    {
        return Ok(Treatment::PerFrame);
    }
    if let Some(op) = node.op_as::<AxisOp>() {
        return axis_op(op, axis, output);
    }
    if let Some(op) = node.op_as::<Softmax>() {
        return per_frame_unless(op.axes.contains(&axis), "a softmax over its features");
    }
    if let Some(op) = node.op_as::<RmsNorm>() {
        return per_frame_unless(op.axis == axis, "a norm over its features");
    }
    if op.is::<ScaledMaskedSoftmax>() || op.is::<ApplyRope>() || op.is::<RotateHalf>() {
        let rank = node.outputs[0].fact.rank();
        return per_frame_unless(axis + 1 == rank, "the same over its features");
    }
    if let Some(op) = node.op_as::<Fft>() {
        let rank = node.outputs[0].fact.rank();
        let mixes = op.axis == axis || axis + 1 == rank;
        return per_frame_unless(mixes, "an STFT, over windows of frames");
    }
    if let Some(op) = node.op_as::<Gather>() {
        return per_frame_unless(inputs[0] == Some(op.axis), "an index into a table");
    }
    if let Some(op) = node.op_as::<Slice>() {
        return slice(op, axis, symbol);
    }
    if op.is::<DynSlice>() {
        let inner = node.op_as::<DynSlice>().is_some_and(|op| op.axis != axis);
        return per_frame_unless(!inner, "a slice that starts at a fixed frame");
    }
    if let Some(op) = node.op_as::<Scan>() {
        return scan(op, inputs, symbol);
    }
    if op.is::<MultiBroadcastTo>() {
        return Ok(Treatment::Broadcast);
    }
    windows(node, inputs, axis)
}

/// The window that a convolution or a pooling slides over its input.
fn window(node: &TypedNode) -> Option<&PoolSpec> {
    let conv = node.op_as::<Conv>().map(|op| &op.pool_spec);
    let deconv = || node.op_as::<Deconv>().map(|op| &op.pool_spec);
    let max_pool = || node.op_as::<MaxPool>().map(|op| &op.pool_spec);
    let sum_pool = || node.op_as::<SumPool>().map(|op| &op.pool_spec);
    conv.or_else(deconv).or_else(max_pool).or_else(sum_pool)
}

/// Operators that look at several frames.
fn windows(node: &TypedNode, inputs: &[Option<usize>], axis: usize) -> TractResult<Treatment> {
    let op = &node.op;
    if window(node).is_some_and(|window| window.data_format.has_n() && axis == 0) {
        return per_frame_unless(inputs[1..].iter().any(Option::is_some), "fixed weights");
    }
    if op.is::<Conv>() || op.is::<Deconv>() {
        if inputs[1..].iter().any(Option::is_some) {
            bail!("its weights come from the stream");
        }
        return Ok(if op.is::<Conv>() { READS_END } else { Treatment::Transposed });
    }
    if let Some(op) = node.op_as::<MaxPool>() {
        if op.with_index_outputs.is_some() {
            bail!(
                "it tells positions of maxima, and each pulse would count them from its start; \
                   use a pooling that gives only the maxima"
            );
        }
        return Ok(READS_END);
    }
    if let Some(op) = node.op_as::<Pad>() {
        if op.pads[axis] == (0, 0) {
            return Ok(Treatment::PerFrame);
        }
        if op.mode == PadMode::Reflect {
            return Ok(Treatment::Reflected);
        }
        return Ok(READS_END);
    }
    if let Some(op) = node.op_as::<TypedConcat>() {
        return Ok(if op.axis == axis { READS_END } else { Treatment::PerFrame });
    }
    if let Some(op) = node.op_as::<CumSum>() {
        if op.axis != axis {
            return Ok(Treatment::PerFrame);
        }
        if op.reverse {
            bail!("it sums from the stream's end, which is still to come; sum from its start");
        }
        return Ok(BY_TRACT);
    }
    if op.name() == "ExpUnitNorm" {
        // The type is private to tract-extra: its fields can only be read as they are printed.
        let told = format!("{op:?}");
        if !told.contains("skip: 0,") || !told.contains("stateless: false") {
            bail!("it skips frames at the start of each pulse; use it with skip=0");
        }
        return Ok(BY_TRACT);
    }
    if op.is::<SumPool>() {
        return Ok(READS_END);
    }
    if op.is::<Downsample>() || op.is::<Stft>() {
        return Ok(BY_TRACT);
    }
    bail!("nothing is known of how {} streams", op.name())
}

fn per_frame_unless(mixes: bool, instead: &str) -> TractResult<Treatment> {
    if mixes {
        bail!("{ALL_FRAMES}; what streams is {instead}");
    }
    Ok(Treatment::PerFrame)
}

fn axis_op(op: &AxisOp, axis: usize, output: usize) -> TractResult<Treatment> {
    let AxisOp::Reshape(at, from, to) = op else { return Ok(Treatment::PerFrame) };
    if axis < *at {
        return Ok(Treatment::PerFrame);
    }
    if axis >= at + from.len() {
        return Ok(Treatment::PerFrame);
    }
    let before = |dims: &[TDim], axis: usize| dims[..axis - at].iter().product::<TDim>();
    if output < *at || before(from, axis) != before(to, output) {
        bail!(
            "it interleaves the frames with another axis, {} become {}; move the frames' axis \
               before the others first",
            told(from),
            told(to)
        );
    }
    Ok(BY_TRACT)
}

fn slice(op: &Slice, axis: usize, symbol: &Symbol) -> TractResult<Treatment> {
    let counted = |dim: &TDim| dim.symbols().contains(symbol);
    if op.axis != axis {
        return Ok(Treatment::PerFrame);
    }
    if let TDim::Min(terms) = &op.start
        && let Some(frames) = terms.iter().find_map(TDim::as_i64)
    {
        bail!(
            "it drops the first {frames} frames, or all of fewer; assert that there are as many, \
             tract_assert {symbol} >= {frames}"
        );
    }
    if counted(&settled(&op.start, symbol)) {
        bail!(
            "it starts {} frames in, which nobody knows before the stream's end; start at a \
               fixed frame",
            op.start
        );
    }
    Ok(BY_TRACT)
}

fn scan(op: &Scan, axes: &[Option<usize>], symbol: &Symbol) -> TractResult<Treatment> {
    for (mapping, axis) in op.input_mapping.iter().zip(axes) {
        match (mapping, axis) {
            (InputMapping::Scan(info), Some(along)) if info.axis == *along => {
                if info.chunk < 0 {
                    bail!(
                        "it runs from the stream's last frame to its first, which is still to \
                           come; use a unidirectional RNN, or one over chunks of the stream"
                    );
                }
                if info.chunk != 1 {
                    bail!("it takes {} frames in each step; take one", info.chunk);
                }
            }
            (InputMapping::Scan(_), _) => bail!(
                "it runs along another axis than the stream's; fold the frames into the batch \
                 before it only outside of streaming"
            ),
            (InputMapping::State | InputMapping::Full, None) => (),
            (InputMapping::State, Some(_)) => bail!("its state has an axis of frames"),
            (InputMapping::Full, Some(_)) => {
                bail!("each of its steps reads all frames; let a step read its own frame");
            }
        }
    }
    if op.output_mapping.iter().any(|mapping| mapping.last_value_slot.is_some()) {
        bail!("it gives its state after the last frame; give only the outputs of the frames");
    }
    let inner =
        op.body.nodes.iter().flat_map(|n| &n.outputs).any(|o| axis_of(&o.fact, symbol).is_some());
    if inner {
        bail!("its steps depend on {symbol}, the number of frames");
    }
    Ok(BY_TRACT)
}

fn told(dims: &[TDim]) -> String {
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("({})", dims.join(", "))
}
