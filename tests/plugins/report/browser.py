"""Debian's Chromium without a window, driven by selenium, with no network of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

MISSING = "chromium and its driver are not installed; run: apt-get install chromium chromium-driver"
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def executables() -> tuple[str, str] | None:
    """The browser and its driver, or None where one is not there."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser that is open; its pages are files."""

    driver: webdriver.Chrome

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        """Show a page in a window of that width, in CSS pixels."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")
        self.read_log()
        self.driver.get(page.resolve().as_uri())

    def ask(self, script: str, *arguments: Any) -> Any:
        """What JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def read_log(self) -> tuple[list[str], list[str]]:
        """Since the last time: the console's messages, and the addresses that were asked for."""
        logs: Any = self.driver  # whose `get_log` has no types
        console = [entry["message"] for entry in logs.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in logs.get_log("performance")]
        asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return console, asked


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, for the block."""
    found = executables()
    assert found is not None, MISSING
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(found[1]))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
