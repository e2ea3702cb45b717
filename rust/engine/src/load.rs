//! From a folder, an archive or bytes to a [`Model`].

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
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

use crate::guard::guarded;
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
            nnef().proto_model_for_path(path)
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
        let model = nnef().translate(&proto, TypedModel::default()).map_err(|(_, error)| error)?;
        Ok(Model::new(model)?)
    })
    .map_err(|e| Error::new(e.stage, format!("{source}: {}", e.message)))
}

/// NNEF with every set of operators that tract has.
fn nnef() -> Nnef {
    let mut nnef = tract_nnef::nnef()
        .with_tract_resource()
        .with_tract_extra()
        .with_tract_transformers()
        .with_onnx()
        .with_pulse();
    for loader in &mut nnef.resource_loaders {
        if loader.name() == "DatLoader" {
            *loader = Box::new(WeightLoader);
        }
    }
    nnef
}

fn read_archive(mut source: impl BufRead) -> anyhow::Result<ProtoModel> {
    let head = source.fill_buf()?;
    ensure!(!head.is_empty(), "empty, not an archive");
    if !head.starts_with(&GZIP_MAGIC) {
        return read_tar(&mut source);
    }
    let mut unpacked = GzDecoder::new(source);
    let proto = read_tar(&mut unpacked);
    // The checksum stands at the very end of the stream: without this it would go unread.
    io::copy(&mut unpacked, &mut io::sink())
        .map_err(|e| anyhow!("the archive is damaged or cut short: {e}"))?;
    proto
}

fn read_tar(source: &mut dyn Read) -> anyhow::Result<ProtoModel> {
    let mut head = Vec::with_capacity(TAR_BLOCK);
    source.take(TAR_BLOCK as u64).read_to_end(&mut head)?;
    ensure!(is_tar_header(&head), "not an archive: neither .tgz nor .tar");
    nnef().proto_model_for_read(&mut Cursor::new(head).chain(source))
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
        let weights = read_weights(reader).with_context(|| format!("weight file {path:?}"))?;
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
    ensure!(reader.read(&mut [0])? == 0, "longer than its header says");
    Ok(weights)
}
