//! From a folder, an archive or bytes to a [`Model`].

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::{anyhow, bail, ensure};
use flate2::bufread::GzDecoder;
use tract_core::prelude::{Framework, Tensor, TypedModel};
use tract_extra::WithTractExtra;
use tract_nnef::ast::ProtoModel;
use tract_nnef::ast::parse::parse_document;
use tract_nnef::framework::Nnef;
use tract_nnef::resource::{
    GRAPH_NNEF_FILENAME, GraphNnef, Resource, ResourceLoader, resource_path_to_id,
};
use tract_nnef::tensors::read_tensor;
use tract_onnx_opl::WithOnnx;
use tract_pulse::WithPulse;
use tract_transformers::WithTractTransformers;

use crate::guard::{describe, guarded};
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
        let proto = read()?;
        let model = NNEF.translate(&proto, TypedModel::default()).map_err(|(_, error)| error)?;
        Ok(Model::new(model)?)
    })
    .map_err(|e| Error::new(e.stage, format!("{source}: {}", e.message)))
}

/// NNEF with every set of operators that tract has.
static NNEF: LazyLock<Nnef> = LazyLock::new(|| {
    let mut nnef = tract_nnef::nnef()
        .with_tract_resource()
        .with_tract_extra()
        .with_tract_transformers()
        .with_onnx()
        .with_pulse();
    for loader in &mut nnef.resource_loaders {
        match &*loader.name() {
            "DatLoader" => *loader = Box::new(WeightLoader),
            "GraphNnefLoader" => *loader = Box::new(GraphLoader),
            _ => (),
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
    let mut unpacked = Unpacked { decoder: GzDecoder::new(source), error: None };
    let proto = read_tar(&mut unpacked);
    // The checksum stands at the very end of the stream: without this it would go unread.
    let _ = io::copy(&mut unpacked, &mut io::sink());
    match unpacked.error {
        // First of all: damage may well be what caused any other error.
        Some(error) => bail!("the archive is damaged or cut short: {error}"),
        None => proto,
    }
}

/// A decompressed stream that remembers its first error.
struct Unpacked<R> {
    decoder: GzDecoder<R>,
    error: Option<String>,
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer);
        if let Err(e) = &read {
            self.error.get_or_insert_with(|| e.to_string());
        }
        read
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

/// Reads `graph.nnef` as tract's own loader does, and tells where a syntax error is.
struct GraphLoader;

impl ResourceLoader for GraphLoader {
    fn name(&self) -> Cow<'static, str> {
        "graph".into()
    }

    fn try_load(
        &self,
        path: &Path,
        reader: &mut dyn Read,
        _framework: &Nnef,
    ) -> anyhow::Result<Option<(String, Arc<dyn Resource>)>> {
        if path.file_name().is_none_or(|name| name != GRAPH_NNEF_FILENAME) {
            return Ok(None);
        }
        let path = path.display().to_string();
        let mut text = String::new();
        reader.read_to_string(&mut text).map_err(|e| refusal(format!("{path}: {e}")))?;
        parse_document(&text)
            .map_err(|e| refusal(format!("{path}, {}", syntax_error(&e.to_string(), &text))))?;
        Ok(Some((path, Arc::new(GraphNnef(text)))))
    }
}

/// Puts the parser's report on `text` in one line: of its first entry, `0: at line 8, in Tag:`, the
/// offending line, and a caret below the column.
fn syntax_error(report: &str, text: &str) -> String {
    let mut lines = report.lines();
    let line = lines.next().and_then(|first| {
        let digits = first.strip_prefix("0: at line ")?.split([',', ':']).next()?;
        digits.parse::<usize>().ok()
    });
    let source = lines.next().unwrap_or_default();
    match (line, lines.next().and_then(|l| l.find('^'))) {
        (Some(line), Some(at)) if at < source.len() => {
            let rest = source.get(at..).unwrap_or_default().trim_end();
            format!("line {line}, column {}: syntax error at `{rest}`", at + 1)
        }
        _ => {
            let line = text.lines().count().max(1);
            let column = text.lines().last().map_or(0, str::len) + 1;
            format!("line {line}, column {column}: syntax error at the end of the file")
        }
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
