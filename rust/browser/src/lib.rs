//! The engine in a browser: its types, seen from JavaScript.
//!
//! It converts arguments and throws the classes of `js/errors.js`; the TypeScript declarations are
//! made from it. The rest of the surface, which loads it, is in `js/torchtract.js`.

#![allow(clippy::doc_markdown, clippy::missing_errors_doc, reason = "they are read as JSDoc")]

mod error;
mod fact;
mod model;
mod named;
mod pulse;
mod stream;
mod tensor;

use wasm_bindgen::prelude::*;

pub use model::{Model, Runnable};
pub use pulse::{PulsedModel, PulsedRunnable};
pub use stream::Stream;

/// Names of tract's transforms, in alphabetical order: those that this build has.
#[wasm_bindgen]
pub fn transforms() -> Vec<String> {
    torchtract_engine::transforms().into_iter().map(String::from).collect()
}

/// The engine sees to it that an operation that panicked changed nothing.
macro_rules! whole_after_a_panic {
    ($($class:ty)*) => {
        $(
            impl std::panic::UnwindSafe for $class {}
            impl std::panic::RefUnwindSafe for $class {}
        )*
    };
}

whole_after_a_panic!(Model Runnable PulsedModel PulsedRunnable Stream);
