/** The engine's build that the page wants: `?simd=false` is for those who try the other one. */

import { load } from "./engine/torchtract.js";

export function loadEngine() {
  const simd = new URL(location).searchParams.get("simd");
  return load(simd === null ? {} : { simd: simd !== "false" });
}
