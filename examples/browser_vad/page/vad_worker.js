/** The network, on a thread of its own: samples in, probabilities and segments out. */

import { Model } from "./engine/torchtract.js";
import { guarded, loadEngine } from "./engine_of_page.js";
import { FRAME, RATE, Segmenter } from "./segments.js";

/** Frames of a file that are computed before the page hears of them: 3.2 s. */
const AT_ONCE = 100;

/** Other rates than 16 kHz that microphones may have: there is a network for each. */
const RATES = [44100, 48000];

let listener;

/** One stream, and what it has heard. */
class Listener {
  #stream;
  /** The stream that makes 16 kHz of another rate, if there is one. */
  #resampler;
  #segmenter = new Segmenter();
  /** Samples of a frame that is not whole yet. */
  #rest = new Float32Array(0);
  #samples = 0;
  #computing = 0;

  constructor(stream, resampler = null) {
    this.#stream = stream;
    this.#resampler = resampler;
  }

  /** Takes the next samples; gives what the page shows of them. */
  push(samples, sentAt) {
    const began = performance.now();
    const frames = this.#frames(samples);
    const audio = { data: frames, shape: [1, frames.length] };
    const probabilities = Array.from(this.#stream.push({ audio }).probability.data);
    this.#computing += performance.now() - began;
    this.#samples += frames.length;
    const segments = probabilities.map((p) => this.#segmenter.push(p)).filter(Boolean);
    return {
      type: "frames",
      probabilities,
      peaks: peaks(frames),
      segments,
      ...this.#state(),
      latency: sentAt === undefined ? null : Date.now() - sentAt,
    };
  }

  /** Ends the stream: with zeros behind it, up to the end of a frame. */
  end() {
    this.#resampler?.free(); // and the 10 ms that are in it
    this.#resampler = null;
    const missing = -this.#rest.length & (FRAME - 1);
    const last = this.push(new Float32Array(missing));
    this.#stream.flush(); // gives nothing: no output comes late
    this.#stream.free();
    const open = this.#segmenter.flush(this.#samples);
    const segments = [...last.segments, open].filter(Boolean);
    return { ...last, ...this.#state(), type: "ended", segments };
  }

  /** Whole frames of 16 kHz, of what came before and of these samples; the rest is kept. */
  #frames(samples) {
    if (this.#resampler) {
      const audio = { data: samples, shape: [1, samples.length] };
      samples = this.#resampler.push({ audio }).resampled.data;
    }
    const all = new Float32Array(this.#rest.length + samples.length);
    all.set(this.#rest);
    all.set(samples, this.#rest.length);
    const whole = all.length - (all.length % FRAME);
    this.#rest = all.slice(whole);
    return all.subarray(0, whole);
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

/** The lowest and the highest sample of each frame. */
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
  const runnable = compiled(archive, FRAME);
  postMessage({ type: "ready", simd, seconds: (performance.now() - began) / 1e3 });
  return runnable;
}

/** For streams of one microphone, so many samples at a time. */
function compiled(archive, pulse) {
  return Model.fromBytes(archive).pulse({ S: pulse }).set({ B: 1 }).compile();
}

/** A stream from another rate to 16 kHz, or null where it is that already. */
async function resamplerOf(rate) {
  if (rate === RATE) {
    return null;
  }
  if (!RATES.includes(rate)) {
    const known = RATES.join(" and ");
    throw new Error(`The microphone gives ${rate} samples in a second; this page takes ${known}.`);
  }
  const archive = await fetched(`resampler_${rate}.nnef.tgz`);
  return compiled(archive, rate / 100).stream();
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

const runnable = begin();
runnable.catch((error) => postMessage({ type: "failed", message: error.message, fatal: true }));

onmessage = guarded(async ({ data }) => {
  const resampler = data.type === "file" ? null : await resamplerOf(data.rate);
  listener = new Listener((await runnable).stream(), resampler);
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
