"""Debian's Chromium with a fresh profile, for tests of the report."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; the test skips where it is not installed."""
    sync = pytest.importorskip("playwright.sync_api", reason="needs the extra dev (playwright)")
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"needs Debian's browser, {CHROMIUM}: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Reader:
    """One page of a report in a browser, and everything that went wrong in it."""

    def __init__(self, browser: Any, width: int = 1280, scheme: str = "light") -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.wrong.append("dialog"), dialog.dismiss()))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(text)

    def open(self, file: Path, route: str = "") -> None:
        """Open a report from disk at one of its views."""
        self.page.goto(f"file://{file}#/{route}")
        self.ready()

    def go(self, route: str) -> None:
        """Visit another view of the same report."""
        self.page.evaluate("route => { window.location.hash = '/' + route }", route)
        self.ready()

    def ready(self) -> None:
        """Wait until the view is drawn."""
        self.page.wait_for_timeout(30)
        self.page.wait_for_selector("main:not([aria-busy]) h1")

    def heading(self) -> str:
        """The heading of the view."""
        return str(self.page.inner_text("h1"))

    def close(self) -> None:
        """Close the page and its profile."""
        self._context.close()


class Page(Reader):
    """A page of the explorer, at `host`."""

    def __init__(self, browser: Any, address: str | None, *look: Any) -> None:
        super().__init__(browser, *look)
        self.page.set_default_timeout(60_000)
        self.hosts = set() if address is None else {address.split("/")[2]}

    def visit(self, address: str) -> "Page":
        self.page.goto(address)
        self.settled()
        return self

    def settled(self) -> None:
        """Wait until what was asked is answered."""
        self.page.wait_for_timeout(20)
        self.page.wait_for_selector(".body")
        self.page.wait_for_selector("[aria-busy]", state="detached")

    def said(self, name: str = "") -> str:
        return str(
            self.page.inner_text(
                f".answers[aria-label='{name}'] .headline" if name else ".body .headline"
            )
        )

    def closed(self) -> None:
        """Close a page in which nothing may have gone wrong, which asked its server alone."""
        self.close()
        assert self.wrong == []
        hosts = {one.split("/")[2] for one in self.requests if one.startswith("http")}
        assert hosts == self.hosts
