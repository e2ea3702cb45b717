//! `_native.Model`.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use torchtract_engine::{self as engine, CompileOptions, SymbolValue, Wire};

use crate::causal::CausalRunnable;
use crate::describe::{FactTuple, NodeTuple, fact, facts, nodes, properties};
use crate::engine::{call, raise};
use crate::pulse::PulsedModel;
use crate::runnable::Runnable;

/// `(fact, layer, module)`.
type WireTuple<'py> = (FactTuple<'py>, String, Option<String>);

/// A loaded model.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Model(engine::Model);

impl Model {
    pub fn new(model: engine::Model) -> Model {
        Model(model)
    }
}

#[pymethods]
impl Model {
    #[staticmethod]
    fn from_path(py: Python<'_>, path: PathBuf) -> PyResult<Model> {
        call(py, move || engine::load_path(&path)).map(Model)
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, archive: &[u8]) -> PyResult<Model> {
        call(py, || engine::load_bytes(archive)).map(Model)
    }

    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        facts(py, self.0.inputs())
    }

    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Vec<FactTuple<'py>>> {
        facts(py, self.0.outputs())
    }

    fn symbols(&self) -> &[String] {
        self.0.symbols()
    }

    fn assertions(&self) -> Vec<String> {
        self.0.assertions()
    }

    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        properties(py, self.0.properties().map_err(raise)?)
    }

    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Vec<NodeTuple<'py>>> {
        nodes(py, call(py, || self.0.nodes())?)
    }

    fn set(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<Model> {
        let values = symbol_values(values)?;
        call(py, || self.0.set(&values)).map(Model)
    }

    /// The pulsed model that it is, if its file says so.
    fn opened(&self, py: Python<'_>) -> PyResult<Option<PulsedModel>> {
        Ok(call(py, || engine::PulsedModel::open(&self.0))?.map(PulsedModel::new))
    }

    fn pulse(
        &self,
        py: Python<'_>,
        symbol: &str,
        pulse: i64,
        allow_unequal: bool,
    ) -> PyResult<PulsedModel> {
        let pulsed = call(py, || {
            if allow_unequal {
                self.0.pulse_unequal(symbol, pulse)
            } else {
                self.0.pulse(symbol, pulse)
            }
        });
        pulsed.map(PulsedModel::new)
    }

    /// What streams inside, the layer that gives it, and its module's path.
    fn wires<'py>(
        &self,
        py: Python<'py>,
        symbol: &str,
        pulse: i64,
    ) -> PyResult<Vec<WireTuple<'py>>> {
        let wires = call(py, || self.0.wires(symbol, pulse))?;
        let tuple = |wire: Wire| Ok((fact(py, &wire.fact)?, wire.layer, wire.module));
        wires.into_iter().map(tuple).collect()
    }

    /// The model and the pulsed one, with wires for outputs.
    fn tap(
        &self,
        py: Python<'_>,
        symbol: &str,
        pulse: i64,
        names: Vec<String>,
    ) -> PyResult<(Model, PulsedModel)> {
        let (batch, pulsed) = call(py, move || self.0.tap(symbol, pulse, &names))?;
        Ok((Model(batch), PulsedModel::new(pulsed)))
    }

    fn compile(&self, py: Python<'_>, threads: usize) -> PyResult<Runnable> {
        call(py, || self.0.compile(CompileOptions { threads })).map(|r| Runnable::new(Arc::new(r)))
    }

    fn compile_causal(&self, py: Python<'_>, threads: usize) -> PyResult<CausalRunnable> {
        let runnable = call(py, || self.0.compile_causal(CompileOptions { threads }))?;
        Ok(CausalRunnable::new(runnable))
    }
}

/// Symbols' names and values.
pub fn symbol_values(values: &Bound<'_, PyDict>) -> PyResult<Vec<(String, SymbolValue)>> {
    values
        .iter()
        .map(|(name, value)| Ok((name.extract()?, value.extract::<SymbolArgument>()?.into())))
        .collect()
}

/// An `int` or a `str`.
#[derive(FromPyObject)]
enum SymbolArgument {
    Size(i64),
    Expression(String),
}

impl From<SymbolArgument> for SymbolValue {
    fn from(value: SymbolArgument) -> SymbolValue {
        match value {
            SymbolArgument::Size(size) => SymbolValue::Size(size),
            SymbolArgument::Expression(text) => SymbolValue::Expression(text),
        }
    }
}
