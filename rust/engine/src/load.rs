//! From a folder, an archive or bytes to a [`Model`].

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::{io, mem};

use anyhow::{anyhow, bail, ensure};
use flate2::bufread::GzDecoder;
use tract_core::prelude::{Framework, Tensor, TypedModel};
use tract_extra::WithTractExtra;
use tract_nnef::ast::ProtoModel;
use tract_nnef::framework::Nnef;
use tract_nnef::resource::{GRAPH_NNEF_FILENAME, Resource, ResourceLoader, resource_path_to_id};
use tract_nnef::tensors::read_tensor;
use tract_onnx_opl::WithOnnx;
use tract_pulse::WithPulse;
use tract_transformers::WithTractTransformers;

use crate::guard::{describe, guarded};
use crate::symbol::{add_multiples, check_definition, take_multiples};
use crate::{Error, Model, Result, Stage};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const TAR_BLOCK: usize = 512;

/// Loads a model from an archive (`.tgz`, `.tar`) or a folder.
///
/// # Errors
/// With [`Stage::Load`], when there is no such file, when it is no archive or a damaged one, when
/// its graph or its weights are not what tract takes.
pub fn load_path(path: &Path) -> Result<Model> {
    load(&path.display().to_string(), || {
        let about = fs::metadata(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => anyhow!("no such file or folder"),
            _ => e.into(),
        })?;
        if about.is_dir() {
            let graph = path.join(GRAPH_NNEF_FILENAME);
            ensure!(graph.is_file(), "a folder without a {GRAPH_NNEF_FILENAME}");
            NNEF.proto_model_for_path(path)
        } else {
            read_archive(BufReader::with_capacity(1 << 18, File::open(path)?))
        }
    })
}

/// Loads a model from the bytes of an archive.
///
/// # Errors
/// As [`load_path`].
pub fn load_bytes(bytes: &[u8]) -> Result<Model> {
    load(&format!("{} bytes", bytes.len()), || read_archive(bytes))
}

fn load(source: &str, read: impl FnOnce() -> anyhow::Result<ProtoModel>) -> Result<Model> {
    guarded(Stage::Load, || {
        let mut proto = read()?;
        let multiples = take_multiples(&mut proto.doc.extension);
        for (kind, rest) in &proto.doc.extension {
            if kind.0 == "tract_assert" {
                check_definition(rest)?;
            }
        }
        let mut model = NNEF.translate(&proto, TypedModel::default()).map_err(|(_, e)| e)?;
        add_multiples(&mut model, multiples)?;
        let results = proto.doc.graph_def.results.iter();
        let outputs: Vec<String> = results.map(|result| result.0.clone()).collect();
        Model::new(model, &outputs)
    })
    .map_err(|e| {
        let message = syntax_error(&e.message).unwrap_or(e.message);
        Error::new(e.stage, format!("{source}: {message}"))
    })
}

/// NNEF with every set of operators that tract has.
pub(crate) fn nnef() -> Nnef {
    tract_nnef::nnef()
        .with_tract_resource()
        .with_tract_extra()
        .with_tract_transformers()
        .with_onnx()
        .with_pulse()
}

/// The reader.
static NNEF: LazyLock<Nnef> = LazyLock::new(|| {
    let mut nnef = nnef();
    for loader in &mut nnef.resource_loaders {
        if loader.name() == "DatLoader" {
            *loader = Box::new(WeightLoader);
        }
    }
    nnef
});

fn read_archive(mut source: impl BufRead) -> anyhow::Result<ProtoModel> {
    let head = source.fill_buf()?;
    ensure!(!head.is_empty(), "empty, not an archive");
    if !head.starts_with(&GZIP_MAGIC) {
        return read_tar(&mut source);
    }
    let mut unpacked = Unpacked::new(GzDecoder::new(source));
    let proto = read_tar(&mut unpacked);
    // In case more than a block follows the end of the tar.
    let _ = io::copy(&mut unpacked, &mut io::sink());
    match unpacked.error {
        // First of all: damage may well be what caused any other error.
        Some(error) => bail!("the archive is damaged or cut short: {error}"),
        None => proto,
    }
}

/// A decompressed stream that is a block behind its source: its checksum comes last, and the end of
/// the tar must not be seen, nor the graph parsed, before that is verified.
struct Unpacked<R> {
    source: R,
    block: Cursor<Vec<u8>>,
    next: Vec<u8>,
    error: Option<String>,
}

