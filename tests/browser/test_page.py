"""The page in Chromium: sound in, segments seen; and what goes wrong, in words."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import Browser, Page, Route, expect

from vad.audio import Array
from vad.network import FRAME, RATE
from vad.segments import Segment, Segmenter

FAKE_MICROPHONE = "--use-fake-device-for-media-stream"
GRANTED = "--use-fake-ui-for-media-stream"


def segments_of(probabilities: Any) -> list[Segment]:
    segmenter = Segmenter()
    ended = segmenter.push(probabilities.tolist())
    return ended + segmenter.flush(len(probabilities) * FRAME)


def seen_segments(page: Page) -> list[Segment]:
    rows = page.locator("#segments tbody tr")
    cells = [row.locator("td").all_inner_texts() for row in rows.all()]
    return [Segment(*(float(text.removesuffix(" s")) for text in row[:2])) for row in cells]


def assert_same(seen: list[Segment], expected: list[Segment], within: float) -> None:
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        assert one.start == pytest.approx(other.start, abs=within)
        assert one.end == pytest.approx(other.end, abs=within)


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Writes samples [S] of 16 kHz to a file."""

    def write(audio: Array, name: str = "speech.wav") -> Path:
        soundfile.write(tmp_path / name, audio, RATE, "PCM_16")
        return tmp_path / name

    return write


def ready(page: Page) -> None:
    expect(page.locator("#status")).to_contain_text("Ready", timeout=20_000)


def test_a_file_is_heard(
    page: Page,
    wav: Callable[..., Path],
    said: Array,
    probabilities: Callable[[Array], Any],
) -> None:
    ready(page)
    page.set_input_files("#file", wav(said))
    expect(page.locator("#status")).to_contain_text("segments of speech")
    heard, _ = soundfile.read(wav(said), dtype="float32")
    expected = segments_of(probabilities(heard))
    assert len(expected) >= 2
    assert_same(seen_segments(page), expected, within=0.006)
    expect(page.locator("#heard")).to_have_text(f"{len(said) / RATE:.1f} s")
    percent = float(page.locator("#load").inner_text().split()[0])
    assert 0 < percent < 10


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (8_000, 1)])
def test_a_file_of_another_rate_is_resampled(
    page: Page, tmp_path: Path, said: Array, rate: int, channels: int
) -> None:
    import torchaudio

    path = tmp_path / "speech.ogg"
    other = torchaudio.functional.resample(torch.from_numpy(said), RATE, rate).numpy()
    soundfile.write(path, np.stack([other] * channels, 1), rate)
    ready(page)
    page.set_input_files("#file", path)
    expect(page.locator("#status")).to_contain_text("segments of speech")
    assert seen_segments(page)
    expect(page.locator("#heard")).to_have_text(f"{len(said) / RATE:.1f} s")


def test_a_file_that_is_dropped_is_heard(page: Page, wav: Callable[..., Path], said: Array) -> None:
    ready(page)
    dropped = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.wav"));
            return transfer;
        }""",
        list(wav(said[: 5 * RATE]).read_bytes()),
    )
    page.dispatch_event("#listening", "drop", {"dataTransfer": dropped})
    expect(page.locator("#status")).to_contain_text("5.0 s heard")


@pytest.mark.parametrize("query", ["", "?rate=device"], ids=["at 16 kHz", "at its own rate"])
def test_the_microphone_is_heard(
    page_with: Callable[..., Page],
    wav: Callable[..., Path],
    said: Array,
    probabilities: Callable[[Array], Any],
    query: str,
) -> None:
    sound = f"--use-file-for-fake-audio-capture={wav(said)}%noloop"
    page = page_with(FAKE_MICROPHONE, GRANTED, sound, query=query)
    ready(page)
    assert page.evaluate("new AudioContext().sampleRate") != RATE
    page.focus("#start")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Listening")
    for words in ("speech", "no speech"):  # it is told while it goes on
        expect(page.locator("#now")).to_have_text(words, timeout=20_000)
    time.sleep(len(said) / RATE)
    page.focus("#stop")
    page.keyboard.press("Space")
    expect(page.locator("#status")).to_contain_text("of speech")

    # The sound goes through the device's clock: it comes a little late, and with other rounding.
    expected = segments_of(probabilities(said))
    assert_same(merged(seen_segments(page)), merged(expected), within=0.25)
    milliseconds = int(page.locator("#latency").inner_text().split()[0])
    assert milliseconds < 100
    expect(page.locator("#start")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()


def merged(segments: list[Segment]) -> list[Segment]:
    """Segments without the pauses of less than half a second, whose limits noise decides."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and segment.start - joined[-1].end < 0.5:
            segment = Segment(joined.pop().start, segment.end)
        joined.append(segment)
    return joined


