"""Silero VAD in Chromium: a frame beside native and onnxruntime-web, the download, the start."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from time import perf_counter
from timeit import timeit

import brotli
import pytest
from playwright.sync_api import Browser, Page

from benchmarks.browser.onnxruntime_web import unpack
from benchmarks.measure import Samples, alternate
from benchmarks.report import Comparison, Report
from browser.engine import Engine
from torchtract import load
from vad.audio import SPEECH, Array, read, scene, whole_frames
from vad.network import FRAME, RATE, package_file

WHEELS = Path("build/browser/wheels")
#: Seconds that a frame takes, the mean over all of the sound.
STREAM = """
() => {
  const began = performance.now();
  for (let at = 0; at < sound.length; at += 512) {
    stream.push({ audio: { data: sound.subarray(at, at + 512), shape: [1, 512] } });
  }
  return (performance.now() - began) / 1e3 / (sound.length / 512);
}
"""
#: Loads the engine and the model, and computes a first frame.
OPEN = """
async () => {
  const { load, Model } = await import("./engine/torchtract.js");
  const [archive] = await Promise.all([
    fetch("silero_vad.nnef.tgz").then((response) => response.arrayBuffer()),
    load(),
  ]);
  const model = Model.fromBytes(new Uint8Array(archive));
  globalThis.stream = model.pulse({ S: 512 }).set({ B: 1 }).compile().stream();
  stream.push({ audio: { data: new Float32Array(512), shape: [1, 512] } });
}
"""
THEIR_OPEN = """
async () => {
  const { ort } = await import("./ort/ort.js");
  globalThis.ort = ort;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("ort/", location).href;
  const archive = await (await fetch("silero_vad.onnx")).arrayBuffer();
  const options = { executionProviders: ["wasm"] };
  globalThis.session = await ort.InferenceSession.create(new Uint8Array(archive), options);
  globalThis.state = new ort.Tensor("float32", new Float32Array(256), [2, 1, 128]);
  const input = new ort.Tensor("float32", new Float32Array(576), [1, 576]);
  const sr = new ort.Tensor("int64", BigInt64Array.from([16000n]), []);
  await session.run({ input, state, sr });
}
"""
THEIRS = """
async () => {
  const window = new Float32Array(64 + 512);
  const rate = new ort.Tensor("int64", BigInt64Array.from([16000n]), []);
  const began = performance.now();
  for (let at = 0; at < sound.length; at += 512) {
    window.copyWithin(0, 512);
    window.set(sound.subarray(at, at + 512), 64);
    const input = new ort.Tensor("float32", window, [1, 576]);
    ({ stateN: globalThis.state, output: globalThis.output } =
      await session.run({ input, state, sr: rate }));
  }
  return (performance.now() - began) / 1e3 / (sound.length / 512);
}
"""


@pytest.fixture(scope="module")
def sound() -> Array:
    return whole_frames(scene(read(SPEECH))[0])


def page_with(browser: Browser, url: str, sound: Array) -> Page:
    page = browser.new_page()
    page.goto(f"{url}style.css")
    page.evaluate("(samples) => { globalThis.sound = new Float32Array(samples); }", sound.tolist())
    return page


def ours(browser: Browser, url: str, site: Path, sound: Array, *, simd: bool) -> Page:
    page = page_with(browser, url, sound)
    engine = Engine(page, simd=simd)
    engine.open((site / "silero_vad.nnef.tgz").read_bytes())
    engine.begin(S=FRAME)
    engine.do("globalThis.stream = kept.stream;")
    return page


@pytest.fixture(scope="module")
def onnxruntime_web(site: Path) -> str:
    """Puts it beside the engine, and gives its version."""
    wheels = [*WHEELS.glob("open_webui-*.whl")]
    if not wheels:
        pytest.fail(f"no onnxruntime-web in {WHEELS}: make bench-browser fetches it")
    shutil.copy(package_file("silero_vad_16k_op15.onnx"), site / "silero_vad.onnx")
    return unpack(wheels[0], site / "ort")


def test_frame(
    report: Report,
    rounds: Callable[[int], int],
    browser: Browser,
    url: str,
    site: Path,
    sound: Array,
    onnxruntime_web: str,
) -> None:
    stream = load(site / "silero_vad.nnef.tgz").pulse(S=FRAME).set(B=1).compile().stream()
    frames = [sound[None, at : at + FRAME] for at in range(0, len(sound), FRAME)]
    simd = ours(browser, url, site, sound, simd=True)
    scalar = ours(browser, url, site, sound, simd=False)
    peer = page_with(browser, url, sound)
    peer.evaluate(THEIR_OPEN)
    next_frame = cycle(frames)
    contenders = {
        "native": lambda: (
            timeit(lambda: stream.push(next(next_frame)), number=len(frames)) / len(frames)
        ),
        "Chromium": lambda: float(simd.evaluate(STREAM)),
        "Chromium, without SIMD": lambda: float(scalar.evaluate(STREAM)),
        f"onnxruntime-web {onnxruntime_web}": lambda: float(peer.evaluate(THEIRS)),
    }
    alternate(contenders, rounds=1)
    seconds = {
        name: Samples(name, values) for name, values in alternate(contenders, rounds(15)).items()
    }
    native, chromium, slow, web = seconds.values()
    real_time = Samples("the frame's sound", [FRAME / RATE])
    what = "a frame of Silero VAD"
    report.add(
        Comparison(what, chromium, native, target=3.2),
        Comparison(what, chromium, web, target=1.0),
        Comparison(what, chromium, real_time, target=0.1),
        Comparison(what, slow, native),
        Comparison(what, slow, real_time, target=0.1),
    )


def test_start(
    report: Report,
    rounds: Callable[[int], int],
    browser: Browser,
    url: str,
    onnxruntime_web: str,
) -> None:
    def seconds(script: str) -> float:
        page = browser.new_page()  # with a cache of its own, which is empty
        page.goto(f"{url}style.css")
        began = perf_counter()
        page.evaluate(script)
        took = perf_counter() - began
        page.close()
        return took

    found = alternate(
        {"Chromium": lambda: seconds(OPEN), onnxruntime_web: lambda: seconds(THEIR_OPEN)},
        rounds(10),
    )
    ours = Samples("Chromium", found["Chromium"])
    theirs = Samples(f"onnxruntime-web {onnxruntime_web}", found[onnxruntime_web])
    report.add(Comparison("from nothing to the first frame", ours, theirs, target=1.0))


def test_download(report: Report, onnxruntime_web: str, site: Path) -> None:
    engine = (site / "engine" / "engine.wasm").read_bytes()
    theirs = next((site / "ort").glob("*.wasm")).read_bytes()
    zipped = _megabytes("gzip", gzip.compress(engine, 9))
    report.add(
        Comparison("the engine's download, gzip", zipped, Samples("2.8 MB", [2.8]), "MB", 1.0),
        Comparison(
            "the engine's download, brotli",
            _megabytes("brotli", brotli.compress(engine)),
            Samples("2.0 MB", [2.0]),
            "MB",
            1.0,
        ),
        Comparison(
            "the engine's download, gzip",
            zipped,
            _megabytes(f"onnxruntime-web {onnxruntime_web}", gzip.compress(theirs, 9)),
            "MB",
        ),
    )


def _megabytes(name: str, data: bytes) -> Samples:
    return Samples(name, [len(data) / 1e6])
