//! `_native.Runnable`.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use torchtract_engine as engine;

use crate::array::{from_tensor, to_tensor};
use crate::engine::call;

/// A compiled model. `torchtract.runtime.Runnable` is what users see of it.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Runnable(engine::Runnable);

impl Runnable {
    pub fn new(runnable: engine::Runnable) -> Runnable {
        Runnable(runnable)
    }
}

#[pymethods]
impl Runnable {
    /// One array, or a tuple where the model does not have one output.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tensors = inputs.iter().map(|v| to_tensor(&v)).collect::<PyResult<Vec<_>>>()?;
        let mut outputs = call(py, || self.0.run(tensors))?;
        if outputs.len() == 1 {
            return from_tensor(py, outputs.remove(0));
        }
        let arrays = outputs.into_iter().map(|t| from_tensor(py, t));
        Ok(PyTuple::new(py, arrays.collect::<PyResult<Vec<_>>>()?)?.into_any())
    }
}
