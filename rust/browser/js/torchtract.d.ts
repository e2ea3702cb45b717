/** tract in the browser: `await load()`, then `Model.fromBytes(...)`. */

export * from "./engine.js";
export * from "./errors.js";

/** Whether this browser computes several numbers at once. */
export function hasSimd(): boolean;

/**
 * Fetches the engine and makes it ready. Nothing else works before.
 *
 * @param options.simd - whether to load the build with SIMD; what the browser has, if not given.
 * @returns which build it is, and the memory in which all models and streams are.
 * @throws EngineError the file can't be fetched.
 */
export function load(options?: { simd?: boolean }): Promise<{
  simd: boolean;
  memory: WebAssembly.Memory;
}>;
