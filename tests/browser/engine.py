"""The engine in a page: arrays in and out, errors as they are thrown."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from playwright.sync_api import Page

from harness import export_archive
from torchtract import Model, load

#: Names in the page's scripts: what is loaded, and tensors from and to what playwright can carry.
PRELUDE = """
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
  bool: Uint8Array, complex64: Float32Array, complex128: Float64Array,
};
const tensorOf = ({ dtype, shape, base64 }) =>
  ({ dtype, shape, data: new ARRAYS[dtype](bytesOf(base64).buffer) });
const tensorsOf = (named) =>
  Object.fromEntries(Object.entries(named).map(([name, tensor]) => [name, tensorOf(tensor)]));
const carried = ({ dtype, shape, data }) => {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = "";
  bytes.forEach((byte) => (text += String.fromCharCode(byte)));
  return { dtype, shape, base64: btoa(text), array: data.constructor.name };
};
const carriedAll = (named) =>
  Object.fromEntries(Object.entries(named).map(([name, tensor]) => [name, carried(tensor)]));
const thrown = (work) => {
  try {
    return work();
  } catch (error) {
    const { name, message } = error;
    return { thrown: { name, message, is: error instanceof torchtract.EngineError } };
  }
};
"""


@dataclass(frozen=True)
class Thrown(Exception):
    """An error that JavaScript threw."""

    name: str
    message: str


class Engine:
    """A page in which the engine was loaded, as `torchtract`; what it makes is kept in `kept`."""

    def __init__(self, page: Page, *, simd: bool = True) -> None:
        self.page = page
        self.loaded = page.evaluate(
            """async (simd) => {
                globalThis.torchtract = await import("./engine/torchtract.js");
                globalThis.kept = {};
                const { memory, ...loaded } = await torchtract.load({ simd });
                globalThis.memory = memory;
                return loaded;
            }""",
            simd,
        )

    def do(self, body: str, **given: Any) -> Any:
        """Runs the body of a function of `given`, whose arrays become tensors.

        Raises:
            Thrown: it threw an error of the engine.
        """
        names = ", ".join(given)
        script = f"async ({{ {names} }}) => {{ {PRELUDE} return thrown(() => {{ {body} }}); }}"
        result = self.page.evaluate(script, {name: _sent(value) for name, value in given.items()})
        if isinstance(result, dict) and "thrown" in result:
            error = result["thrown"]
            assert error["is"], f"no error of the engine: {error}"
            raise Thrown(error["name"], error["message"])
        return result

    def open(self, archive: bytes) -> None:
        """Loads a model, as `kept.model`."""
        self.do("kept.model = torchtract.Model.fromBytes(bytesOf(archive));", archive=archive)

    def begin(self, fixed: Mapping[str, Any] | None = None, **pulse: int) -> None:
        """Begins a stream of the model, as `kept.stream`; what else is free is set to 1."""
        self.do(
            """
            let pulsed = kept.model.pulse(pulse);
            pulsed = pulsed.set(Object.fromEntries(pulsed.symbols.map((name) => [name, 1])));
            kept.stream = pulsed.compile().stream(tensorsOf(fixed));
            """,
            pulse=pulse,
            fixed=dict(fixed or {}),
        )

    def push(self, **chunks: Any) -> dict[str, Any]:
        """Pushes arrays; gives arrays by name."""
        pushed = "return carriedAll(kept.stream.push(tensorsOf(chunks)));"
        return received(self.do(pushed, chunks=chunks))

    def flush(self) -> dict[str, Any]:
        """Flushes; gives arrays by name."""
        return received(self.do("return carriedAll(kept.stream.flush());"))


def exported(module: Callable[..., Any], *args: Any, **options: Any) -> tuple[Model, bytes]:
    """Exports a module of inputs x0, x1, ... and an output y; gives the model and its archive."""
    names = [f"x{i}" for i in range(len(args))]
    options = {"input_names": names, "output_names": ["y"], **options}
    archive = export_archive(module, *args, **options)
    return load(archive), archive


def received(named: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of tensors that came out of a page."""
    return {
        name: np.frombuffer(base64.b64decode(tensor["base64"]), tensor["dtype"]).reshape(
            tensor["shape"]
        )
        for name, tensor in named.items()
    }


def _sent(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, np.ndarray):
        text = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"dtype": value.dtype.name, "shape": list(value.shape), "base64": text}
    if isinstance(value, dict):
        return {name: _sent(inner) for name, inner in value.items()}
    return value
