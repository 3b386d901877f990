# SPDX-License-Identifier: Apache-2.0
"""The seed page's rule: who says what about it, and when."""

import threading
import time

from .base import NOT_YET
from .upstat import RULE as NAME



def states_in(prometheus, name=NAME):
    """backend -> state; a backend that is not there is inactive."""
    return {alert["labels"]["backend"]: alert["state"] for alert in prometheus.alerts()
            if alert["labels"]["alertname"] == name}


class StateWatch:
    """Notes when each observer's state of one backend changes. observers: name -> function giving the state."""

    PERIOD = 0.1

    def __init__(self, observers):
        self.changes = {name: [] for name in observers}  # of (seconds since the epoch, state)
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._watch, args=item, daemon=True) for item in observers.items()]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def states(self, name):
        return [state for _, state in self.changes[name]]

    def at(self, name, index):
        return self.changes[name][index][0]

    def _watch(self, name, observe):
        while not self._end.wait(self.PERIOD):
            try:
                state = observe()
            except NOT_YET:
                continue
            if not self.changes[name] or self.changes[name][-1][1] != state:
                self.changes[name].append((time.time(), state))
