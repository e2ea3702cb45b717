//! `Model` and `Runnable`.

use js_sys::{Object, Reflect};
use torchtract_engine::{self as engine, CompileOptions, Error, Stage, SymbolValue};
use wasm_bindgen::prelude::*;

use crate::error::call;
use crate::fact::{Facts, Properties, facts, properties};
use crate::named::{Tensors, by_name, in_order, names};
use crate::pulse::PulsedModel;
use crate::tensor::whole;

/// There are no others here.
pub const ONE_THREAD: CompileOptions = CompileOptions { threads: 1 };

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(typescript_type = "SymbolValues")]
    pub type SymbolValues;
}

/// A loaded model, as it stands in its file. Immutable: `set` gives another one.
#[wasm_bindgen]
pub struct Model(engine::Model);

#[wasm_bindgen]
impl Model {
    /// Loads a model from the bytes of a `.nnef.tgz` or a `.nnef.tar`.
    ///
    /// @throws LoadError it is no archive or a damaged one, or not what tract takes.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(archive: &[u8]) -> Result<Model, JsValue> {
        call(|| engine::load_bytes(archive)).map(Model)
    }

    /// Facts of the inputs, in order.
    #[wasm_bindgen(getter)]
    pub fn inputs(&self) -> Facts {
        facts(self.0.inputs())
    }

    /// Facts of the outputs, in order.
    #[wasm_bindgen(getter)]
    pub fn outputs(&self) -> Facts {
        facts(self.0.outputs())
    }

    /// Names of the symbols without a value, in order of their declaration.
    #[wasm_bindgen(getter)]
    pub fn symbols(&self) -> Vec<String> {
        self.0.symbols().to_vec()
    }

    /// What the file asserts of its symbols, such as "B >= 1".
    #[wasm_bindgen(getter)]
    pub fn assertions(&self) -> Vec<String> {
        self.0.assertions()
    }

    /// The file's properties.
    #[wasm_bindgen(getter)]
    pub fn properties(&self) -> Result<Properties, JsValue> {
        call(|| self.0.properties()).map(properties)
    }

    /// The pulsed model that it is, if its file was saved as one.
    #[wasm_bindgen(getter)]
    pub fn pulsed(&self) -> Result<Option<PulsedModel>, JsValue> {
        Ok(call(|| engine::PulsedModel::open(&self.0))?.map(PulsedModel))
    }

    /// The model with values for some of its symbols: `set({ B: 1 })`.
    ///
    /// @throws SymbolError a symbol does not exist or has a value already, or an assertion forbids
    /// the value.
    pub fn set(&self, values: &SymbolValues) -> Result<Model, JsValue> {
        call(|| self.0.set(&symbol_values(values)?)).map(Model)
    }

    /// The model that computes a stream, a pulse of frames at a time: `pulse({ S: 512 })`.
    ///
    /// @throws PulseError the model can't stream, and which layer is to blame; or not by pulses of
    /// that length, and which do.
    /// @throws SymbolError there is no such symbol, or it has a value already.
    pub fn pulse(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Record<string, number>")] pulse: &JsValue,
    ) -> Result<PulsedModel, JsValue> {
        call(|| {
            let (symbol, length) = one_pulse(&symbol_values(pulse)?)?;
            self.0.pulse(&symbol, length)
        })
        .map(PulsedModel)
    }

    /// Optimises the model. Symbols that are free stay so: each run binds them to the sizes of its
    /// inputs.
    ///
    /// @throws EngineError tract can't optimise it.
    pub fn compile(&self) -> Result<Runnable, JsValue> {
        call(|| self.0.compile(ONE_THREAD)).map(Runnable)
    }
}

/// A compiled model.
#[wasm_bindgen]
pub struct Runnable(engine::Runnable);

#[wasm_bindgen]
impl Runnable {
    /// Computes the outputs, by name.
    ///
    /// @param inputs - by name.
    /// @throws RunError the inputs don't fit the model, or tract fails.
    /// @throws SymbolError their sizes break an assertion.
    pub fn run(&self, inputs: &Tensors) -> Result<Tensors, JsValue> {
        let outputs = call(|| self.0.run(in_order(inputs, &names(self.0.inputs()), "the model")?))?;
        Ok(by_name(self.0.outputs(), outputs.into_iter().map(Some)))
    }
}

/// Symbols' names and values.
pub fn symbol_values(values: &JsValue) -> engine::Result<Vec<(String, SymbolValue)>> {
    let refuse = |message: String| Error::new(Stage::Symbol, message);
    let object = values
        .dyn_ref::<Object>()
        .ok_or_else(|| refuse("no object of symbols and their values, such as {B: 1}".into()))?;
    let value = |key: JsValue| {
        let name = key.as_string().unwrap_or_default();
        let value = Reflect::get(object, &key).unwrap_or(JsValue::UNDEFINED);
        match (whole(&value), value.as_string()) {
            (Some(size), _) => Ok((name, SymbolValue::Size(size))),
            (_, Some(text)) => Ok((name, SymbolValue::Expression(text))),
            _ => Err(refuse(format!("{name}: neither a whole number nor an expression"))),
        }
    };
    Object::keys(object).iter().map(value).collect()
}

/// The symbol that streams, and its value for one pulse.
fn one_pulse(values: &[(String, SymbolValue)]) -> engine::Result<(String, i64)> {
    let refuse = |message: String| Err(Error::new(Stage::Pulse, message));
    match values {
        [(symbol, SymbolValue::Size(length))] => Ok((symbol.clone(), *length)),
        [(symbol, SymbolValue::Expression(text))] => {
            refuse(format!("{symbol}={text}: a pulse has a fixed length, give a whole number"))
        }
        several => {
            let given: Vec<_> =
                several.iter().map(|(name, value)| format!("{name}={value}")).collect();
            refuse(format!("pulse({}): one symbol streams, give exactly one", given.join(", ")))
        }
    }
}
