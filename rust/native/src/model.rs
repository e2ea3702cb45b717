//! `_native.Model`.

use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use torchtract_engine::{self as engine, CompileOptions, Dim, Fact, SymbolValue};

use crate::array::from_tensor;
use crate::engine::call;
use crate::runnable::Runnable;

/// A loaded model. `torchtract.runtime.Model` is what users see of it.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Model(engine::Model);

/// `(name, dtype, shape)`.
type FactTuple<'py> = (String, String, Bound<'py, PyTuple>);

#[pymethods]
impl Model {
    #[staticmethod]
    fn from_path(py: Python<'_>, path: PathBuf) -> PyResult<Model> {
        call(py, || engine::load_path(&path)).map(Model)
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, archive: &[u8]) -> PyResult<Model> {
        call(py, || engine::load_bytes(archive)).map(Model)
    }

    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        self.0.inputs().iter().map(|f| fact(py, f)).collect()
    }

    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        self.0.outputs().iter().map(|f| fact(py, f)).collect()
    }

    fn symbols(&self) -> &[String] {
        self.0.symbols()
    }

    fn assertions(&self) -> Vec<String> {
        self.0.assertions()
    }

    fn set(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<Model> {
        let values = values
            .iter()
            .map(|(name, value)| Ok((name.extract()?, symbol_value(&value)?)))
            .collect::<PyResult<Vec<(String, SymbolValue)>>>()?;
        call(py, || self.0.set(&values)).map(Model)
    }

    fn compile(&self, py: Python<'_>, threads: usize) -> PyResult<Runnable> {
        call(py, || self.0.compile(CompileOptions { threads })).map(Runnable::new)
    }
}

fn symbol_value(value: &Bound<'_, PyAny>) -> PyResult<SymbolValue> {
    if let Ok(size) = value.extract::<i64>() {
        Ok(SymbolValue::Size(size))
    } else if let Ok(text) = value.extract::<String>() {
        Ok(SymbolValue::Expression(text))
    } else {
        Err(PyTypeError::new_err("a symbol's value is an int or an expression"))
    }
}

fn fact<'py>(py: Python<'py>, fact: &Fact) -> PyResult<FactTuple<'py>> {
    let shape = fact.shape.iter().map(|dim| match dim {
        Dim::Size(size) => Ok(size.into_pyobject(py)?.into_any()),
        Dim::Symbolic(text) => Ok(text.into_pyobject(py)?.into_any()),
    });
    let dtype = match &fact.dtype {
        Ok(dtype) => dtype.name().to_string(),
        Err(other) => other.clone(),
    };
    let shape = shape.collect::<PyResult<Vec<_>>>()?;
    Ok((fact.name.clone(), dtype, PyTuple::new(py, shape)?))
}
