"""Headless Chromium for the tests of pages: Debian's package ``chromium``, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

# Without these flags Chromium asks hosts of its maker at every start, which tests without a network cannot reach.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class Browsed:
    """A page of a browser.

    Attributes:
        page: the page, 1400 x 1000 pixels.
        errors: messages that the page wrote to its console as errors, and exceptions of its scripts.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))


@contextmanager
def browser(javascript: bool = True, dark: bool = False) -> Iterator[Browsed]:
    """Open an empty page in headless Chromium; close the browser at the end.

    Raises:
        RuntimeError: Chromium is not installed.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("tests of pages need Chromium; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            context = started.new_context(
                viewport={"width": 1400, "height": 1000},
                java_script_enabled=javascript,
                color_scheme="dark" if dark else "light",
            )
            yield Browsed(context.new_page())
        finally:
            started.close()
