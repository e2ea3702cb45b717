//! `PulsedModel` and `PulsedRunnable`.

use std::sync::Arc;

use torchtract_engine as engine;
use wasm_bindgen::prelude::*;

use crate::error::call;
use crate::fact::{Facts, StreamAxes, facts, stream_axes};
use crate::model::{ONE_THREAD, SymbolValues, symbol_values};
use crate::named::{names, optional};
use crate::stream::Stream;

/// A model that computes a pulse of frames at a time. Immutable: `set` gives another one.
#[wasm_bindgen]
pub struct PulsedModel(pub(crate) engine::PulsedModel);

#[wasm_bindgen]
impl PulsedModel {
    /// Name of the symbol whose stream is cut into pulses.
    #[wasm_bindgen(getter)]
    pub fn symbol(&self) -> String {
        self.0.symbol()
    }

    /// The symbol's value for one pulse.
    #[wasm_bindgen(getter, js_name = pulseSize)]
    pub fn pulse_size(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "memory ends far below 2^53")]
        let pulse = self.0.pulse() as f64;
        pulse
    }

    /// Facts of the inputs, one pulse long.
    #[wasm_bindgen(getter)]
    pub fn inputs(&self) -> Facts {
        facts(self.0.model().inputs())
    }

    /// Facts of the outputs, one pulse long.
    #[wasm_bindgen(getter)]
    pub fn outputs(&self) -> Facts {
        facts(self.0.model().outputs())
    }

    /// Names of the other symbols without a value.
    #[wasm_bindgen(getter)]
    pub fn symbols(&self) -> Vec<String> {
        self.0.model().symbols().to_vec()
    }

    /// By the inputs' names, how each takes part in the stream; null if it does not.
    #[wasm_bindgen(getter, js_name = inputStreams)]
    pub fn input_streams(&self) -> StreamAxes {
        stream_axes(self.0.model().inputs(), self.0.inputs())
    }

    /// By the outputs' names, how each takes part in the stream; null if it does not.
    #[wasm_bindgen(getter, js_name = outputStreams)]
    pub fn output_streams(&self) -> StreamAxes {
        stream_axes(self.0.model().outputs(), self.0.outputs())
    }

    /// Frames that the latest output comes behind.
    #[wasm_bindgen(getter)]
    pub fn delay(&self) -> usize {
        self.0.outputs().iter().flatten().map(|axis| axis.delay).max().unwrap_or(0)
    }

    /// The model with values for some of its other symbols.
    ///
    /// @throws SymbolError as Model.set, or the symbol is the stream's.
    pub fn set(&self, values: &SymbolValues) -> Result<PulsedModel, JsValue> {
        call(|| self.0.set(&symbol_values(values)?)).map(PulsedModel)
    }

    /// Optimises the model, for any number of streams.
    ///
    /// @throws EngineError tract can't optimise it.
    pub fn compile(&self) -> Result<PulsedRunnable, JsValue> {
        call(|| self.0.compile(ONE_THREAD)).map(|runnable| PulsedRunnable(Arc::new(runnable)))
    }
}

/// A compiled pulsed model.
#[wasm_bindgen]
pub struct PulsedRunnable(Arc<engine::PulsedRunnable>);

#[wasm_bindgen]
impl PulsedRunnable {
    /// Facts of what a stream takes, as the batch model has them.
    #[wasm_bindgen(getter, js_name = streamInputs)]
    pub fn stream_inputs(&self) -> Facts {
        facts(self.0.inputs())
    }

    /// Begins a stream.
    ///
    /// @param fixed - a value for each input that does not stream, by name.
    /// @throws RunError a value is missing, unknown, of an input that streams, or does not fit.
    pub fn stream(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "Record<string, Tensor>")] fixed: &JsValue,
    ) -> Result<Stream, JsValue> {
        call(|| {
            let fixed = optional(fixed, &names(self.0.inputs()), "the model")?;
            engine::Stream::new(Arc::clone(&self.0), fixed)
        })
        .map(Stream::new)
    }
}
