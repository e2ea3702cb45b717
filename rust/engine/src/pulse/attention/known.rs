//! What is known of pairs of frames before the model runs.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, ensure};
use tract_core::internal::{AxisOp, EvalContext, TVec, TractResult};
use tract_core::model::{TypedModel, TypedNode};
use tract_core::ops::array::{self, Gather, MultiBroadcastTo};
use tract_core::ops::nn::Softmax;
use tract_core::prelude::tract_ndarray::Axis;
use tract_core::prelude::{IntoTensor, OutletId, Symbol, TValue, Tensor, tensor1};

use super::entry::Entry::{self, Around, Known};
use super::entry::{SCORES, entry, largest, weights};
use super::sides::{self, Sides, is_pair};
use crate::pulse::values::constant;

/// What is known of a wire for some queries and all keys.
#[derive(Clone, Debug)]
pub(super) enum Grid {
    /// Its values, with single elements along axes where it does not vary.
    Tensor(TValue),
    /// The same for all other axes, query by query.
    Entries(Vec<Entry>),
}

impl Grid {
    /// Query by query, the same for all other axes.
    pub fn entries(&self, sides: Sides, queries: usize, keys: usize) -> TractResult<Vec<Entry>> {
        let tensor = match self {
            Grid::Entries(entries) => return Ok(entries.clone()),
            Grid::Tensor(tensor) => tensor.cast_to::<f64>()?,
        };
        let view = tensor.to_plain_array_view::<f64>()?;
        let own = [sides.queries, sides.keys];
        let others = (0..view.ndim()).filter(|axis| !own.contains(&Some(*axis)));
        let order: Vec<usize> = others.chain(own.into_iter().flatten()).collect();
        let mut view = view.permuted_axes(order);
        if sides.keys.is_none() {
            view = view.insert_axis(Axis(tensor.rank()));
        }
        if sides.queries.is_none() {
            let at = view.ndim() - 1;
            view = view.insert_axis(Axis(at));
        }
        let mut shape = view.shape().to_vec();
        let rank = shape.len();
        shape[rank - 2..].copy_from_slice(&[queries, keys]);
        let view = view.broadcast(shape).context("an element for each pair")?;
        let mut numbers = view.iter();
        let mut entries: Vec<Entry> =
            numbers.by_ref().take(queries * keys).map(|number| Known(*number)).collect();
        for (at, number) in numbers.enumerate() {
            let entry = &mut entries[at % (queries * keys)];
            *entry = entry.either(Known(*number));
        }
        Ok(entries)
    }
}

/// Computes what is known at some positions of the stream.
pub(super) struct Sampler<'a> {
    pub source: &'a TypedModel,
    pub symbol: &'a Symbol,
    pub positions: Vec<i64>,
    /// Of wires with one axis of frames, at all positions: none where they come from the stream.
    single: HashMap<OutletId, Option<TValue>>,
    /// Whether a softmax was met whose query may see no key, other than by infinities.
    pub blind: bool,
}

type Cache = HashMap<(OutletId, Sides), Grid>;