def test_ten_minutes_are_heard(page: Page, wav: Callable[..., Path], said: Array) -> None:
    ready(page)
    long = np.tile(said, 1 + 600 * RATE // len(said))[: 600 * RATE]
    page.set_input_files("#file", wav(long))
    expect(page.locator("#status")).to_contain_text("600.0 s heard", timeout=60_000)
    assert len(seen_segments(page)) > 50


def test_no_other_host_is_asked(
    browser: Browser, url: str, wav: Callable[..., Path], said: Array
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    ready(page)
    page.set_input_files("#file", wav(said))
    expect(page.locator("#status")).to_contain_text("of speech")
    assert len(asked) > 8
    assert all(address.startswith((url, "data:")) for address in asked)
    page.close()


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("refuse('NotFoundError')", "No microphone was found"),
        ("refuse('NotReadableError')", "another program"),
        ("refuse('AbortError')", "The microphone can't be used"),
        ("Object.defineProperty(navigator, 'mediaDevices', {})", "https:// and of localhost only"),
    ],
)  # fmt: skip
def test_a_microphone_that_gives_nothing(page: Page, setup: str, words: str) -> None:
    ready(page)
    page.evaluate(
        f"""() => {{
            const refuse = (name) => {{
                const refusal = () => Promise.reject(new DOMException("", name));
                navigator.mediaDevices.getUserMedia = refusal;
            }};
            {setup};
        }}"""
    )
    page.click("#start")
    expect(page.locator("#status")).to_contain_text(words)
    expect(page.locator("#status")).to_have_class(re.compile("wrong"))
    expect(page.locator("#start")).to_be_enabled()


def test_a_microphone_that_is_denied(page_with: Callable[..., Page]) -> None:
    page = page_with(FAKE_MICROPHONE)  # nobody is there to grant it
    ready(page)
    page.click("#start")
    expect(page.locator("#status")).to_contain_text("denied")
    expect(page.locator("#start")).to_be_enabled()


def test_a_microphone_of_another_rate(page_with: Callable[..., Page]) -> None:
    script = """
    const { AudioContext } = globalThis;
    globalThis.AudioContext = class extends AudioContext {
      constructor() {
        super({ sampleRate: 22050 });
      }
    };
    """
    page = page_with(FAKE_MICROPHONE, GRANTED, script=script)
    ready(page)
    page.click("#start")
    expect(page.locator("#status")).to_contain_text("22050 samples in a second")
    expect(page.locator("#start")).to_be_enabled()


def test_a_file_that_is_no_sound(page: Page, tmp_path: Path) -> None:
    ready(page)
    path = tmp_path / "notes.wav"
    path.write_text("no sound")
    page.set_input_files("#file", path)
    expect(page.locator("#status")).to_contain_text("notes.wav is no audio file")
    expect(page.locator("#start")).to_be_enabled()


@pytest.fixture
def bare(browser: Browser) -> Iterator[Page]:
    """A page that is not opened yet."""
    page = browser.new_page()
    yield page
    page.close()


def fulfilled(status: int, body: str = "") -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, body=body)


@pytest.mark.parametrize(
    ("pattern", "status", "words"),
    [
        ("**/engine.wasm", 404, "engine.wasm can't be fetched: 404"),
        ("**/silero_vad.nnef.tgz", 404, "silero_vad.nnef.tgz can't be fetched: 404"),
        ("**/silero_vad.nnef.tgz", 200, "not an archive"),
    ],
)
def test_what_is_missing_is_said(
    bare: Page, url: str, pattern: str, status: int, words: str
) -> None:
    bare.context.route(pattern, fulfilled(status, "broken"))
    bare.goto(url)
    expect(bare.locator("#status")).to_contain_text(words)
    expect(bare.locator("#start")).to_be_disabled()
    bare.context.unroute(pattern)


def test_a_browser_without_webassembly(bare: Page, url: str) -> None:
    bare.add_init_script("delete globalThis.WebAssembly;")
    bare.goto(url)
    expect(bare.locator("#status")).to_contain_text("no WebAssembly")
    expect(bare.locator("#start")).to_be_disabled()


def test_a_browser_that_is_too_old(bare: Page, url: str) -> None:
    def old(route: Route) -> None:
        script = f"delete WebAssembly.Tag;{route.fetch().text()}"
        route.fulfill(body=script, content_type="text/javascript")

    bare.route("**/engine.js", old)
    bare.goto(url)
    expect(bare.locator("#status")).to_contain_text("too old")


def test_without_simd(bare: Page, url: str, wav: Callable[..., Path], said: Array) -> None:
    bare.goto(f"{url}?simd=false")
    ready(bare)
    expect(bare.locator("#engine")).to_contain_text("without SIMD")
    bare.set_input_files("#file", wav(said))
    expect(bare.locator("#status")).to_contain_text("of speech")
    assert seen_segments(bare)


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_sticks_out(page: Page, wav: Callable[..., Path], said: Array, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    ready(page)
    page.set_input_files("#file", wav(said))
    expect(page.locator("#status")).to_contain_text("of speech")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_plot_shows_all_three(
    page: Page, wav: Callable[..., Path], audio: Array, scheme: Any
) -> None:
    """Its colors are those of the legend; the picture is left in build/ to be looked at."""
    page.emulate_media(color_scheme=scheme)
    ready(page)
    page.set_input_files("#file", wav(audio))
    expect(page.locator("#status")).to_contain_text("of speech")
    page.wait_for_timeout(200)
    shares = page.evaluate(
        """() => {
            const canvas = document.getElementById("plot");
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const color = (name) => getComputedStyle(canvas).getPropertyValue(name);
            const shareOf = (hex) => {
                const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
                let count = 0;
                for (let i = 0; i < data.length; i += 4) {
                    count += data[i] === r && data[i + 1] === g && data[i + 2] === b;
                }
                return count / (data.length / 4);
            };
            return ["--wave", "--probability", "--speech"].map((name) => shareOf(color(name)));
        }"""
    )
    wave, probability, speech = shares
    assert wave > 0.02
    assert probability > 0.0005
    assert 0.2 < speech < 0.8
    page.screenshot(path=f"build/browser/page-{scheme}.png", full_page=True)
