"""A real Chromium without a window, which looks at a page as a person would: its drawings, complaints and requests."""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="chromium or its driver is not installed: `apt-get install chromium chromium-driver` brings them",
)
PATIENCE_S = 60.0
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage")


class Browser:
    """Opens files; what a page complained of and asked for is kept until it is taken."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, *, look: str = "light", width: int = 1100) -> None:
        """Open a page and wait until its charts are drawn."""
        from selenium.webdriver.support.wait import WebDriverWait

        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.emulate(look)
        self.driver.get(path.as_uri())
        WebDriverWait(self.driver, PATIENCE_S).until(
            lambda driver: driver.execute_script("return document.documentElement.dataset.drawn === 'yes'"),
            f"the charts of {path} were not drawn: {self.complaints()}",
        )

    def emulate(self, look: str, media: str = "") -> None:
        """Prefer a light or dark look, on screen or paper."""
        features = [{"name": "prefers-color-scheme", "value": look}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def ask(self, script: str, *arguments: object) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Return what was said on the console since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return what was asked for since the last time."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]

    def colour(self, selector: str, name: str) -> str:
        """Return the colour that an element has in the end."""
        return self.ask("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name)

    def pdf(self) -> bytes:
        """Return the page on paper."""
        return base64.b64decode(self.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])


@contextmanager
def browsing() -> Iterator[Browser]:
    """Have a browser as long as the context lasts."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