impl<R: Read> Unpacked<R> {
    const BLOCK: usize = 1 << 16;

    fn new(source: R) -> Unpacked<R> {
        Unpacked { source, block: Cursor::default(), next: vec![], error: None }
    }

    fn advance(&mut self) -> io::Result<()> {
        let mut spent = mem::take(&mut self.block).into_inner();
        spent.clear();
        if let Err(e) = self.source.by_ref().take(Self::BLOCK as u64).read_to_end(&mut spent) {
            self.error.get_or_insert_with(|| e.to_string());
            return Err(e);
        }
        self.block = Cursor::new(mem::replace(&mut self.next, spent));
        Ok(())
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..2 {
            let read = self.block.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.advance()?;
        }
        self.block.read(buffer)
    }
}

fn read_tar(source: &mut dyn Read) -> anyhow::Result<ProtoModel> {
    let mut head = Vec::with_capacity(TAR_BLOCK);
    source.take(TAR_BLOCK as u64).read_to_end(&mut head)?;
    ensure!(!head.is_empty(), "not an archive: it holds nothing");
    ensure!(is_tar_header(&head), "not an archive: neither .tgz nor .tar");
    NNEF.proto_model_for_read(&mut Cursor::new(head).chain(source))
}

/// Whether `block` holds a tar header: the sum of its bytes, those of the sum itself taken as
/// blanks, is written in it.
fn is_tar_header(block: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    if block.len() != TAR_BLOCK {
        return false;
    }
    let digits = String::from_utf8_lossy(&block[CHECKSUM]);
    let written = u32::from_str_radix(digits.trim_matches(['\0', ' ']), 8);
    let sum: u32 = (0..TAR_BLOCK)
        .map(|i| u32::from(if CHECKSUM.contains(&i) { b' ' } else { block[i] }))
        .sum();
    written == Ok(sum)
}

/// Puts the parser's report in words, if `report` is one: of its first entry, such as
/// `0: at line 8, in Tag:`, the offending line, and a caret below the column.
fn syntax_error(report: &str) -> Option<String> {
    let at = |line, column, what: &str| {
        Some(format!("{GRAPH_NNEF_FILENAME}, line {line}, column {column}: syntax error at {what}"))
    };
    let mut lines = report.lines();
    let first = lines.next()?.strip_prefix("0: ")?;
    let Some(place) = first.strip_prefix("at line ") else {
        return first.ends_with("got empty input").then(|| at(1, 1, "the end of the file"))?;
    };
    let line: usize = place.split([',', ':']).next()?.parse().ok()?;
    let source = lines.next()?;
    let column = lines.next()?.find('^')?;
    match source.get(column..).map(str::trim_end) {
        None | Some("") => at(line, column + 1, "the end of the file"),
        Some(rest) => at(line, column + 1, &format!("`{rest}`")),
    }
}

fn refusal(message: String) -> Error {
    Error::new(Stage::Load, message)
}

/// Reads `.dat` files as tract's own loader does, names the file in errors, and refuses one that
/// is longer than its header says.
struct WeightLoader;

impl ResourceLoader for WeightLoader {
    fn name(&self) -> Cow<'static, str> {
        "weights".into()
    }

    fn try_load(
        &self,
        path: &Path,
        reader: &mut dyn Read,
        _framework: &Nnef,
    ) -> anyhow::Result<Option<(String, Arc<dyn Resource>)>> {
        if path.extension().is_none_or(|e| e != "dat") {
            return Ok(None);
        }
        let weights = read_weights(reader)
            .map_err(|e| refusal(format!("weight file {}: {}", path.display(), describe(&e))))?;
        Ok(Some((resource_path_to_id(path)?, Arc::new(weights))))
    }
}

fn read_weights(reader: &mut dyn Read) -> anyhow::Result<Tensor> {
    let weights = read_tensor(&mut *reader).map_err(|e| {
        match e.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(ErrorKind::UnexpectedEof) => anyhow!("shorter than its header says"),
            _ => e,
        }
    })?;
    // Writers pad empty tensors of booleans, which tract refuses otherwise.
    ensure!(weights.len() == 0 || reader.read(&mut [0])? == 0, "longer than its header says");
    Ok(weights)
}
