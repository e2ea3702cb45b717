/** tract in the browser: `await load()`, then `Model.fromBytes(...)`. */

import init, * as engine from "./engine.js";
import { EngineError } from "./errors.js";

export * from "./engine.js";
export * from "./errors.js";

/** A module with one function, which makes a vector of 128 bits. */
const VECTOR = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
VECTOR.push(10, 8, 1, 6, 0, 65, 0, 253, 15, 11);

/** Whether this browser computes several numbers at once. */
export function hasSimd() {
  return WebAssembly.validate(new Uint8Array(VECTOR));
}

export async function load({ simd = hasSimd() } = {}) {
  const url = new URL(simd ? "engine.wasm" : "engine_scalar.wasm", import.meta.url);
  let response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new EngineError(`${url} can't be fetched: ${error.message}`);
  }
  if (!response.ok) {
    throw new EngineError(`${url} can't be fetched: ${response.status} ${response.statusText}`);
  }
  const { memory } = await init({ module_or_path: response });
  return { simd, memory };
}
