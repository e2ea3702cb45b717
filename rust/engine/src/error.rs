//! One error type, which carries the stage it happened in.

use std::fmt;

/// What was being done when an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading an archive, parsing its graph, building the model.
    Load,
    /// Giving symbols a value.
    Symbol,
    /// Turning a model into a streaming one.
    Pulse,
    /// Optimising a model for the processor and planning its execution.
    Compile,
    /// Checking inputs, and computing.
    Run,
}

/// An error of tract, or of the code around it.
#[derive(Clone, Debug)]
pub struct Error {
    /// What was being done.
    pub stage: Stage,
    /// What happened, for a person to read.
    pub message: String,
}

/// A result whose error knows its stage.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `stage` that says `message`.
    pub fn new(stage: Stage, message: impl Into<String>) -> Error {
        Error { stage, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
