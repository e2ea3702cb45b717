//! `_native.Runnable`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use torchtract_engine::{self as engine, ProfileLimits, Tensor};

use crate::array::{from_tensor, to_tensor};
use crate::describe::{FactTuple, NodeTuple, facts, nodes, properties};
use crate::engine::{call, raise};

/// A compiled model.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Runnable(Arc<engine::Runnable>);

/// `(name, op, seconds, flops)`.
type NodeTime = (String, String, f64, Option<u64>);

impl Runnable {
    pub fn new(runnable: Arc<engine::Runnable>) -> Runnable {
        Runnable(runnable)
    }

    fn tensors(&self, inputs: &Bound<'_, PyTuple>) -> PyResult<Vec<Tensor>> {
        self.0.check_count(inputs.len()).map_err(raise)?;
        (self.0.inputs().zip(inputs)).map(|(fact, value)| to_tensor(&fact.name, &value)).collect()
    }
}

#[pymethods]
impl Runnable {
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        facts(py, self.0.inputs())
    }

    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        facts(py, self.0.outputs())
    }

    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        properties(py, self.0.properties().map_err(raise)?)
    }

    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Vec<NodeTuple<'py>>> {
        nodes(py, call(py, || self.0.nodes())?)
    }

    /// One array, or a tuple where the model does not have one output.
    fn run<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tensors = self.tensors(inputs)?;
        let mut outputs = call(py, || self.0.run(tensors))?;
        if outputs.len() == 1 {
            return from_tensor(py, outputs.remove(0));
        }
        let arrays = outputs.into_iter().map(|t| from_tensor(py, t));
        Ok(PyTuple::new(py, arrays.collect::<PyResult<Vec<_>>>()?)?.into_any())
    }

    /// The nodes' times, that of a whole run, and how many runs were measured.
    fn profile<'py>(
        &self,
        py: Python<'py>,
        inputs: Option<&Bound<'py, PyTuple>>,
        warmup: usize,
        iterations: usize,
        max_seconds: f64,
    ) -> PyResult<(Vec<NodeTime>, f64, usize)> {
        let tensors = inputs.map(|inputs| self.tensors(inputs)).transpose()?;
        let time = Duration::try_from_secs_f64(max_seconds)
            .map_err(|e| PyValueError::new_err(format!("max_seconds={max_seconds}: {e}")))?;
        let limits = ProfileLimits { warmup, iterations, time };
        let profile = call(py, || self.0.profile(tensors, limits))?;
        let nodes = profile.nodes.into_iter();
        let times = nodes.map(|n| (n.name, n.op, n.time.as_secs_f64(), n.flops)).collect();
        Ok((times, profile.entire.as_secs_f64(), profile.iterations))
    }
}
