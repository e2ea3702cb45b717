//! Pulsed models as NNEF archives, and back.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::{fs, process};

use anyhow::{Context, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use tract_core::internal::{DimLike as _, TDim};
use tract_core::prelude::{IntoArcTensor, OutletId, Tensor, TypedModel, tensor0, tensor1};

use super::translate::layer;
use super::writable::{WRITER, prepare};
use super::{PulsedModel, StreamAxis};
use crate::fact::text;
use crate::guard::guarded;
use crate::load::load_bytes;
use crate::{Error, Model, Result, Stage};

const DELAY: &str = "pulse.delay";
const INPUT_AXES: &str = "pulse.input_axes";
const OUTPUT_AXES: &str = "pulse.output_axes";
const SYMBOL: &str = "pulse.streaming_symbol";
/// Lengths of the inputs, and of the outputs, in the batch model; empty where there is none.
const INPUT_LENGTHS: &str = "torchtract.pulse.input_lengths";
const OUTPUT_LENGTHS: &str = "torchtract.pulse.output_lengths";
const PULSE: &str = "torchtract.pulse";
/// The longest stream, and why.
const IRREGULAR: &str = "torchtract.pulse.irregular_lengths";
const LONGEST: &str = "torchtract.pulse.longest";
const LONGEST_WHY: &str = "torchtract.pulse.longest_why";
/// The layers that give other numbers than the batch model's, and why.
const UNEQUAL: &str = "torchtract.pulse.unequal";

/// Streaming operators that tract has no way to write.
const UNWRITTEN: [(&str, &str); 3] = [
    ("DeconvDelay", "transposed convolution"),
    ("PulsedSameAxisConcat", "concatenation along the stream"),
    ("PulsedRange", "range of positions"),
];

impl PulsedModel {
    /// The model as a `.nnef.tar`, which tract reads. It is read again before it is given.
    ///
    /// # Errors
    /// With [`Stage::Pulse`], when tract can't write it, or can't read what it wrote.
    pub fn archive(&self) -> Result<Vec<u8>> {
        guarded(Stage::Pulse, || {
            let mut graph = TypedModel::clone(&self.model.graph);
            for node in &graph.nodes {
                let name = node.op.name();
                if let Some((_, what)) = UNWRITTEN.iter().find(|(op, _)| *op == name) {
                    bail!(
                        "{}: tract can't write a streaming {what}; save the batch model and pulse \
                         it once it is loaded",
                        layer(&graph, node)
                    );
                }
            }
            prepare(&mut graph, &self.symbol)?;
            self.describe(&mut graph);
            let archive = WRITER.write_to_tar(&graph, vec![])?;
            self.check(&archive)?;
            Ok(archive)
        })
    }

    /// Writes the model to `path`: compressed where its name ends in `gz`.
    ///
    /// # Errors
    /// As [`PulsedModel::archive`], and when the file can't be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let archive = self.archive()?;
        guarded(Stage::Pulse, || {
            let zipped = path.extension().is_some_and(|e| e.to_string_lossy().ends_with("gz"));
            let bytes = if zipped {
                let mut encoder = GzEncoder::new(vec![], Compression::default());
                encoder.write_all(&archive)?;
                encoder.finish()?
            } else {
                archive
            };
            write_whole(path, &bytes).with_context(|| path.display().to_string())
        })
    }

    /// The pulsed model that `model` is, if its file says so.
    ///
    /// # Errors
    /// With [`Stage::Load`], when the file contradicts itself.
    pub fn open(model: &Model) -> Result<Option<PulsedModel>> {
        if !model.graph.properties.contains_key(DELAY) {
            return Ok(None);
        }
        guarded(Stage::Load, || {
            opened(model).context("the file's properties of its stream").map(Some)
        })
    }

    /// Puts into the graph's properties what can't be seen in the graph.
    fn describe(&self, graph: &mut TypedModel) {
        let mut put = |name: &str, value: Tensor| {
            graph.properties.insert(name.to_string(), value.into_arc_tensor());
        };
        let lengths = |axes: &[Option<StreamAxis>]| {
            let told = |axis: &Option<StreamAxis>| {
                axis.as_ref().map_or(String::new(), |axis| text(&axis.length))
            };
            tensor1(&axes.iter().map(told).collect::<Vec<_>>())
        };
        put(SYMBOL, tensor1(&[self.symbol()]));
        put(PULSE, tensor0(self.pulse));
        put(INPUT_LENGTHS, lengths(&self.inputs));
        put(OUTPUT_LENGTHS, lengths(&self.outputs));
        if !self.irregular.is_empty() {
            let told: Vec<String> = self.irregular.iter().map(ToString::to_string).collect();
            put(IRREGULAR, tensor0(told.join(" ")));
        }
        if let Some((longest, why)) = &self.limit {
            put(LONGEST, tensor0(*longest));
            put(LONGEST_WHY, tensor0(why.clone()));
        }
        if !self.unequal.is_empty() {
            put(UNEQUAL, tensor1(&self.unequal));
        }
    }

    /// Refuses an archive that does not give this model back.
    fn check(&self, archive: &[u8]) -> anyhow::Result<()> {
        let unread = |e: Error| {
            Error::new(
                Stage::Pulse,
                format!("tract can't read what it wrote of this model: {}", e.message),
            )
        };
        let model = load_bytes(archive).map_err(unread)?;
        let again = PulsedModel::open(&model).map_err(unread)?.context("no pulsed model")?;
        let told = |model: &PulsedModel| {
            let facts = model.model.inputs().iter().chain(model.model.outputs());
            let facts: Vec<String> = facts.map(ToString::to_string).collect();
            format!("{facts:?} {:?} {:?} {:?}", model.inputs, model.outputs, model.unequal)
        };
        ensure!(
            told(self) == told(&again),
            "tract wrote {} where there was {}",
            told(&again),
            told(self)
        );
        Ok(())
    }
}

