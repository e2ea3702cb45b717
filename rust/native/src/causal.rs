//! `_native.CausalRunnable` and `_native.Session`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use torchtract_engine as engine;

use crate::array::{from_tensor, to_tensor};
use crate::describe::{FactTuple, NodeTuple, facts, nodes, properties};
use crate::engine::call;

/// A compiled language model.
#[pyclass(frozen, module = "torchtract._native")]
pub struct CausalRunnable(Arc<engine::CausalRunnable>);

impl CausalRunnable {
    pub fn new(runnable: engine::CausalRunnable) -> CausalRunnable {
        CausalRunnable(Arc::new(runnable))
    }
}

#[pymethods]
impl CausalRunnable {
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        facts(py, self.0.runnable().outputs())
    }

    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        properties(py, call(py, || self.0.runnable().properties())?)
    }

    fn max_length(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        call(py, || self.0.max_length())
    }

    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Vec<NodeTuple<'py>>> {
        nodes(py, call(py, || self.0.runnable().nodes())?)
    }

    /// What a session is given before its first token: all inputs but the tokens.
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        Ok(facts(py, self.0.runnable().inputs())?.split_off(1))
    }

    #[pyo3(signature = (*context))]
    fn session(&self, py: Python<'_>, context: &Bound<'_, PyTuple>) -> PyResult<Session> {
        let context = self
            .0
            .runnable()
            .inputs()
            .skip(1)
            .zip(context)
            .map(|(fact, array)| to_tensor(&fact.name, &array))
            .collect::<PyResult<_>>()?;
        Ok(Session(Mutex::new(call(py, || self.0.session(context))?)))
    }
}

/// Tokens that were read. Threads that use it at once wait for each other.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Session(Mutex<engine::Session>);

impl Session {
    /// An operation that panicked changed nothing.
    fn lock(&self) -> MutexGuard<'_, engine::Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Session {
    fn length(&self, py: Python<'_>) -> usize {
        py.detach(|| self.lock().length())
    }

    fn push<'py>(
        &self,
        py: Python<'py>,
        tokens: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let tokens = to_tensor("tokens", tokens)?;
        from_tensor(py, call(py, || self.lock().push(tokens))?)
    }

    fn truncate(&self, py: Python<'_>, length: usize) -> PyResult<()> {
        call(py, || self.lock().truncate(length))
    }

    fn fork(&self, py: Python<'_>) -> Session {
        Session(Mutex::new(py.detach(|| self.lock().clone())))
    }
}
