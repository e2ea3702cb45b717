//! Into the engine and back, with JavaScript's errors.

use torchtract_engine::{Error, Result, Stage};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./errors.js")]
extern "C" {
    type EngineError;
    #[wasm_bindgen(constructor)]
    fn new(message: &str) -> EngineError;

    type LoadError;
    #[wasm_bindgen(constructor)]
    fn new(message: &str) -> LoadError;

    type PulseError;
    #[wasm_bindgen(constructor)]
    fn new(message: &str) -> PulseError;

    type RunError;
    #[wasm_bindgen(constructor)]
    fn new(message: &str) -> RunError;

    type SymbolError;
    #[wasm_bindgen(constructor)]
    fn new(message: &str) -> SymbolError;
}

/// tract's operators register themselves in constructors, which are called here once: the linker
/// would else call them anew in each function that JavaScript calls.
#[cfg(target_family = "wasm")]
#[wasm_bindgen(start)]
fn start() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker makes it, and nothing was called before.
    unsafe { __wasm_call_ctors() }
}

/// Does `work`, and throws what goes wrong.
pub fn call<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, JsValue> {
    work().map_err(|error| thrown(&error))
}

/// An error of the stage in which a stream or a model is used.
pub fn run_error(message: impl Into<String>) -> Error {
    Error::new(Stage::Run, message)
}

/// The JavaScript error for one of the engine.
fn thrown(error: &Error) -> JsValue {
    let message = error.message.as_str();
    match error.stage {
        Stage::Load => LoadError::new(message).into(),
        Stage::Symbol => SymbolError::new(message).into(),
        Stage::Pulse => PulseError::new(message).into(),
        Stage::Compile => EngineError::new(message).into(),
        Stage::Run => RunError::new(message).into(),
    }
}
