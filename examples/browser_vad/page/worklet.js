/** Gathers what a microphone hears to frames, on the thread of the sound, and sends them on. */

class Frames extends AudioWorkletProcessor {
  #listener = null;
  #frame;
  #filled = 0;
  #ended = false;

  constructor({ processorOptions }) {
    super();
    this.#frame = new Float32Array(processorOptions.frame);
    this.port.onmessage = ({ data }) => {
      if (data === "end") {
        this.#end();
      } else {
        this.#listener = data;
      }
    };
  }

  process([[heard]]) {
    for (let at = 0; heard && at < heard.length; ) {
      const taken = Math.min(heard.length - at, this.#frame.length - this.#filled);
      this.#frame.set(heard.subarray(at, at + taken), this.#filled);
      this.#filled += taken;
      at += taken;
      if (this.#filled === this.#frame.length) {
        this.#send();
      }
    }
    return !this.#ended;
  }

  #send() {
    const samples = this.#frame.slice(0, this.#filled);
    this.#filled = 0;
    this.#listener?.postMessage({ samples, at: Date.now() }, [samples.buffer]);
  }

  #end() {
    this.#send();
    this.#listener?.postMessage("end");
    this.port.postMessage("ended");
    this.#ended = true;
  }
}

registerProcessor("frames", Frames);