/// Writes a file that is there whole, or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut name = path.file_name().context("no name of a file")?.to_owned();
    name.push(format!(".{}.unfinished", process::id()));
    let unfinished = path.with_file_name(name);
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // It may never have come to be.
        let _ = fs::remove_file(&unfinished);
    }
    Ok(written?)
}

fn opened(model: &Model) -> anyhow::Result<PulsedModel> {
    let graph = &model.graph;
    let numbers = |name: &str| -> anyhow::Result<Vec<i64>> {
        let value = graph.properties.get(name).with_context(|| format!("no {name}"))?;
        let value = value.cast_to::<i64>()?;
        Ok(value.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    };
    let texts = |name: &str| -> Option<Vec<String>> {
        let value = graph.properties.get(name)?;
        Some(value.try_as_plain_ram().ok()?.as_slice::<String>().ok()?.to_vec())
    };
    let name = texts(SYMBOL).and_then(|names| names.first().cloned());
    let symbol = graph.symbols.sym(&name.unwrap_or_else(|| "S".to_string()));
    let frames = |dim: &TDim| anyhow::Ok(usize::try_from(dim.to_i64()?)?);
    let axes = |outlets: &[OutletId], axes: &[i64], delays: &[i64]| {
        ensure!(axes.len() == outlets.len(), "{} axes for {} tensors", axes.len(), outlets.len());
        let mut known = vec![];
        for (i, (outlet, &axis)) in outlets.iter().zip(axes).enumerate() {
            known.push(match usize::try_from(axis) {
                Err(_) => None,
                Ok(axis) => {
                    let dim =
                        graph.outlet_fact(*outlet)?.shape.get(axis).context("no such axis")?;
                    let delay = usize::try_from(delays.get(i).copied().unwrap_or(0))?;
                    Some(StreamAxis { axis, pulse: frames(dim)?, delay, length: TDim::Val(0) })
                }
            });
        }
        anyhow::Ok(known)
    };
    let mut inputs = axes(graph.input_outlets()?, &numbers(INPUT_AXES)?, &[])?;
    let mut outputs = axes(graph.output_outlets()?, &numbers(OUTPUT_AXES)?, &numbers(DELAY)?)?;
    let first = inputs.iter().flatten().next().context("no input streams")?;
    let first = i64::try_from(first.pulse)?;
    let pulse = numbers(PULSE).ok().and_then(|n| n.first().copied()).unwrap_or(first);
    let told = (texts(INPUT_LENGTHS), texts(OUTPUT_LENGTHS));
    for (axes, told) in [(&mut inputs, told.0), (&mut outputs, told.1)] {
        for (i, stream) in axes.iter_mut().enumerate() {
            let Some(stream) = stream else { continue };
            stream.length = match told.as_ref().and_then(|told| told.get(i)) {
                Some(length) => graph.symbols.parse_tdim(length)?,
                // As tract's command line reckons it.
                None => (TDim::from(symbol.clone()) * i64::try_from(stream.pulse)?)
                    .divceil(usize::try_from(pulse)?),
            };
        }
    }
    let limit = numbers(LONGEST).ok().and_then(|n| n.first().copied());
    let why = texts(LONGEST_WHY).and_then(|t| t.first().cloned()).unwrap_or_default();
    let irregular = texts(IRREGULAR).and_then(|t| t.first().cloned()).unwrap_or_default();
    let irregular =
        irregular.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    let mut batch = TypedModel { symbols: graph.symbols.clone(), ..TypedModel::default() };
    for (i, axis) in inputs.iter().enumerate() {
        let mut fact = graph.input_fact(i)?.without_value();
        if let Some(axis) = axis {
            fact.shape.set(axis.axis, axis.length.clone());
        }
        batch.add_source(&*model.inputs()[i].name, fact)?;
    }
    Ok(PulsedModel {
        irregular,
        model: model.clone(),
        batch: Arc::new(batch),
        symbol,
        pulse,
        inputs,
        outputs,
        limit: limit.map(|longest| (longest, why)),
        unequal: texts(UNEQUAL).unwrap_or_default(),
    })
}
