//! Into the engine and back: without the interpreter's lock, and with Python's exceptions.

use pyo3::prelude::*;
use torchtract_engine::{Error, Result, Stage};

mod errors {
    pyo3::import_exception!(torchtract.errors, EngineError);
    pyo3::import_exception!(torchtract.errors, LoadError);
    pyo3::import_exception!(torchtract.errors, PulseError);
    pyo3::import_exception!(torchtract.errors, RunError);
    pyo3::import_exception!(torchtract.errors, SymbolError);
}

/// Does `work` while other Python threads run.
pub fn call<T: Send>(py: Python<'_>, work: impl Send + FnOnce() -> Result<T>) -> PyResult<T> {
    py.detach(work).map_err(raise)
}

/// The Python exception for an error of the engine.
pub fn raise(error: Error) -> PyErr {
    let message = error.message;
    match error.stage {
        Stage::Load => errors::LoadError::new_err(message),
        Stage::Symbol => errors::SymbolError::new_err(message),
        Stage::Pulse => errors::PulseError::new_err(message),
        Stage::Compile => errors::EngineError::new_err(message),
        Stage::Run => errors::RunError::new_err(message),
    }
}
