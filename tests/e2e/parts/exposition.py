# SPDX-License-Identifier: Apache-2.0
"""Reads Prometheus's text format."""

import re
from typing import NamedTuple

_LINE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Sample(NamedTuple):
    name: str
    labels: dict
    value: float


def parse(page):
    """The samples of a page; an AssertionError on a line that is none."""
    samples = []
    for line in page.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match.groups()
        pairs = {key: re.sub(r"\\.", lambda m: _ESCAPE.get(m.group(), m.group()), text)
                 for key, text in _LABEL.findall(labels or "")}
        samples.append(Sample(name, pairs, float(value)))
    return samples


def select(samples, name, **labels):
    """The samples of one name that carry the given labels."""
    return [s for s in samples if s.name == name and labels.items() <= s.labels.items()]


def total(samples, name, **labels):
    """Their sum."""
    return sum(s.value for s in select(samples, name, **labels))
