# SPDX-License-Identifier: Apache-2.0
"""A real Chromium, driven by Playwright. Nothing here is evaluated as a string in the page: its policy forbids that."""

import json
import site
from pathlib import Path

from .base import Part
from .venv import made_venv


class Browser(Part):
    """After the start: `page(...)`. Whatever a page says on its console, or throws, is in `complaints`."""

    def __init__(self, build, directory):
        self._directory = Path(directory)
        self.shots = Path(build) / "screenshots"
        venv = made_venv(build, "browser-venv", Path(__file__).with_name("browser.txt"))
        for packages in venv.glob("lib/python3*/site-packages"):
            site.addsitedir(str(packages))
        self.complaints = []

    def start(self):
        from playwright.sync_api import sync_playwright
        self.shots.mkdir(parents=True, exist_ok=True)
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])

    def stop(self):
        self._chromium.close()
        self._playwright.stop()

    def page(self, url, width=1280, height=900, scheme="light"):
        page = self._chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(url)
        page.locator("#live", has_text="live,").wait_for()
        return page

    def keep(self, page, name):
        """A picture for whoever looks at the run's artefacts."""
        page.screenshot(path=self.shots / f"{name}.png")

    def barriers(self, page):
        """What axe-core finds: [(rule, where)]."""
        from axe_playwright_python.sync_playwright import Axe
        found = Axe().run(page).response["violations"]
        return [(one["id"], [node["target"] for node in one["nodes"]][:5]) for one in found]

    def busiest(self, page, work):
        """Calls work(); the most processor time that one task of the page's main thread took meanwhile, in ms."""
        file = self._directory / "trace.json"
        self._chromium.start_tracing(page=page, path=file, categories=["toplevel"])
        work()
        self._chromium.stop_tracing()
        events = json.loads(file.read_text())["traceEvents"]
        main = {(one["pid"], one["tid"]) for one in events
                if one.get("name") == "thread_name" and one["args"]["name"] == "CrRendererMain"}
        return max((one.get("tdur", 0) for one in events if (one["pid"], one["tid"]) in main), default=0) / 1000
