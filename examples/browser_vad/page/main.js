/** The page: what people press, and what they see of it. */

import { Microphone, samplesOf } from "./audio.js";
import { Plot } from "./plot.js";
import { HAS_WEBASSEMBLY, acceptFiles, element, tell } from "./elements.js";
import "./models.js";

const plot = new Plot(element("plot"));
const rows = element("segments").tBodies[0];

const TOO_OLD =
  "The engine can't be started: this browser may be too old. Chrome 95, Firefox 100 and Safari " +
  "15.2 are the first that it runs in.";

let worker;
let microphone = null;
/** What goes on: "loading", "idle", "microphone", "file" or "broken". */
let state = "loading";

function enter(next, message) {
  state = next;
  element("start").disabled = state !== "idle";
  element("stop").disabled = state !== "microphone";
  element("file").disabled = state !== "idle";
  tell("status", message);
}

/** Says what went wrong, and what goes on. */
function fail(message, next = "idle") {
  enter(next);
  tell("status", message, true);
}

function startWorker() {
  worker = new Worker(`vad_worker.js${location.search}`, { type: "module" });
  worker.onmessage = ({ data }) => handlers[data.type](data);
  worker.onerror = () => handlers.failed({ message: TOO_OLD, fatal: true });
}

const handlers = {
  ready({ simd, seconds }) {
    enter("idle", `Ready in ${seconds.toFixed(1)} s. Start the microphone, or open a file.`);
    const kind = simd ? "with SIMD" : "without SIMD, which takes twice the time";
    element("engine").textContent = `The engine: tract 0.23.9 as WebAssembly, ${kind}.`;
  },
  frames(heard) {
    plot.add(heard);
    show(heard);
  },
  ended(heard) {
    handlers.frames(heard);
    const told = rows.rows.length === 1 ? "1 segment" : `${rows.rows.length || "no"} segments`;
    enter("idle", `${heard.seconds.toFixed(1)} s heard: ${told} of speech.`);
  },
  failed({ message, fatal }) {
    microphone?.close();
    microphone = null;
    fail(message, fatal ? "broken" : "idle");
  },
};

function begin({ scrolls }) {
  plot.begin({ scrolls });
  rows.replaceChildren();
  element("segments").hidden = true;
  element("latency").textContent = "–";
}

function show({ probabilities = [], segments, open, seconds, load, frame, latency }) {
  element("now").textContent = open === null ? "no speech" : "speech";
  element("heard").textContent = `${seconds.toFixed(1)} s`;
  element("load").textContent = `${(100 * load).toFixed(1)} % of real time`;
  element("frame").textContent = `${frame.toFixed(2)} ms of 32 ms`;
  if (typeof latency === "number") {
    element("latency").textContent = `${latency} ms`;
  }
  if (probabilities.length) {
    element("probability").textContent = probabilities.at(-1).toFixed(2);
  }
  for (const segment of segments) {
    const row = rows.insertRow();
    row.insertCell().textContent = `${segment.start.toFixed(2)} s`;
    row.insertCell().textContent = `${segment.end.toFixed(2)} s`;
    row.insertCell().textContent = segment.probability.toFixed(2);
    element("segments").hidden = false;
  }
}

async function listen() {
  const { port1, port2 } = new MessageChannel();
  enter("microphone", "The browser asks for the microphone …");
  element("stop").disabled = true;
  try {
    microphone = await Microphone.open(port1);
  } catch (error) {
    fail(error.message);
    return;
  }
  begin({ scrolls: true });
  worker.postMessage({ type: "microphone", port: port2, rate: microphone.rate }, [port2]);
  microphone.whenLost(stop);
  enter("microphone", "Listening. Nothing leaves this machine.");
}

async function stop() {
  const open = microphone;
  microphone = null;
  element("stop").disabled = true;
  await open?.close();
}

async function hear(file) {
  if (state !== "idle") {
    return;
  }
  enter("file", `Reading ${file.name} …`);
  try {
    const samples = await samplesOf(file);
    begin({ scrolls: false });
    worker.postMessage({ type: "file", samples }, [samples.buffer]);
    enter("file", `Listening to ${file.name} …`);
  } catch (error) {
    fail(error.message);
  }
}

element("start").addEventListener("click", listen);
element("stop").addEventListener("click", stop);
acceptFiles("listening", "file", hear);
if (HAS_WEBASSEMBLY) {
  startWorker();
} else {
  const message = "This browser has no WebAssembly, or it is switched off: the engine needs it.";
  handlers.failed({ message, fatal: true });
}
