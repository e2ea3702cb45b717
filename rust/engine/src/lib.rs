//! tract, as torchtract uses it: load an NNEF model, set its symbols, compile it, run it.
//!
//! The only crate of the workspace that names tract. It knows nothing of Python.

mod attention;
mod causal;
mod declutter;
mod error;
mod fact;
mod graph;
mod guard;
mod input;
mod kernels;
mod lanes;
mod load;
mod model;
mod network;
mod optimize;
mod position;
mod profile;
mod pulse;
mod runnable;
mod scan_sizes;
mod stream;
mod symbol;
mod tensor;
mod track;
mod transforms;
#[cfg_attr(not(feature = "threads"), path = "lone_worker.rs")]
mod workers;

pub use causal::{CausalRunnable, Session};
pub use error::{Error, Result, Stage};
pub use fact::{Dim, Fact};
pub use graph::{Node, Property};
pub use lanes::{Pool, PoolStream};
pub use load::{load_bytes, load_path};
pub use model::Model;
pub use profile::{NodeProfile, Profile, ProfileLimits};
pub use pulse::{PulsedModel, StreamAxis, Wire};
pub use runnable::{CompileOptions, Runnable};
pub use stream::{PulsedRunnable, Stream};
pub use symbol::SymbolValue;
pub use tensor::{DType, Tensor, tensor_from_bytes};
pub use transforms::transforms;
