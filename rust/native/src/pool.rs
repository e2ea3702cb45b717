//! `_native.Pool` and `_native.PoolStream`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use torchtract_engine::{self as engine, Error, Stage, Tensor};

use crate::engine::{call, raise};
use crate::pulse::{fixed_inputs, outputs, tensors};

/// Room for a number of streams.
#[pyclass(frozen, module = "torchtract._native")]
pub struct Pool(Arc<engine::Pool>);

impl Pool {
    pub fn new(pool: engine::Pool) -> Pool {
        Pool(Arc::new(pool))
    }
}

#[pymethods]
impl Pool {
    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn taken(&self) -> usize {
        self.0.taken()
    }

    /// Why its streams don't share turns, if they don't.
    fn apart(&self) -> Option<&str> {
        self.0.apart()
    }

    fn stream(&self, py: Python<'_>, fixed: Vec<Option<Bound<'_, PyAny>>>) -> PyResult<PoolStream> {
        let fixed = fixed_inputs(self.0.runnable(), fixed)?;
        let stream = call(py, || self.0.stream(fixed))?;
        Ok(PoolStream(Mutex::new(Some(stream))))
    }

    /// Pushes to several streams, each of them once; what each gives, or its exception.
    fn push<'py>(
        &self,
        py: Python<'py>,
        streams: &Bound<'py, PyList>,
        chunks: &Bound<'py, PyList>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let streams: Vec<Py<PoolStream>> = streams.extract()?;
        let first = streams.first().map(Py::get);
        let names = first.map_or(Ok(vec![]), |first| first.streaming_inputs(py))?;
        let chunks = chunks.iter().map(|chunks| tensors(&names, chunks.cast()?));
        let mut chunks = chunks.collect::<PyResult<Vec<_>>>()?.into_iter();
        self.together(py, &streams, |pool, open| {
            pool.push(open.into_iter().zip(&mut chunks).collect())
        })
    }

    /// Ends several streams; what each still gives, or its exception.
    fn flush<'py>(
        &self,
        py: Python<'py>,
        streams: &Bound<'py, PyList>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let streams: Vec<Py<PoolStream>> = streams.extract()?;
        self.together(py, &streams, engine::Pool::flush)
    }
}

type Outputs = Vec<Option<Tensor>>;

impl Pool {
    /// Does `work` with the streams, which no other thread uses meanwhile.
    fn together<'py>(
        &self,
        py: Python<'py>,
        streams: &[Py<PoolStream>],
        work: impl Send
        + FnOnce(&engine::Pool, Vec<&mut engine::PoolStream>) -> Vec<engine::Result<Outputs>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let given = call(py, || {
            // Always in the same order, so that two threads can't wait for each other.
            let mut order: Vec<usize> = (0..streams.len()).collect();
            order.sort_by_key(|i| std::ptr::from_ref(streams[*i].get()));
            let mut held: Vec<Option<MutexGuard<'_, _>>> = streams.iter().map(|_| None).collect();
            for i in order {
                held[i] = Some(streams[i].get().lock());
            }
            let open = held.iter_mut().flatten().map(|stream| stream.as_mut().ok_or_else(closed));
            Ok(work(&self.0, open.collect::<engine::Result<_>>()?))
        })?;
        let given = given.into_iter().map(|given| match given {
            Ok(given) => Ok(outputs(py, given)?.into_any()),
            Err(error) => Ok(raise(error).into_value(py).into_bound(py).into_any()),
        });
        given.collect()
    }
}

/// A stream of a pool, until it is closed. Threads that use it at once wait for each other.
#[pyclass(frozen, module = "torchtract._native")]
pub struct PoolStream(Mutex<Option<engine::PoolStream>>);

fn closed() -> Error {
    Error::new(Stage::Run, "the stream is closed: begin another")
}

impl PoolStream {
    /// An operation that panicked changed nothing.
    fn lock(&self) -> MutexGuard<'_, Option<engine::PoolStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Send + FnOnce(&mut engine::PoolStream) -> engine::Result<T>,
    ) -> PyResult<T> {
        call(py, || work(self.lock().as_mut().ok_or_else(closed)?))
    }

    fn streaming_inputs(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |stream| Ok(stream.streaming_inputs()))
    }
}

#[pymethods]
impl PoolStream {
    fn push<'py>(
        &self,
        py: Python<'py>,
        chunks: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let chunks = tensors(&self.streaming_inputs(py)?, chunks)?;
        outputs(py, self.with(py, |stream| stream.push(chunks))?)
    }

    fn flush<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        outputs(py, self.with(py, engine::PoolStream::flush)?)
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, engine::PoolStream::reset)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.lock().take()));
    }

    fn position(&self, py: Python<'_>) -> PyResult<i64> {
        self.with(py, |stream| Ok(stream.position()))
    }

    fn ended(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |stream| Ok(stream.ended()))
    }

    fn closed(&self, py: Python<'_>) -> bool {
        py.detach(|| self.lock().is_none())
    }
}