impl<'a> Sampler<'a> {
    pub fn new(source: &'a TypedModel, symbol: &'a Symbol, positions: Vec<i64>) -> Sampler<'a> {
        Sampler { source, symbol, positions, single: HashMap::new(), blind: false }
    }

    /// What is known of a wire for the queries of `block`.
    pub fn grid(
        &mut self,
        outlet: OutletId,
        sides: Sides,
        block: &Range<usize>,
        cache: &mut Cache,
    ) -> TractResult<Grid> {
        if let Some(grid) = cache.get(&(outlet, sides)) {
            return Ok(grid.clone());
        }
        let fact = self.source.outlet_fact(outlet)?;
        let grid = if is_pair(fact, self.symbol) {
            let node = self.source.node(outlet.node);
            let of_inputs = sides::of_inputs(self.source, node, sides, self.symbol)?;
            let mut grids = vec![];
            for (input, sides) in node.inputs.iter().zip(&of_inputs) {
                grids.push(self.grid(*input, *sides, block, cache)?);
            }
            self.computed(node, sides, &grids, &of_inputs, block)?
        } else {
            match (self.single(outlet)?, sides.queries) {
                (Some(tensor), Some(axis)) if tensor.shape()[axis] > 1 => {
                    Grid::Tensor(tensor.slice(axis, block.start, block.end)?.into())
                }
                (Some(tensor), _) => Grid::Tensor(tensor),
                (None, _) => {
                    let entry = Entry::of_data(fact.datum_type);
                    Grid::Entries(vec![entry; block.len() * self.positions.len()])
                }
            }
        };
        cache.insert((outlet, sides), grid.clone());
        Ok(grid)
    }

    /// The values of a wire with one axis of frames, or none, where they are positions.
    fn single(&mut self, outlet: OutletId) -> TractResult<Option<TValue>> {
        if let Some(known) = self.single.get(&outlet) {
            return Ok(known.clone());
        }
        let fact = self.source.outlet_fact(outlet)?;
        let node = self.source.node(outlet.node);
        let value = if let Some(konst) = &fact.konst {
            Some(Tensor::clone(konst).into())
        } else if node.op_is::<array::Range>() {
            self.range(node)?
        } else if node.inputs.is_empty() || node.op_is::<Gather>() {
            None
        } else {
            let inputs = node.inputs.iter().map(|input| self.single(*input));
            match inputs.collect::<TractResult<Option<TVec<TValue>>>>()? {
                Some(inputs) => applied(node, inputs)?,
                None => None,
            }
        };
        self.single.insert(outlet, value.clone());
        Ok(value)
    }

    fn range(&self, node: &TypedNode) -> TractResult<Option<TValue>> {
        let facts = self.source.node_input_facts(node.id)?;
        let number = |fact| constant(fact).and_then(|number| number.as_i64());
        let (Some(start), Some(step)) = (number(facts[0]), number(facts[2])) else {
            return Ok(None);
        };
        let values: Vec<i64> = self.positions.iter().map(|at| start + at * step).collect();
        let values = tensor1(&values).cast_to_dt(node.outputs[0].fact.datum_type)?.into_owned();
        Ok(Some(values.into()))
    }

    fn computed(
        &mut self,
        node: &TypedNode,
        sides: Sides,
        inputs: &[Grid],
        of_inputs: &[Sides],
        block: &Range<usize>,
    ) -> TractResult<Grid> {
        if let Some(op) = node.op_as::<Gather>() {
            self.check_indices(node, op, &inputs[1])?;
        }
        let tensors = inputs.iter().map(|grid| match grid {
            Grid::Tensor(tensor) => Some(tensor.clone()),
            Grid::Entries(_) => None,
        });
        if let Some(tensors) = tensors.collect::<Option<TVec<TValue>>>()
            && let Some(value) = applied(node, tensors)?
        {
            return Ok(Grid::Tensor(value));
        }
        let keys = self.positions.len();
        let grids = inputs.iter().zip(of_inputs);
        let inputs: Vec<Vec<Entry>> = grids
            .map(|(grid, sides)| grid.entries(*sides, block.len(), keys))
            .collect::<TractResult<_>>()?;
        if let Some(softmax) = node.op_as::<Softmax>() {
            let over_keys = sides.keys.is_some_and(|axis| softmax.axes.contains(&axis));
            if !over_keys {
                return Ok(Grid::Entries(vec![Around(0.0); inputs[0].len()]));
            }
            let mut all = vec![];
            for (row, query) in inputs[0].chunks(keys).zip(block.clone()) {
                let largest = largest(row, query);
                self.blind |= largest < -SCORES && !row.contains(&Known(f64::NEG_INFINITY));
                all.extend(weights(row, largest));
            }
            return Ok(Grid::Entries(all));
        }
        let facts = self.source.node_input_facts(node.id)?;
        let mut known = HashMap::new();
        // Most are as the one before.
        let mut last: Option<(TVec<Entry>, Entry)> = None;
        let entries = (0..block.len() * keys).map(|at| {
            let of: TVec<Entry> = inputs.iter().map(|entries| entries[at]).collect();
            if let Some((same, entry)) = &last
                && *same == of
            {
                return Ok(*entry);
            }
            let entry = entry(node, &facts, &of, &mut known)?;
            last = Some((of, entry));
            Ok(entry)
        });
        Ok(Grid::Entries(entries.collect::<TractResult<_>>()?))
    }
}

impl Sampler<'_> {
    /// Refuses rows of a table that may lie beyond it for frames that see nothing of each other:
    /// the batch model is never so long, but a stream is.
    fn check_indices(&self, node: &TypedNode, op: &Gather, indices: &Grid) -> TractResult<()> {
        let rows = &self.source.outlet_fact(node.inputs[0])?.shape[op.axis];
        let within = match (indices, rows.as_i64()) {
            (Grid::Tensor(indices), Some(rows)) => {
                let indices = indices.cast_to::<i64>()?;
                let indices = indices.try_as_plain_ram()?.as_slice::<i64>()?.to_vec();
                indices.iter().all(|index| (0..rows).contains(index))
            }
            _ => false,
        };
        ensure!(
            within,
            "a stream gets longer than its table of {rows} rows; limit the rows that it takes, as \
             (i - j).clamp(0, {}) for query i and key j",
            rows.clone() - 1
        );
        Ok(())
    }
}

/// The result of an operator that treats each element by itself, or moves axes.
pub(super) fn applied(node: &TypedNode, inputs: TVec<TValue>) -> TractResult<Option<TValue>> {
    if let Some(op) = node.op_as::<MultiBroadcastTo>() {
        let mut tensor = inputs[0].clone().into_tensor();
        while tensor.rank() < op.shape.rank() {
            tensor.insert_axis(0)?;
        }
        return Ok(Some(tensor.into()));
    }
    if !sides::is_by_element(node) && !node.op_is::<Gather>() {
        return Ok(None);
    }
    if let Some(AxisOp::Reshape(at, from, to)) = node.op_as::<AxisOp>() {
        let tensor = inputs[0].clone().into_tensor();
        let mut shape = tensor.shape().to_vec();
        let range = *at..at + from.len();
        if shape[range.clone()].iter().any(|size| *size != 1) {
            return Ok(None);
        }
        shape.splice(range, to.iter().map(|_| 1));
        return Ok(Some(tensor.into_shape(&shape)?.into()));
    }
    let results = node.op.eval(&EvalContext::out_of_plan(), inputs)?;
    Ok(results.into_iter().next())
}
