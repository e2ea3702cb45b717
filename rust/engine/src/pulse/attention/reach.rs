//! How far frames see: which keys have a part in what is computed for a query.
//!
//! A mask made of positions is computed as the model computes it, by tract, at some positions near
//! the stream's start and far from it; what comes from the stream is taken to be unknown. A key
//! that can't change a query's result need not be there.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use anyhow::{Context, ensure};
use tract_core::internal::TractResult;
use tract_core::model::{TypedModel, TypedNode};
use tract_core::ops::nn::{Reduce, Reducer};
use tract_core::prelude::{OutletId, Symbol};

use super::entry::Entry;
use super::known::{Grid, Sampler};
use super::sides::{self, Sides};

/// Frames that a query may see on either side: more are taken for all.
const FARTHEST: usize = 1024;

/// Positions that are looked at: the stream's start, and some far from it, no multiples of what
/// chunks are long.
const PLACES: [i64; 3] = [0, 10_007, 1_000_003];

/// Queries that are looked at together.
const BLOCK: usize = 64;

/// How many frames before its own, and after it, a frame sees. That may go in cycles: `behind[i]`
/// is of all frames whose position is `i` in theirs.
#[derive(Clone, Debug)]
pub(in crate::pulse) struct Reach {
    behind: Vec<usize>,
    ahead: Vec<usize>,
}

/// The keys that a pulse of queries needs.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pulse) struct Window {
    /// The delay of the queries.
    pub delay: usize,
    /// Keys before the pulse's first frame, and after its last one.
    pub before: usize,
    pub after: usize,
}

impl Reach {
    /// The reach of `node`, which ends pairs.
    pub fn of(source: &TypedModel, node: &TypedNode, symbol: &Symbol) -> TractResult<Reach> {
        let mut dense = 256;
        loop {
            let seen = Seen::new(source, node, symbol, dense)?;
            let behind = seen.rows.iter().map(|row| row.behind).max().unwrap_or(0);
            let ahead = seen.rows.iter().map(|row| row.ahead).max().unwrap_or(0);
            let too_far = behind.max(ahead) > FARTHEST;
            ensure!(
                !(too_far && seen.blind),
                "a frame may see none at all, and of such a frame the batch model takes the mean \
                 of all frames; hide frames by -inf instead of a number"
            );
            ensure!(
                !too_far,
                "each frame sees more than {FARTHEST} frames {}; limit attention by a mask to a \
                 window of the past, (i - j >= 0) & (i - j < 64) for query i and key j, or to \
                 chunks, i // 16 == j // 16",
                if behind > FARTHEST {
                    "before it, perhaps all, and a stream can't keep these"
                } else {
                    "after it, perhaps all, and these are still to come"
                }
            );
            if behind.max(ahead) * 4 <= dense {
                return Ok(seen.cycle());
            }
            dense = (2 * dense).max((4 * behind.max(ahead)).next_power_of_two());
        }
    }

    /// The least delay, and keys, for pulses of `pulse` frames of queries and of keys that come
    /// this late.
    pub fn window(&self, pulse: usize, queries: usize, keys: usize) -> Window {
        let mut delay = queries.max(keys);
        loop {
            let (before, after) = self.around(pulse, delay);
            if delay >= keys + after {
                return Window { delay, before, after };
            }
            delay += 1;
        }
    }

    /// How many keys the pulses need before their first frame and after their last.
    fn around(&self, pulse: usize, delay: usize) -> (usize, usize) {
        let cycle = self.behind.len();
        let (mut before, mut after) = (0, 0);
        for turn in 0..cycle {
            let first = (turn * pulse + delay * (cycle - 1)) % cycle;
            for frame in 0..pulse {
                let at = (first + frame) % cycle;
                before = before.max(self.behind[at].saturating_sub(frame));
                after = after.max((frame + self.ahead[at]).saturating_sub(pulse - 1));
            }
        }
        (before, after)
    }
}

/// What one query needs.
struct Row {
    position: i64,
    behind: usize,
    ahead: usize,
}

struct Seen {
    rows: Vec<Row>,
    /// The last of them, one after the other and far from the start.
    steady: usize,
    /// Whether a mask of numbers may hide all keys from a query.
    blind: bool,
}

