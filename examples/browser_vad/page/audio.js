/** Sound: of a microphone, while it comes, and of a file, all of it. */

import { FRAME, RATE } from "./segments.js";

/** What a person can do about a microphone that gives nothing. */
const REFUSALS = {
  NotAllowedError:
    "The microphone was denied. Allow it for this page in the browser's settings, or open a file.",
  NotFoundError: "No microphone was found. Plug one in, or open a file.",
  NotReadableError:
    "The microphone can't be read: another program may have it. Close that, or open a file.",
};

/** Sound that comes in frames of 32 ms, until it is closed. */
export class Microphone {
  #media;
  #source;
  #node;

  /** Samples in a second. */
  get rate() {
    return this.#source.context.sampleRate;
  }

  /** Asks for a microphone and sends what it hears to `listener`, a MessagePort. */
  static async open(listener) {
    if (!navigator.mediaDevices) {
      throw new Error("A browser gives a microphone to pages of https:// and of localhost only.");
    }
    const microphone = new Microphone();
    try {
      await microphone.#open(listener);
    } catch (error) {
      await microphone.close();
      throw new Error(REFUSALS[error.name] ?? `The microphone can't be used: ${error.message}`);
    }
    return microphone;
  }

  async #open(listener) {
    // The network was trained on sound as it is.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    this.#media = await navigator.mediaDevices.getUserMedia({ audio });
    this.#source = await this.#connected();
    const { context } = this.#source;
    await context.audioWorklet.addModule("worklet.js");
    this.#node = new AudioWorkletNode(context, "frames", {
      channelCount: 1,
      channelCountMode: "explicit",
      numberOfOutputs: 0,
      processorOptions: { frame: Math.round((FRAME * this.rate) / RATE) },
    });
    this.#node.port.postMessage(listener, [listener]);
    this.#source.connect(this.#node);
    await context.resume();
  }

  /**
   * The microphone at 16 kHz, to which most browsers resample, or else at its own rate: then the
   * worker does. `?rate=device` is for those who try the latter.
   */
  async #connected() {
    const device = new URL(location).searchParams.get("rate") === "device";
    for (const options of device ? [{}] : [{ sampleRate: RATE }, {}]) {
      const context = new AudioContext(options);
      try {
        return context.createMediaStreamSource(this.#media);
      } catch (error) {
        await context.close();
        if (error.name !== "NotSupportedError") {
          throw error;
        }
      }
    }
    throw new Error("its rate is none that sound can be played at");
  }

  /** Calls `lost` once if the microphone goes away. */
  whenLost(lost) {
    this.#media.getTracks()[0].addEventListener("ended", lost, { once: true });
  }

  /** Lets the microphone go, once its listener was told that no more will come. */
  async close() {
    if (this.#node) {
      const ended = new Promise((resolve) => (this.#node.port.onmessage = resolve));
      this.#node.port.postMessage("end");
      await ended;
    }
    this.#media?.getTracks().forEach((track) => track.stop());
    await this.#source?.context.close();
  }
}

/** The samples of an audio file: one channel, 16 kHz. */
export async function samplesOf(file) {
  const bytes = await file.arrayBuffer();
  let audio;
  try {
    audio = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
  } catch {
    throw new Error(`${file.name} is no audio file that this browser can read.`);
  }
  const mono = audio.getChannelData(0).slice();
  for (let channel = 1; channel < audio.numberOfChannels; channel++) {
    audio.getChannelData(channel).forEach((sample, at) => (mono[at] += sample));
  }
  return audio.numberOfChannels === 1 ? mono : mono.map((sum) => sum / audio.numberOfChannels);
}
