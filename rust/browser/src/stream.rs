//! `Stream`.

use std::cell::RefCell;

use torchtract_engine as engine;
use wasm_bindgen::prelude::*;

use crate::error::call;
use crate::named::{Tensors, by_name, in_order};

/// One stream through a pulsed model.
///
/// All that `push` and `flush` give, put end to end along the axis of the frames, is what the batch
/// model gives for all that was pushed.
#[wasm_bindgen]
pub struct Stream {
    /// Names of the inputs that stream.
    names: Vec<String>,
    stream: RefCell<engine::Stream>,
}

impl Stream {
    pub fn new(stream: engine::Stream) -> Stream {
        Stream { names: stream.streaming_inputs(), stream: RefCell::new(stream) }
    }

    fn named(&self, outputs: Vec<Option<engine::Tensor>>) -> Tensors {
        let stream = self.stream.borrow();
        by_name(stream.runnable().runnable().outputs(), outputs)
    }
}

#[wasm_bindgen]
impl Stream {
    /// Takes the next frames and gives those that are ready.
    ///
    /// @param chunks - by name, for each input that streams its next frames: any number of them,
    /// none included, but of all inputs the same stretch of time.
    /// @returns by name, the frames of each output that are ready, possibly none; nothing for an
    /// output that does not stream.
    /// @throws RunError the stream was flushed; chunks are missing, unknown or don't fit the model
    /// or each other; or tract fails. The stream is as it was before.
    /// @throws SymbolError the stream gets longer than an assertion allows; likewise.
    pub fn push(&self, chunks: &Tensors) -> Result<Tensors, JsValue> {
        let outputs = call(|| {
            let chunks = in_order(chunks, &self.names, "the stream")?;
            self.stream.borrow_mut().push(chunks)
        })?;
        Ok(self.named(outputs))
    }

    /// Ends the stream and gives the frames that were still to come.
    ///
    /// @returns as push, and the whole of an output that does not stream.
    /// @throws RunError it was flushed already, nothing was ever pushed while sizes of the outputs
    /// depend on what is, or tract fails. The stream is as it was before.
    pub fn flush(&self) -> Result<Tensors, JsValue> {
        let outputs = call(|| self.stream.borrow_mut().flush())?;
        Ok(self.named(outputs))
    }

    /// Goes back to the start, with the same values for the inputs that don't stream.
    pub fn reset(&self) -> Result<(), JsValue> {
        call(|| self.stream.borrow_mut().reset())
    }

    /// A second stream that has come as far as this one and goes its own way.
    pub fn fork(&self) -> Result<Stream, JsValue> {
        call(|| Ok(self.stream.borrow().clone())).map(Stream::new)
    }

    /// How far the stream has come, as a value of its symbol: frames, mostly.
    #[wasm_bindgen(getter)]
    pub fn position(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "no stream gets as far as 2^53")]
        let position = self.stream.borrow().position() as f64;
        position
    }

    /// Whether it was flushed.
    #[wasm_bindgen(getter)]
    pub fn ended(&self) -> bool {
        self.stream.borrow().ended()
    }
}
