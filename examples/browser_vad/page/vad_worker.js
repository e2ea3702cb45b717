/** The network, on a thread of its own: samples in, probabilities and segments out. */

import { Model } from "./engine/torchtract.js";
import { loadEngine } from "./engine_of_page.js";
import { FRAME, RATE, Segmenter } from "./segments.js";

/** Frames of a file that are computed before the page hears of them: 3.2 s. */
const AT_ONCE = 100;

let listener;

/** One stream, and what it has heard. */
class Listener {
  #stream;
  #segmenter = new Segmenter();
  #samples = 0;
  #computing = 0;

  constructor(runnable) {
    this.#stream = runnable.stream();
  }

  /** Takes the next samples; gives what the page shows of them. */
  push(samples, sentAt) {
    const began = performance.now();
    const audio = { data: samples, shape: [1, samples.length] };
    const { probability } = this.#stream.push({ audio });
    this.#computing += performance.now() - began;
    this.#samples += samples.length;
    const probabilities = Array.from(probability.data);
    const segments = probabilities.map((p) => this.#segmenter.push(p)).filter(Boolean);
    return {
      type: "frames",
      probabilities,
      peaks: peaks(samples),
      segments,
      ...this.#state(),
      latency: sentAt === undefined ? null : Date.now() - sentAt,
    };
  }

  /** Ends the stream: with zeros behind it, up to the end of a frame. */
  end() {
    const missing = -this.#samples & (FRAME - 1);
    const last = missing ? this.push(new Float32Array(missing)) : { segments: [] };
    this.#stream.flush(); // gives nothing: no output comes late
    const open = this.#segmenter.flush(this.#samples);
    this.#stream.free();
    const segments = [...last.segments, open].filter(Boolean);
    return { ...last, ...this.#state(), type: "ended", segments };
  }

  #state() {
    const seconds = this.#samples / RATE;
    return {
      seconds,
      open: this.#segmenter.open,
      load: seconds ? this.#computing / 1e3 / seconds : 0,
      frame: (this.#computing * FRAME) / Math.max(this.#samples, 1),
    };
  }
}

/** The lowest and the highest sample of each frame, also of one that is not whole. */
function peaks(samples) {
  const found = [];
  for (let at = 0; at < samples.length; at += FRAME) {
    const frame = samples.subarray(at, at + FRAME);
    found.push([frame.reduce((a, b) => Math.min(a, b)), frame.reduce((a, b) => Math.max(a, b))]);
  }
  return found;
}

async function begin() {
  const began = performance.now();
  const [{ simd }, archive] = await Promise.all([loadEngine(), fetched("silero_vad.nnef.tgz")]);
  const model = Model.fromBytes(archive);
  const runnable = model.pulse({ S: FRAME }).set({ B: 1 }).compile();
  postMessage({ type: "ready", simd, seconds: (performance.now() - began) / 1e3 });
  return runnable;
}

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) {
    throw new Error(`${name} can't be fetched: ${response.status} ${response.statusText}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** All of a file. */
function hear(samples) {
  for (let at = 0; at < samples.length; at += AT_ONCE * FRAME) {
    postMessage(listener.push(samples.subarray(at, at + AT_ONCE * FRAME)));
  }
  postMessage(listener.end());
}

function guarded(work) {
  return async (event) => {
    try {
      await work(event);
    } catch (error) {
      postMessage({ type: "failed", message: `${error.name}: ${error.message}` });
    }
  };
}

const runnable = begin();
runnable.catch((error) => postMessage({ type: "failed", message: error.message }));

onmessage = guarded(async ({ data }) => {
  listener = new Listener(await runnable);
  if (data.type === "file") {
    hear(data.samples);
    return;
  }
  data.port.onmessage = guarded(({ data: heard }) => {
    if (heard === "end") {
      postMessage(listener.end());
      data.port.close();
    } else if (heard.samples.length) {
      postMessage(listener.push(heard.samples, heard.at));
    }
  });
});
