# SPDX-License-Identifier: Apache-2.0
"""The rules of deploy/prometheus in promtool's eyes, and against the metrics that the agent has."""

import re

import pytest
import yaml

from conftest import DATA, TOP
from containers import command

RULES = TOP / "deploy/prometheus/rules.yml"
# Places of enum upstat_place where an answer may be lost; the rest are skips.
ERRORS = {"storage_failed", "overflow_full", "load_failed", "short_header", "callback_refused", "steps_out"}


def test_promtool_finds_them_sound():
    assert "SUCCESS: 12 rules" in command(["promtool", "check", "rules", RULES])


def test_they_fire_and_resolve():
    command(["promtool", "test", "rules", RULES.with_name("tests.yml")])


@pytest.mark.parametrize("name", ["scrape.yml", "gateway.yml"])
def test_promtool_takes_the_scrape_configurations(tmp_path, name):
    (tmp_path / "prometheus.yml").write_text(RULES.with_name(name).read_text())
    assert "SUCCESS" in command(["promtool", "check", "config", tmp_path / "prometheus.yml"])


@pytest.mark.parametrize("change", [("> 120", "> 12000"), ("== 0", "== 2"), ("> 60", "> 6000"), ("> 0.8", "> 0.95"),
                                    ("storage_failed|", ""), ("(-push)?", "-push"), ("> 1\n", "> 2\n"), ("overflow_full|", "overflow_full|request_gap|"), ("* 100 > 5", "* 100 > 15"),
                                    ('unless ignoring(result) increase(upstat_alertmanager_notifications_total{result="success"}[5m]) > 0', ""),
                                    ("on (job, instance, server)", "on (job, server)"), ("(requests|connect_failures)", "(requests)"),
                                    ("reset|closed|malformed", "reset|closed|malformed|aborted"), ("reset|closed|malformed", "reset|closed"),
                                    ("upstat_backends == 0 and", "upstat_backends > -1 and"), ('upstat_traefiks{state="counted"} > 0', 'upstat_traefiks{state="counted"} > -1'),
                                    ("rate(upstat_server_requests_total[5m])) > 0", "rate(upstat_server_requests_total[5m])) >= 0"),
                                    ('notifications_total{result="failure"}[5m]) > 0', 'notifications_total{result="failure"}[5m]) > 50')])
def test_the_tests_notice_a_broken_rule(tmp_path, change):
    broken = RULES.read_text().replace(*change)
    assert broken != RULES.read_text()
    (tmp_path / "rules.yml").write_text(broken)
    (tmp_path / "tests.yml").write_text(RULES.with_name("tests.yml").read_text())
    with pytest.raises(AssertionError, match="FAILED"):
        command(["promtool", "test", "rules", tmp_path / "tests.yml"])


def test_the_runbooks_rule_is_the_pages_byte_for_byte():
    """tests/e2e/data/seed_rule.yml is held against the page by another test."""
    seed = re.search(r"(?s)\n      -\n(.*)", (DATA / "seed_rule.yml").read_text())[1]
    assert f"\n      -\n{seed}\n" in RULES.read_text()


def test_the_places_are_those_of_the_kernel_side():
    places = set(re.findall(r'X\(\w+, "(\w+)", ', re.search(r"UPSTAT_PLACE_LIST.*?enum", (TOP / "bpf/layout.h").read_text(), re.DOTALL)[0]))
    rule, = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"] if rule["alert"] == "UpstatAnswersLost"]
    named = set(re.search(r'place=~"([^"]*)"', rule["expr"])[1].split("|"))
    assert named == ERRORS and named < places
