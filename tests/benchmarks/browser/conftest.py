"""Chromium and the page's server, as the tests have them."""

from browser.chromium import *  # noqa: F403  (fixtures)
