/** The second panel: any model, its facts once it is pulsed, and its time on random input. */

import { HAS_WEBASSEMBLY, acceptFiles, element, tell } from "./elements.js";

const table = element("facts");
let worker;

function startWorker() {
  worker?.terminate();
  worker = new Worker(`model_worker.js${location.search}`, { type: "module" });
  worker.onmessage = ({ data }) => handlers[data.type](data);
}

function enable(able) {
  for (const id of ["symbol", "pulse", "values", "measure"]) {
    element(id).disabled = !able;
  }
}

const handlers = {
  ready() {
    element("archive").disabled = false;
  },
  loaded({ name, symbols, inputs, pulsed }) {
    element("symbol").replaceChildren(...symbols.map((symbol) => new Option(symbol)));
    element("symbol").value = symbols.includes("S") ? "S" : symbols.at(-1);
    const takes = inputs.map((fact) => `${fact.name}: ${fact.spec}`).join("; ");
    if (pulsed) {
      enable(false);
      tell("model-status", `${name} is pulsed already, and takes ${takes}. Measuring …`);
      worker.postMessage({ type: "measure" });
    } else if (symbols.length) {
      enable(true);
      tell("model-status", `${name} takes ${takes}. Choose what streams, and how long a pulse is.`);
    } else {
      enable(false);
      tell("model-status", `${name} takes ${takes}: without a symbol, nothing streams.`, true);
    }
  },
  measured({ symbol, pulse, delay, rows, median, least, pulses }) {
    table.caption.textContent = `${symbol}=${pulse}, delay ${delay}`;
    table.tBodies[0].replaceChildren();
    for (const cells of rows) {
      const row = table.tBodies[0].insertRow();
      cells.forEach((cell) => (row.insertCell().textContent = cell));
    }
    table.hidden = false;
    element("measure").disabled = element("symbol").disabled;
    const [middle, best] = [median, least].map((ms) => ms.toPrecision(3));
    tell("model-status", `A pulse takes ${middle} ms (median of ${pulses}; the fastest ${best} ms).`);
  },
  failed({ message, fatal }) {
    table.hidden = true;
    element("measure").disabled = element("symbol").disabled;
    tell("model-status", message, true);
    if (fatal) {
      enable(false);
      startWorker(); // the next model finds a fresh engine
    }
  },
};

async function open(file) {
  if (element("archive").disabled) {
    return; // dropped, and there is no engine yet
  }
  table.hidden = true;
  tell("model-status", `Reading ${file.name} …`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  worker.postMessage({ type: "load", name: file.name, bytes }, [bytes.buffer]);
}

element("pulsing").addEventListener("submit", (event) => {
  event.preventDefault();
  element("measure").disabled = true;
  tell("model-status", "Pulsing …");
  worker.postMessage({
    type: "measure",
    symbol: element("symbol").value,
    pulse: Number(element("pulse").value),
    others: element("values").value,
  });
});
acceptFiles("models", "archive", open);
if (HAS_WEBASSEMBLY) {
  startWorker();
}
