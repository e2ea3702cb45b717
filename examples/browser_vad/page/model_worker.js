/** The second panel's engine: loads a model, pulses it, and measures it on random input. */

import { Model } from "./engine/torchtract.js";
import { guarded, loadEngine } from "./engine_of_page.js";

/** How long it is measured, in milliseconds, and for how many pulses at most. */
const LIMIT = { time: 2000, pulses: 1000 };

let model;

function loadModel({ name, bytes }) {
  model = Model.fromBytes(bytes);
  const { symbols, inputs } = model;
  postMessage({ type: "loaded", name, symbols, inputs, pulsed: model.pulsed !== undefined });
}

function measure({ symbol, pulse, others }) {
  let pulsed = model.pulsed ?? model.pulse({ [symbol]: pulse });
  // A number for all of the other symbols, or an assignment for each: "B=2, C=3".
  const values = Object.fromEntries(pulsed.symbols.map((name) => [name, valueOf(name, others)]));
  pulsed = pulsed.set(values);
  const runnable = pulsed.compile();
  const fixed = pulsed.inputs.filter((fact) => pulsed.inputStreams[fact.name] === null);
  const stream = runnable.stream(randomTensors(fixed));
  const streaming = pulsed.inputs.filter((fact) => pulsed.inputStreams[fact.name] !== null);
  const times = timesOf(stream, randomTensors(streaming));
  postMessage({
    type: "measured",
    symbol: pulsed.symbol,
    pulse: pulsed.pulseSize,
    delay: pulsed.delay,
    rows: [
      ...rows("input", pulsed.inputs, pulsed.inputStreams),
      ...rows("output", pulsed.outputs, pulsed.outputStreams),
    ],
    median: times[times.length >> 1],
    least: times[0],
    pulses: times.length,
  });
}

function valueOf(symbol, others = "1") {
  const assigned = others.split(/[,;\s]+/).find((one) => one.startsWith(`${symbol}=`));
  const value = Number(assigned?.slice(symbol.length + 1) ?? others);
  if (!Number.isInteger(value)) {
    throw new Error(`${symbol}: give its value, such as ${symbol}=1`);
  }
  return value;
}

/** Sorted milliseconds of each pulse. */
function timesOf(stream, chunks) {
  const times = [];
  const until = performance.now() + LIMIT.time;
  while (times.length < LIMIT.pulses && (times.length < 3 || performance.now() < until)) {
    const began = performance.now();
    stream.push(chunks);
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b);
}

const ARRAYS = {
  float32: Float32Array, float64: Float64Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
  bool: Uint8Array,
};

/** Numbers from -1 to 1, and zeros and ones where they are whole. */
function randomTensors(facts) {
  const tensors = {};
  for (const { name, dtype, shape } of facts) {
    if (!(dtype in ARRAYS)) {
      throw new Error(`input ${name}: no random numbers are made here of type ${dtype}`);
    }
    const data = new ARRAYS[dtype](shape.reduce((product, size) => product * size, 1));
    const whole = !dtype.startsWith("float");
    const big = dtype.endsWith("int64");
    for (let i = 0; i < data.length; i++) {
      const number = whole ? Math.round(Math.random()) : 2 * Math.random() - 1;
      data[i] = big ? BigInt(number) : number;
    }
    tensors[name] = { data, shape, dtype };
  }
  return tensors;
}

function rows(which, facts, streams) {
  return facts.map(({ name, spec }) => {
    const { axis = "", pulse = "", delay = "" } = streams[name] ?? {};
    return [which, name, spec, axis, pulse, delay];
  });
}

const ready = loadEngine();
ready.then(
  () => postMessage({ type: "ready" }),
  (error) => postMessage({ type: "failed", message: error.message }),
);

onmessage = guarded(
  async ({ data }) => {
    await ready;
    (data.type === "load" ? loadModel : measure)(data);
  },
  (error) => `${error.name}: ${error.message}`,
);
