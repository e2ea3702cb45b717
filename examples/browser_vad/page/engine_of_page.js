/** What both workers do with the engine. */

import { load } from "./engine/torchtract.js";

/** Loads the build that the page wants: `?simd=false` is for those who try the other one. */
export function loadEngine() {
  const simd = new URL(location).searchParams.get("simd");
  return load(simd === null ? {} : { simd: simd !== "false" });
}

/** A handler of messages that tells the page, in the words of `told`, what goes wrong in `work`. */
export function guarded(work, told = (error) => error.message) {
  return async (event) => {
    try {
      await work(event);
    } catch (error) {
      const fatal = error instanceof WebAssembly.RuntimeError; // such as memory that ran out
      postMessage({ type: "failed", message: told(error), fatal });
    }
  };
}
