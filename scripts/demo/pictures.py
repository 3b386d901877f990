#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The README's pictures: the web page while the demo's alert fires, taken by a real Chromium into deploy/pictures."""

import argparse
from contextlib import ExitStack
from pathlib import Path

import demo  # first: it knows where the parts are
from parts.base import wait_for
from parts.browser import Browser

TOP = Path(__file__).resolve().parents[2]
PICTURES = TOP / "deploy/pictures"
SCHEMES = ("light", "dark")


def take(host, browser):
    for scheme in SCHEMES:
        page = browser.page(f"{host.agent.url}/?backend={demo.BACKEND}", 1280, 960, scheme)
        page.get_by_label("Share of 4xx: now").wait_for()
        page.screenshot(path=PICTURES / f"backend-{scheme}.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstat", required=True, metavar="BINARY")
    parser.add_argument("--traefik", required=True, metavar="BINARY")
    parser.add_argument("--build", required=True, metavar="DIRECTORY")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    with ExitStack() as stack:
        host = demo.Host(stack, options.upstat, options.traefik)
        browser = stack.enter_context(Browser(options.build, host.agent.directory))
        wait_for(lambda: demo.backends(host.agent.samples()), 20, "the agent knows Traefik's backends")
        wait_for(lambda: len(host.load.done) > 30 * demo.RATE, 120, "half a minute of quiet", interval=0.5)
        host.rig.nginx.turn_bad(host.bad)
        wait_for(lambda: host.state() == "firing", demo.Story.PATIENCE, "the alert fires")
        take(host, browser)


if __name__ == "__main__":
    main()
