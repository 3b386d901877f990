# SPDX-License-Identifier: Apache-2.0
"""The pages that show figures: what `scripts/bench --readme` writes, and that README.md and RESULTS.md agree."""

import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import pages  # noqa: E402
from figures import Figure, save  # noqa: E402

ABOUT = {"at": "2026-11-27T03:00+00:00", "commit": "abc1234", "processor": "a CPU", "cpus": 2, "load": 0.1, "kernel": "6.18", "traefik": "3.7.15",
         "nginx": "1.22.1", "mtail": "3", "prometheus": "2.42", "alertmanager": "0.25"}
ALERT = ("first bad response to firing, agent", "first bad response to firing, Prometheus", "first bad response to firing, Alertmanager")
RESULTS = "# x\n<!-- alert: begin -->\nold alert\n<!-- alert: end -->\n<!-- soak: begin -->\nold soak\n<!-- soak: end -->\n"
README = "# y\n<!-- bench: begin -->\n<!-- bench: end -->\nbehind\n"


@pytest.fixture
def top(tmp_path):
    (tmp_path / "tests/bench").mkdir(parents=True)
    (tmp_path / "tests/bench/RESULTS.md").write_text(RESULTS)
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def read(top):
    return (top / "tests/bench/RESULTS.md").read_text(), (top / "README.md").read_text()


def alert_run(top, seconds):
    """The JSON file after a run of one kind, read again."""
    return save(top / "bench.json", "alert", ABOUT, [Figure("alert", name, "s", seconds + i) for i, name in enumerate(ALERT)], {})


def test_a_run_of_one_kind_writes_its_own_table_and_row_only(top):
    pages.write(top, alert_run(top, 70))
    results, readme = read(top)
    assert "| first bad response to firing, agent | s | 70 |" in results and "old alert" not in results and "upstat abc1234" in results
    assert "old soak" in results
    rows = [line for line in readme.splitlines() if line.startswith("| ")]
    assert rows[1:] == ["| First bad response to firing alert | 70 s |  | Prometheus: 71 s, Alertmanager's receiver: 72 s | `scripts/bench alert` |"]
    assert readme.endswith("<!-- bench: end -->\nbehind\n")


def test_what_was_not_measured_again_stays(top):
    pages.write(top, alert_run(top, 70))
    before = read(top)
    pages.write(top, {"soak": {"machine": ABOUT, "figures": [], "details": {}}})
    results, readme = read(top)
    assert "old soak" not in results and readme == before[1]
    pages.write(top, alert_run(top, 80))
    assert "| 80 s |" in read(top)[1] and "| 70 s |" not in read(top)[1]


def test_a_page_without_its_marks_is_refused(top):
    (top / "README.md").write_text("# y\n")
    with pytest.raises(SystemExit, match="bench: begin"):
        pages.write(top, alert_run(top, 70))


def test_the_rows_of_the_readme_are_those_of_the_results():
    top = HERE.parents[1]
    results, readme = read(top)
    shown = {what: value for what, value in re.findall(r"^\| ([^|]+) \| [^|]* \| ([^|]*) \|", results, re.MULTILINE)}
    for row in pages.ROWS:
        line = next(line for line in readme.splitlines() if line.startswith(f"| {row.what} |"))
        for text, name in (row.main, *row.beside):
            assert text.format(shown[name]) in line