impl Seen {
    /// Looks at `dense` keys around some queries at each place, and at some far from these.
    fn new(
        source: &TypedModel,
        node: &TypedNode,
        symbol: &Symbol,
        dense: usize,
    ) -> TractResult<Seen> {
        let width = i64::try_from(dense)?;
        let mut positions = BTreeSet::new();
        for place in PLACES {
            let gaps = || (0..20).map(|power| 1 << power);
            positions.insert(place);
            positions.extend(gaps().map(|gap| place + width + gap));
            positions.extend(gaps().map(|gap| place - gap).filter(|at| *at >= 0));
        }
        let mut seen = Seen { rows: vec![], steady: dense / 2, blind: false };
        for place in PLACES {
            let around: BTreeSet<i64> = (place..place + width).collect();
            let positions: Vec<i64> = around.union(&positions).copied().collect();
            // Of these queries all keys around are among the positions.
            let early = if place == 0 { 0 } else { dense / 4 };
            let first = positions.partition_point(|at| *at < place) + early;
            let queries = first..first + dense / 2;
            let mut sampler = Sampler::new(source, symbol, positions);
            for start in queries.clone().step_by(BLOCK) {
                let block = start..queries.end.min(start + BLOCK);
                let needed = needed(&mut sampler, node, block.clone())?;
                seen.rows.extend(block.zip(needed).map(|(query, keys)| sampler.row(query, &keys)));
            }
            seen.blind |= sampler.blind;
        }
        Ok(seen)
    }

    /// The shortest cycle in which what frames see repeats.
    fn cycle(&self) -> Reach {
        let steady = &self.rows[self.rows.len() - self.steady..];
        let repeats = |cycle: &usize| {
            let pairs = steady.iter().zip(&steady[*cycle..]);
            pairs.into_iter().all(|(a, b)| (a.behind, a.ahead) == (b.behind, b.ahead))
        };
        let cycle = (1..=steady.len() / 2).find(repeats).unwrap_or(1);
        let mut reach = Reach { behind: vec![0; cycle], ahead: vec![0; cycle] };
        for row in &self.rows {
            let at = usize::try_from(row.position).unwrap_or(0) % cycle;
            reach.behind[at] = reach.behind[at].max(row.behind);
            reach.ahead[at] = reach.ahead[at].max(row.ahead);
        }
        reach
    }
}

impl Sampler<'_> {
    fn row(&self, query: usize, needed: &[bool]) -> Row {
        let position = self.positions[query];
        let mut keys = self.positions.iter().zip(needed).filter(|(_, needed)| **needed);
        let first = keys.clone().next().map_or(position, |(key, _)| *key);
        let last = keys.next_back().map_or(position, |(key, _)| *key);
        let frames = |n: i64| usize::try_from(n).unwrap_or(0);
        Row { position, behind: frames(position - first), ahead: frames(last - position) }
    }
}

/// For each query of a block: whether each key has a part in what `node` gives.
fn needed(
    sampler: &mut Sampler<'_>,
    node: &TypedNode,
    block: Range<usize>,
) -> TractResult<Vec<Vec<bool>>> {
    let keys = sampler.positions.len();
    let sides = sides::ending(node, sampler.symbol);
    let inputs = sides::of_inputs(sampler.source, node, sides, sampler.symbol)?;
    let mut cache: HashMap<(OutletId, Sides), Grid> = HashMap::new();
    let mut pairs = vec![];
    for (input, sides) in node.inputs.iter().zip(inputs) {
        if sides.queries.is_some() && sides.keys.is_some() {
            let grid = sampler.grid(*input, sides, &block, &mut cache)?;
            pairs.push(grid.entries(sides, block.len(), keys)?);
        }
    }
    let first = pairs.first().context("pairs of frames")?;
    let reducer = node.op_as::<Reduce>().map(|op| op.reducer);
    let rows = block.enumerate().map(|(row, query)| {
        let entries = |pair: &Vec<Entry>| pair[row * keys..(row + 1) * keys].to_vec();
        let own = entries(first)[query];
        let part = |key: usize| {
            let entry = first[row * keys + key];
            match reducer {
                Some(Reducer::Max) => key == query || entry.above() > own.below(),
                Some(Reducer::Min) => key == query || entry.below() < own.above(),
                _ => pairs.iter().all(|pair| pair[row * keys + key] != Entry::Known(0.0)),
            }
        };
        (0..keys).map(part).collect()
    });
    Ok(rows.collect())
}
