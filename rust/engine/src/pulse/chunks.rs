//! Attention that a mask keeps within chunks of the stream and so many before: tract rewrites it
//! to count chunks instead of frames.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use tract_core::internal::{TDim, ToDim as _};
use tract_core::prelude::{Symbol, TypedModel};
use tract_pulse::blockify::{has_quadratic_sections, rewrite_sections, section_stream_dims};

/// What the pulses of a graph are counted in.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// The stream's symbol, or that of its chunks.
    pub symbol: Symbol,
    /// Its value for one pulse.
    pub pulse: i64,
    /// The value of the stream's symbol for each.
    pub unit: i64,
}

/// Makes `graph` count chunks where its attention is limited to them.
pub(super) fn count_chunks(
    graph: &mut TypedModel,
    symbol: &Symbol,
    pulse: i64,
) -> anyhow::Result<Count> {
    if !has_quadratic_sections(graph, symbol)? {
        return Ok(Count { symbol: symbol.clone(), pulse, unit: 1 });
    }
    let chunks = chunks_in(graph, symbol, pulse)?;
    ensure!(pulse % chunks == 0, "it spans {chunks} chunks of attention, which is no whole number");
    let unit = pulse / chunks;
    let symbol = substitute(graph, symbol, unit)?;
    rewrite_sections(graph, &symbol, unit)?;
    Ok(Count { symbol, pulse: chunks, unit })
}

/// How many of attention's chunks a pulse covers.
fn chunks_in(graph: &TypedModel, symbol: &Symbol, pulse: i64) -> anyhow::Result<i64> {
    let mut probe = graph.clone();
    let symbol = substitute(&mut probe, symbol, pulse)?;
    let mut counts = vec![];
    for (dim, chunk) in section_stream_dims(&probe, &symbol)? {
        let frames =
            dim.substitute(&symbol, &1.to_dim())? - dim.substitute(&symbol, &0.to_dim())?;
        let frames = frames.to_i64()?;
        ensure!(
            frames > 0 && frames % chunk == 0,
            "attention sees chunks of {chunk} frames, a pulse has {frames}"
        );
        counts.push(frames / chunk);
    }
    let first = *counts.first().context("a section")?;
    ensure!(counts.iter().all(|count| *count == first), "attention sees chunks of several lengths");
    Ok(first)
}

/// Puts `unit` times a new symbol where `symbol` is.
fn substitute(graph: &mut TypedModel, symbol: &Symbol, unit: i64) -> anyhow::Result<Symbol> {
    let chunks = graph.symbols.new_with_prefix(&format!("{symbol}_chunks"));
    graph.symbols.add_assertion(format!("{chunks} >= 0"))?;
    let of: TDim = chunks.to_dim() * unit;
    *graph = graph.set_symbols(&HashMap::from([(symbol.clone(), of)]))?;
    Ok(chunks)
}
