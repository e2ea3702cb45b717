/** From probabilities to segments of speech: what `vad/segments.py` does for Python. */

export const RATE = 16000;
/** Samples of a frame, which has one probability: 32 ms. */
export const FRAME = 512;

/** Speech begins at this probability, */
const SPEECH_FROM = 0.5;
/** and ends below this one, after MIN_SILENCE. Between the two, what was before goes on. */
const SILENCE_BELOW = 0.35;
const MIN_SILENCE = 0.1 * RATE;
const MIN_SPEECH = 0.25 * RATE;
const MARGIN = 0.03 * RATE;

/**
 * Finds segments while probabilities come in, frame by frame. Those of less than a quarter of a
 * second are left out, the others get 30 ms at both ends.
 */
export class Segmenter {
  #now = 0;
  #start = null; // of the speech that goes on
  #end = null; // where it may have ended
  #sum = 0;

  /** Where the open segment began, in seconds; null where none is open. */
  get open() {
    return this.#start === null ? null : this.#start / RATE;
  }

  /** Takes the next frame's probability; returns the segment that has ended, or null. */
  push(probability) {
    const segment = this.#frame(probability);
    this.#now += FRAME;
    return segment;
  }

  /** Ends the stream, of so many samples; returns the segment that was open, or null. */
  flush(samples) {
    return this.#close(samples, samples);
  }

  #frame(probability) {
    if (probability >= SPEECH_FROM) {
      this.#end = null;
      if (this.#start === null) {
        this.#start = this.#now;
        this.#sum = 0;
      }
    } else if (probability < SILENCE_BELOW && this.#start !== null) {
      this.#end ??= this.#now;
      if (this.#now - this.#end >= MIN_SILENCE) {
        return this.#close(this.#end, this.#now);
      }
    }
    if (this.#start !== null && this.#end === null) {
      this.#sum += probability;
    }
    return null;
  }

  #close(end, limit) {
    const start = this.#start;
    this.#start = this.#end = null;
    if (start === null || end - start <= MIN_SPEECH) {
      return null;
    }
    return {
      start: Math.max(start - MARGIN, 0) / RATE,
      end: Math.min(end + MARGIN, limit) / RATE,
      probability: this.#sum / Math.round((end - start) / FRAME),
    };
  }
}
