//! The Python module `torchtract._native`: the engine's types, seen from Python.
//!
//! It converts arguments, releases the interpreter while tract works and raises the exceptions of
//! `torchtract.errors`. Everything a user reads about lives in `torchtract.runtime`.

mod array;
mod causal;
mod describe;
mod engine;
mod model;
mod pool;
mod pulse;
mod runnable;

use pyo3::prelude::pymodule;

#[pymodule]
mod _native {
    use pyo3::prelude::pyfunction;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __profile__: &str = if cfg!(debug_assertions) { "dev" } else { "release" };

    /// Names of tract's transforms.
    #[pyfunction]
    fn transforms() -> Vec<&'static str> {
        torchtract_engine::transforms()
    }

    #[pymodule_export]
    use crate::causal::{CausalRunnable, Session};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::pool::{Pool, PoolStream};
    #[pymodule_export]
    use crate::pulse::{PulsedModel, PulsedRunnable, Stream};
    #[pymodule_export]
    use crate::runnable::Runnable;
}
