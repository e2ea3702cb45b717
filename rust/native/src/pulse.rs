//! `_native.PulsedModel`, `_native.PulsedRunnable` and `_native.Stream`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use torchtract_engine::{self as engine, CompileOptions, StreamAxis, Tensor};

use crate::array::{from_tensor, to_tensor};
use crate::describe::{FactTuple, facts};
use crate::engine::call;
use crate::model::{Model, symbol_values};
use crate::pool::Pool;
use crate::runnable::Runnable;

/// `(axis, pulse, delay)`, for each input or output that streams.
type AxisTuple = Option<(usize, usize, usize)>;

fn axes(axes: &[Option<StreamAxis>]) -> Vec<AxisTuple> {
    axes.iter().map(|a| a.as_ref().map(|a| (a.axis, a.pulse, a.delay))).collect()
}

/// A model that computes a pulse of frames at a time.
#[pyclass(frozen, module = "torchtract._native")]
pub struct PulsedModel(engine::PulsedModel);

impl PulsedModel {
    pub fn new(model: engine::PulsedModel) -> PulsedModel {
        PulsedModel(model)
    }
}

#[pymethods]
impl PulsedModel {
    /// The pulsed network, whose inputs and outputs are one pulse long.
    fn model(&self) -> Model {
        Model::new(self.0.model().clone())
    }

    fn symbol(&self) -> String {
        self.0.symbol()
    }

    fn pulse(&self) -> i64 {
        self.0.pulse()
    }

    fn input_axes(&self) -> Vec<AxisTuple> {
        axes(self.0.inputs())
    }

    fn output_axes(&self) -> Vec<AxisTuple> {
        axes(self.0.outputs())
    }

    fn unequal(&self) -> &[String] {
        self.0.unequal()
    }

    fn set(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<PulsedModel> {
        let values = symbol_values(values)?;
        call(py, || self.0.set(&values)).map(PulsedModel)
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        call(py, move || self.0.save(&path))
    }

    fn compile(&self, py: Python<'_>, threads: usize) -> PyResult<PulsedRunnable> {
        let runnable = call(py, || self.0.compile(CompileOptions { threads }))?;
        Ok(PulsedRunnable(Arc::new(runnable)))
    }
}

/// A compiled pulsed model.
#[pyclass(frozen, module = "torchtract._native")]
pub struct PulsedRunnable(Arc<engine::PulsedRunnable>);

#[pymethods]
impl PulsedRunnable {
    /// Facts of what a stream takes, as the batch model has them.
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        facts(py, self.0.inputs())
    }

    /// The compiled network for one pulse.
    fn runnable(&self) -> Runnable {
        Runnable::new(Arc::clone(self.0.runnable()))
    }

    /// A stream with a value for each input that does not stream, and `None` for the others.
    fn stream(&self, py: Python<'_>, fixed: Vec<Option<Bound<'_, PyAny>>>) -> PyResult<Stream> {
        let fixed = fixed_inputs(&self.0, fixed)?;
        let stream = call(py, || engine::Stream::new(Arc::clone(&self.0), fixed))?;
        Ok(Stream::new(stream))
    }

    /// Room for so many streams.
    fn pool(&self, py: Python<'_>, capacity: usize, batched: Option<bool>) -> PyResult<Pool> {
        let pool = call(py, || engine::Pool::new(Arc::clone(&self.0), capacity, batched))?;
        Ok(Pool::new(pool))
    }
}

/// Values of the inputs that don't stream, as the engine wants them.
pub fn fixed_inputs(
    runnable: &engine::PulsedRunnable,
    values: Vec<Option<Bound<'_, PyAny>>>,
) -> PyResult<Vec<Option<Tensor>>> {
    let facts = runnable.inputs().zip(values);
    facts.map(|(fact, value)| value.map(|v| to_tensor(&fact.name, &v)).transpose()).collect()
}

/// A stream. Threads that use it at once wait for each other.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Stream {
    /// Names of the inputs that stream.
    names: Vec<String>,
    stream: Mutex<engine::Stream>,
}

impl Stream {
    fn new(stream: engine::Stream) -> Stream {
        Stream { names: stream.streaming_inputs(), stream: Mutex::new(stream) }
    }

    /// An operation that panicked changed nothing.
    fn lock(&self) -> MutexGuard<'_, engine::Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Stream {
    fn push<'py>(
        &self,
        py: Python<'py>,
        chunks: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let chunks = tensors(&self.names, chunks)?;
        outputs(py, call(py, || self.lock().push(chunks))?)
    }

    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        outputs(py, call(py, || self.lock().flush())?)
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        call(py, || self.lock().reset())
    }

    fn fork(&self, py: Python<'_>) -> Stream {
        Stream::new(py.detach(|| self.lock().clone()))
    }

    fn position(&self, py: Python<'_>) -> i64 {
        py.detach(|| self.lock().position())
    }

    fn ended(&self, py: Python<'_>) -> bool {
        py.detach(|| self.lock().ended())
    }
}

/// A chunk for each input that streams.
pub fn tensors(names: &[String], chunks: &Bound<'_, PyTuple>) -> PyResult<Vec<Tensor>> {
    names.iter().zip(chunks).map(|(name, chunk)| to_tensor(name, &chunk)).collect()
}

/// An array for each output, `None` for one that does not stream.
pub fn outputs(py: Python<'_>, outputs: Vec<Option<Tensor>>) -> PyResult<Bound<'_, PyTuple>> {
    let arrays = outputs.into_iter().map(|t| t.map(|t| from_tensor(py, t)).transpose());
    PyTuple::new(py, arrays.collect::<PyResult<Vec<_>>>()?)
}
