//! The one door to tract: behind it panics become errors and errors get a stage.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::{Error, Result, Stage};

thread_local! {
    /// True while this thread works behind the door.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where the last guarded panic of this thread was raised.
    static PANIC_SITE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and gives its errors and panics `stage`.
///
/// An [`Error`] that `work` raised itself keeps its own stage.
pub fn guarded<T>(stage: Stage, work: impl FnOnce() -> anyhow::Result<T>) -> Result<T> {
    install_hook();
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            Err(error.downcast::<Error>().unwrap_or_else(|e| Error::new(stage, describe(&e))))
        }
        Err(payload) => Err(Error::new(stage, panic_message(payload.as_ref()))),
    }
}

/// Makes panics of the current thread silent for the rest of its life: a worker thread's panic is
/// handed to the thread that waits for it, and reported there.
#[cfg(feature = "threads")]
pub fn guard_thread() {
    install_hook();
    GUARDED.set(true);
}

/// Beginnings of causes that tell only of tract's own insides.
const INSIDES: [&str; 3] =
    ["In ModelBuilder::translate", "Wiring root graph body", "Interrogating registry"];

/// The causes of an error, outermost first, each said once.
pub fn describe(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let inside = INSIDES.iter().any(|start| cause.starts_with(start));
        if !inside && !message.contains(&cause) {
            if !message.is_empty() {
                message.push_str(": ");
            }
            message.push_str(&cause);
        }
    }
    message
}

/// Lets the process's panic hook see every panic but the guarded ones.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.get() {
                PANIC_SITE.set(site(info));
            } else {
                default(info);
            }
        }));
    });
}

fn site(info: &PanicHookInfo<'_>) -> Option<String> {
    info.location().map(|l| format!("{}:{}", short_path(l.file()), l.line()))
}

/// A source path from its crate's folder on: what is above it is the build machine's affair.
fn short_path(path: &str) -> &str {
    let start = path.find("tract-").or_else(|| path.rfind("/src/").map(|at| at + 1));
    start.map_or(path, |at| &path[at..])
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    match PANIC_SITE.take() {
        Some(site) => format!("tract panicked: {text} ({site})"),
        None => format!("tract panicked: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_where() {
        let error = guarded(Stage::Run, || -> anyhow::Result<()> { panic!("lost {}", 3) });
        let message = error.unwrap_err().message;
        assert!(message.starts_with("tract panicked: lost 3 (src/guard.rs:"), "{message}");
        let again = guarded(Stage::Run, || Ok(panic_message(&"lost")));
        assert_eq!(again.unwrap(), "tract panicked: lost");
    }

    #[test]
    fn an_error_keeps_the_stage_it_has() {
        let known = Error::new(Stage::Symbol, "B");
        let error = guarded(Stage::Run, || Err::<(), _>(known).context("more"));
        let error = error.unwrap_err();
        assert_eq!((error.stage, error.message.as_str()), (Stage::Symbol, "B"));
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow!("inner").context("outer: inner").context("all");
        assert_eq!(describe(&error), "all: outer: inner");
    }
}
