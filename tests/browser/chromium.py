"""Fixtures: Chromium, and the page's server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from browser_vad import serve

__all__ = ["browser", "launch", "site", "url"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's folder."""
    folder = tmp_path_factory.mktemp("site")
    serve.build(folder)
    return folder


@pytest.fixture(scope="session")
def url(site: Path) -> Iterator[str]:
    with serve.server(site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Browser]]:
    """Starts Chromium with more arguments."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("no Chromium was found: apt install chromium")
    with sync_playwright() as playwright:

        def start(*args: str) -> Browser:
            return playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *args])

        yield start


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    browser = launch()
    yield browser
    browser.close()
