/** The picture: waveform, probability of speech and segments over time. */

import { FRAME, RATE } from "./segments.js";

const FRAME_SECONDS = FRAME / RATE;
/** What is seen of a microphone: the latest so many frames. */
const WINDOW = Math.round(20 / FRAME_SECONDS);
/** Part of the height that the waveform has, above the probability. */
const WAVE = 0.55;
/** Pixels between two times, at least. */
const LABEL = 56;

export class Plot {
  #canvas;
  #scrolls = false;
  #peaks = [];
  #probabilities = [];
  #segments = [];
  #open = null;
  /** Frames that were let go at the front. */
  #gone = 0;
  #drawing = false;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#changed()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#changed());
  }

  /** Begins anew. A plot that scrolls keeps and shows the latest 20 seconds. */
  begin({ scrolls }) {
    this.#scrolls = scrolls;
    this.#peaks = [];
    this.#probabilities = [];
    this.#segments = [];
    this.#open = null;
    this.#gone = 0;
    this.#changed();
  }

  /** Takes what the network's worker says. */
  add({ peaks = [], probabilities = [], segments, open }) {
    this.#peaks.push(...peaks);
    this.#probabilities.push(...probabilities);
    this.#segments.push(...segments);
    this.#open = open;
    const beyond = this.#scrolls ? this.#peaks.length - WINDOW : 0;
    if (beyond > 0) {
      this.#peaks.splice(0, beyond);
      this.#probabilities.splice(0, beyond);
      this.#gone += beyond;
      const from = this.#gone * FRAME_SECONDS;
      this.#segments = this.#segments.filter((segment) => segment.end > from);
    }
    this.#changed();
  }

  /** Draws once for all that came since the screen was last refreshed. */
  #changed() {
    if (!this.#drawing) {
      this.#drawing = true;
      requestAnimationFrame(() => {
        this.#drawing = false;
        this.#draw();
      });
    }
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    const frames = this.#scrolls ? WINDOW : Math.max(this.#peaks.length, 1);
    const x = (frame) => (frame * width) / frames;
    const color = (name) => getComputedStyle(this.#canvas).getPropertyValue(name);
    this.#drawSegments(context, x, height, color("--speech"));
    this.#drawSeconds(context, x, width, height, frames, color);
    this.#drawWave(context, x, width / frames, height * WAVE, color("--wave"));
    this.#drawProbability(context, x, height, color);
  }

  #drawSegments(context, x, height, color) {
    context.fillStyle = color;
    const end = (this.#gone + this.#peaks.length) * FRAME_SECONDS;
    const open = this.#open === null ? [] : [{ start: this.#open, end }];
    for (const segment of [...this.#segments, ...open]) {
      const [from, to] = [segment.start, segment.end].map((s) => x(s / FRAME_SECONDS - this.#gone));
      context.fillRect(from, 0, to - from, height);
    }
  }

  #drawSeconds(context, x, width, height, frames, color) {
    const seconds = frames * FRAME_SECONDS;
    const labels = width / LABEL;
    const step = [1, 2, 5, 10, 30, 60, 120, 300, 600].find((s) => seconds / s <= labels) ?? 3600;
    const from = this.#gone * FRAME_SECONDS;
    context.font = "11px system-ui, sans-serif";
    for (let at = Math.ceil(from / step) * step; at < from + seconds; at += step) {
      const left = x(at / FRAME_SECONDS - this.#gone);
      context.fillStyle = color("--line");
      context.fillRect(left, 0, 1, height);
      context.fillStyle = color("--quiet");
      context.fillText(`${at} s`, left + 3, height - 4);
    }
  }

  #drawWave(context, x, width, height, color) {
    context.fillStyle = color;
    const y = (sample) => ((1 - Math.max(-1, Math.min(1, sample))) * height) / 2;
    this.#peaks.forEach(([low, high], frame) => {
      context.fillRect(x(frame), y(high), Math.max(width, 1), Math.max(y(low) - y(high), 1));
    });
  }

  #drawProbability(context, x, height, color) {
    const top = height * WAVE + 8;
    const bottom = height - 18;
    const y = (probability) => bottom - probability * (bottom - top);
    context.strokeStyle = color("--line");
    context.beginPath();
    context.moveTo(0, y(0.5));
    context.lineTo(x(this.#scrolls ? WINDOW : this.#peaks.length), y(0.5));
    context.stroke();
    context.strokeStyle = color("--probability");
    context.lineWidth = 1.5;
    context.beginPath();
    this.#probabilities.forEach((p, frame) => context.lineTo(x(frame + 0.5), y(p)));
    context.stroke();
  }
}
