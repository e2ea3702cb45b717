"""Pages, the engine in one, sounds, and what Python says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from browser.chromium import *  # noqa: F403  (fixtures)
from browser.engine import Engine
from torchtract import PulsedRunnable, load
from vad.audio import SPEECH, Array, read, scene, speak, whole_frames
from vad.network import FRAME


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page, opened. A script that fails fails the test."""
    failures: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(url)
    yield page
    page.close()
    assert not failures


@pytest.fixture
def page_with(launch: Callable[..., Browser], url: str) -> Iterator[Callable[..., Page]]:
    """Opens the page in a Chromium of its own, with more arguments, after a script."""
    with ExitStack() as browsers:

        def open_page(*args: str, query: str = "", script: str = "") -> Page:
            page = browsers.enter_context(launch(*args)).new_page()
            page.add_init_script(script)
            page.goto(url + query)
            return page

        yield open_page


@pytest.fixture(params=[True, False], ids=["with SIMD", "without SIMD"])
def engine(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Engine]:
    """The engine in a page of its own, both builds."""
    page = browser.new_page()
    page.goto(f"{url}style.css")  # any file of the server
    yield Engine(page, simd=request.param)
    page.close()


@pytest.fixture(scope="session")
def audio() -> Array:
    """Samples [S] of the Python example's scene."""
    return whole_frames(scene(read(SPEECH))[0])


@pytest.fixture(scope="session")
def said() -> Array:
    """Samples [S] of a text in a scene that is in no file."""
    text = "The train to the coast leaves at noon. Bring a warm coat, and do not be late."
    return whole_frames(scene(speak(text))[0])


@pytest.fixture(scope="session")
def native(site: Path) -> PulsedRunnable:
    """The page's own model, in Python."""
    return load(site / "silero_vad.nnef.tgz").pulse(S=FRAME).set(B=1).compile()


@pytest.fixture(scope="session")
def probabilities(native: PulsedRunnable) -> Callable[[Array], Any]:
    """Probabilities [S / 512] of samples [S], from the native stream."""
    return lambda audio: np.asarray(native.stream().push(audio[None])[0])
