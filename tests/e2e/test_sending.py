# SPDX-License-Identifier: Apache-2.0
"""Two real Alertmanagers and a Pushgateway over TLS, and one that is down while alerts come and go."""

from urllib.parse import quote

import pytest

from parts.base import wait_for
from parts.exposition import total
from parts.load import Clients, Request
from parts.monitoring import Webhook
from parts.tls import PASSWORD, Authority, HttpsAlertmanager, HttpsPushgateway


@pytest.fixture
def authority(tmp_path):
    directory = tmp_path / "tls"
    directory.mkdir()
    return Authority(directory)


def heard(hook):
    """[(backend, status)] in the order of their coming."""
    return [(alert["labels"]["backend"], alert["status"]) for alert in hook.heard]


def sent(upstat, url, result):
    return total(upstat.samples(), "upstat_alertmanager_notifications_total", receiver=url, result=result)


def test_a_pair_over_tls_of_which_one_is_down_for_a_while(rig, agent, stack, tmp_path, authority):
    client = authority.issue("upstat", "clientAuth")
    hooks = [stack.enter_context(Webhook()) for _ in range(2)]
    first = stack.enter_context(HttpsAlertmanager(tmp_path, hooks[0].url, name="first").secure(authority, client=client))
    second = HttpsAlertmanager(tmp_path, hooks[1].url, name="second").secure(authority, password=True)
    stack.callback(second.stop)
    second.start()
    gateway = stack.enter_context(HttpsPushgateway(tmp_path).secure(authority, client=client))
    files = {f"--{receiver}.{name}": file for receiver in ("push", "alertmanager")
             for name, file in (("ca-file", authority.ca), ("cert-file", client[0]), ("key-file", client[1]))}
    upstat = agent(rig, {"--push.url": gateway.url, "--push.interval": "1s", "--alert.for": "0s", "--alert.window": "3s", **files,
                         "--alertmanager.url": [first.url, second.url.replace("//", f"//me:{quote(PASSWORD)}@")]})
    assert sent(upstat, first.url, "success") == sent(upstat, second.url, "failure") == 0, "there from the start"

    healthy = [Request(f"/{service}/bytes/100") for service in ("four", "six")]
    stack.enter_context(Clients(rig.traefik.url, healthy * 20000, clients=3, rate=60)).start()
    rig.nginx.turn_bad(rig.nginx.servers[0])
    story = [("four@file", "firing")]
    wait_for(lambda: [heard(hook) for hook in hooks] == [story, story], 30, lambda: f"both are told: {list(map(heard, hooks))}")

    second.stop()
    rig.nginx.turn_bad(rig.nginx.servers[1])
    story.append(("six@file", "firing"))
    wait_for(lambda: heard(hooks[0]) == story, 30, lambda: f"the first is told: {heard(hooks[0])}")
    wait_for(lambda: sent(upstat, second.url, "failure") >= 2, 30, "the second is tried, and tried again")
    assert heard(hooks[1]) == story[:1]
    second.start()
    wait_for(lambda: heard(hooks[1]) == story, 70, lambda: f"the second is told as well: {heard(hooks[1])}")

    rig.nginx.heal(rig.nginx.servers[0])
    rig.nginx.heal(rig.nginx.servers[1])
    ends = {("four@file", "resolved"), ("six@file", "resolved")}
    for hook in hooks:
        wait_for(lambda hook=hook: set(heard(hook)[2:]) == ends, 30, lambda hook=hook: f"the end is told: {heard(hook)}")
        assert len(heard(hook)) == 4, "once a change"
    assert total(upstat.samples(), "upstat_push_total", result="success") > 0
    said = [line for line in upstat.log.splitlines() if "Alertmanager" in line]
    assert len(said) == 2, said
    assert second.address in said[0] and "works again after" in said[1]
    assert PASSWORD not in upstat.log and quote(PASSWORD) not in upstat.log
