# SPDX-License-Identifier: Apache-2.0
"""Dynamic configurations of Traefik, made by chance, each with requests for it and what is known of its counts beforehand.

Everything is drawn from the seed and the configuration's number alone, so one can be run again without the others. Ports and
addresses are what is free.
"""

import random

from .base import free_port
from .many_servers import CODES

ENDINGS = ("shop", "Shop.v1", "shop_api", "a|b", 'quo"te', "übung", "x" * 60)
PATHS = ("/", "/a", "/a/", "/a/b", "/ab", "/b", "/a/b/c")
ODD_PATHS = ("/long/" + "p" * 80, "/A", "/a//b", "/a%2Fb", "/%61", "/a/./b", "/a;b", "/a?x=/b", "//a", "/" + "q" * 900)
METHODS = ("GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PURGE")
INTERVAL = "300ms"
KINDS = ("plain", "odd", "own", "trouble", "composed", "moving")


class Configuration:
    """After it is made: routers, middlewares, services as the file provider has them; requests, as (method, path, headers);
    leaves, which are the load balancers' names with the servers of each.

    moved: of services, what is to change under load; leaves have the servers of both.
    closes: some servers close without a response. Traefik's fastProxy may then never respond (3.3.6 to 3.7.15), so not there.
    told: every route can be compiled and every request is plain, so each service has its own count.
    """

    def __init__(self, seed, number, nginx, closes):
        self.dice = random.Random(f"{seed}/{number}")
        self.number = number
        self.entry_point = f"in{number}"
        self.port = free_port()
        self.kind = KINDS[number // 2 % len(KINDS)]
        self.told = self.kind in ("plain", "own")
        self.nginx = nginx
        self.closes = closes
        self.moved = {}
        self.hosts = [f"one.c{number}.example", f"Two.c{number}.example", f"three.c{number}.example"]
        self.routers, self.middlewares, self.services, self.leaves = {}, {}, {}, {}
        self._pool = [self._server() for _ in range(self.dice.randint(2, 4))]
        self._add_leaves()
        self._fronts = list(self.leaves)
        add = {"own": self._add_own, "trouble": self._add_trouble, "composed": self._add_composed,
               "moving": self._add_moving}.get(self.kind)
        if add:
            add()
        self._add_routers()
        self.requests = [self._request() for _ in range(self.dice.randint(80, 140))]

    def http(self, moved=False):
        services = {**self.services, **(self.moved if moved else {})}
        return {"routers": self.routers, "middlewares": self.middlewares, "services": services}

    def _chance(self, percent):
        return self.dice.randrange(100) < percent

    def _name(self, what):
        return f"c{self.number}-{what}"

    def _server(self):
        """(URL, servers as upstat names them)"""
        # A server's own path may come in front of the request's, so then no path is told.
        kinds = ("v4", "v4", "other", "v6", "name", "Name", "slash", "80", "mapped", "v4" if self.told else "path")
        kind = self.dice.choice(kinds)
        if kind == "80":
            server = self.nginx.add_at_80()
            return f"http://{server.removesuffix(':80')}", [server]
        if kind in ("name", "Name"):
            servers = self.nginx.add("127.0.0.1", "::1")
            host = {"name": "localhost", "Name": "LocalHost"}[kind]
            return f"http://{host}:{servers[0].rpartition(':')[2]}", servers
        addresses = {"other": f"127.0.{self.number % 256}.{self.dice.randint(2, 254)}", "v6": "::1"}
        server, = self.nginx.add(addresses.get(kind, "127.0.0.1"))
        if kind == "mapped":
            return f"http://[::ffff:127.0.0.1]:{server.rpartition(':')[2]}", [server]
        return f"http://{server}" + {"path": "/base/path", "slash": "/"}.get(kind, ""), [server]

    def _closing_server(self):
        server, = self.nginx.add("127.0.0.1")
        if self.closes:
            self.nginx.closing.add(server)
        return f"http://{server}", [server]

    def _add_leaf(self, ending, chosen, **more):
        name = self._name(ending)
        servers = [{"url": url} for url, _ in chosen]
        if len(servers) > 1 and self._chance(20):
            servers.append(dict(servers[0]))
        self.services[name] = {"loadBalancer": {"servers": servers, **more}}
        self.leaves[name] = {server for _, labels in chosen for server in labels}
        return name

    def _add_leaves(self):
        shared = self._chance(65)
        endings = self.dice.sample(ENDINGS, self.dice.randint(2, 4))
        for i, ending in enumerate(endings):
            chosen = (self.dice.sample(self._pool, self.dice.randint(1, len(self._pool))) if shared
                      else [self._pool[i]] if i < len(self._pool) else [self._server()])
            more = {}
            if self._chance(20):
                more["sticky"] = {"cookie": {"name": "stuck"}}
            if not self.told and self._chance(25):
                more["passHostHeader"] = False
            if self._chance(20):
                more["responseForwarding"] = {"flushInterval": "1ms"}
            self._add_leaf(ending, chosen, **more)

    def _add_own(self):
        """Traefik asks by itself: health checks that find a server well, with any status, and forwardAuth."""
        method = {"method": "HEAD"} if self._chance(30) else {}  # one for all: a server's checks are known by one method
        for name in self.dice.sample(sorted(self.leaves), self.dice.randint(1, len(self.leaves))):
            code = self.dice.choice((200, 401, 404, 204))
            check = {"path": f"/check?code={code}", "interval": INTERVAL, "status": code, **method}
            check |= {"hostname": self.hosts[0]} if self._chance(30) else {}
            check |= {"headers": {"X-Check": "yes"}} if self._chance(30) else {}
            self.services[name]["loadBalancer"]["healthCheck"] = check
        for refuses in (False, True):
            url, servers = self._server() if self._chance(40) else self.dice.choice(self._pool)
            if len(servers) > 1:
                continue
            code = 401 if refuses else 204
            self.middlewares[self._name(f"auth-{code}")] = {"forwardAuth": {"address": f"{url.rstrip('/')}/auth?code={code}"}}

    def _add_trouble(self):
        """Servers that refuse, close, or are thought ill; and retries."""
        self._fronts.append(self._add_leaf("dead", [(f"http://127.0.0.1:{free_port()}", [])]))
        self._fronts.append(self._add_leaf("half", [self._server(), self._closing_server()]))
        check = {"path": "/check?code=500", "interval": INTERVAL}
        self._fronts.append(self._add_leaf("ill", [self.dice.choice(self._pool)], healthCheck=check))
        self.middlewares[self._name("retry")] = {"retry": {"attempts": self.dice.randint(2, 4)}}

    def _add_composed(self):
        """Services of services, and error pages."""
        a, b, *rest = self.dice.sample(sorted(self.leaves), len(self.leaves))
        self.services[self._name("weighted")] = {"weighted": {"services": [
            {"name": a, "weight": self.dice.randint(1, 3)}, {"name": b, "weight": self.dice.randint(0, 3)}]}}
        mirrors = [{"name": name, "percent": self.dice.choice((10, 50, 100))} for name in (b, *rest[:1])]
        self.services[self._name("mirrored")] = {"mirroring": {"service": a, "mirrors": mirrors}}
        ill = self._add_leaf("main", [self._server()], healthCheck={"path": "/check?code=500", "interval": INTERVAL})
        self.services[self._name("failover")] = {"failover": {"service": ill, "fallback": self.dice.choice((a, b))}}
        self.services[self._name("nested")] = {"weighted": {"services": [
            {"name": self._name("mirrored"), "weight": 1}, {"name": self._name("weighted"), "weight": 1}]}}
        self._fronts += [self._name(name) for name in ("weighted", "mirrored", "failover", "nested")]
        for name in (a, b):
            self.middlewares[self._name(f"errors-{name}")] = {"errors": {
                "status": [self.dice.choice(("404", "500-599", "400-404"))], "service": name, "query": "/errors/{status}.html"}}

    def _add_moving(self):
        """Two pairs of services swap their servers, one of them shared with a third service: the series' names stay."""
        self.services, self.leaves = {}, {}
        first, second, third, fourth = ([self._server()] for _ in range(4))
        a, b, both, alone, lonely = self.dice.sample(ENDINGS, 5)
        pairs = [(self._add_leaf(a, first), self._add_leaf(b, second)),
                 (self._add_leaf(alone, third), self._add_leaf(lonely, fourth))]
        self._add_leaf(both, first + second)
        for one, other in pairs:
            self.moved |= {one: self.services[other], other: self.services[one]}
            self.leaves[one] = self.leaves[other] = self.leaves[one] | self.leaves[other]
        self._fronts = list(self.leaves)

    def _add_routers(self):
        fronts = self._fronts + self.dice.choices(self._fronts, k=self.dice.randint(0, 3))
        self.dice.shuffle(fronts)
        rules = self._rules(len(fronts))
        # Of two rules of one length, Traefik takes either.
        prioritized = self._chance(50) or (self.told and len({len(rule) for rule in rules}) < len(rules))
        for i, (front, rule) in enumerate(zip(fronts, rules)):
            name = self._name(f"r{i}")
            middlewares = self._middlewares_of_a_router()
            if front == self._name("dead"):
                attempts = max([self.middlewares[one].get("retry", {}).get("attempts", 1) for one in middlewares], default=1)
                self.middlewares[f"{name}-mark"] = {
                    "headers": {"customResponseHeaders": {"X-Dead": front, "X-Attempts": str(attempts)}}}
                middlewares.append(f"{name}-mark")
            self.routers[name] = {"rule": rule, "service": front, "entryPoints": [self.entry_point], "middlewares": middlewares,
                                  **({"priority": 1000 - i} if prioritized else {})}

    def _middlewares_of_a_router(self):
        chosen = []
        own = [name for name in self.middlewares if not name.endswith("-mark")]
        if own and self._chance(50):
            chosen.append(self.dice.choice(own))
        if not self.told and self._chance(35):
            kind = self.dice.choice((
                {"stripPrefix": {"prefixes": ["/a"]}}, {"addPrefix": {"prefix": "/added"}}, {"replacePath": {"path": "/a"}},
                {"replacePathRegex": {"regex": "^/a(.*)", "replacement": "/b$1"}}, {"stripPrefixRegex": {"regex": ["/[ab]"]}},
                {"headers": {"customRequestHeaders": {"Host": self.hosts[0]}}}, {"compress": {}},
                {"buffering": {"maxRequestBodyBytes": 100000}}))
            name = self._name(f"m{len(self.middlewares)}-changes")
            self.middlewares[name] = kind
            chosen.append(name)
        return chosen

    def _rules(self, count):
        rules = []
        while len(rules) < count:
            rule = self._rule()
            if rule not in rules:
                rules.append(rule)
        return rules

    def _rule(self):
        host, other = (f"Host(`{name}`)" for name in self.dice.sample(self.hosts, 2))
        path, longer = (f"{self.dice.choice(('Path', 'PathPrefix'))}(`{name}`)" for name in self.dice.sample(self._paths(), 2))
        plain = [host, f"{host} && {path}", path, f"({host} || {other}) && {path}", f"{host} && ({path} || {longer})",
                 f"{host} || {path}"]
        odd = [f"{host} && Method(`POST`)", f"{path} && Header(`X-Beta`, `yes`)", f"{path} && Query(`x`, `/b`)",
               "PathRegexp(`^/[ab]`)", f"HostRegexp(`^three\\.c{self.number}\\.example$`)", "HostRegexp(`^.+\\.example$`)",
               "ClientIP(`127.0.0.1`)", f"!{host}", f"{host} && !{path}"]
        return self.dice.choice(plain if self.told or self._chance(50) else odd)

    def _paths(self):
        return PATHS if self.told else PATHS + ODD_PATHS[:2]

    def _request(self):
        plain = self.told or self._chance(60)
        host = self.dice.choice(self.hosts if plain else [self.hosts[0].upper(), f"{self.hosts[0]}:8080", f"{self.hosts[0]}.",
                                                         "other.example", "127.0.0.1", self.hosts[1]])
        path = self.dice.choice(PATHS if plain else ODD_PATHS)
        method = self.dice.choice(METHODS)
        headers = {"Host": host, "X-Code": str(self.dice.choice((200, *CODES)))}
        if self._chance(20):
            headers["X-Beta"] = "yes"
        if self._chance(10):
            headers |= {"X-Forwarded-Host": self.hosts[2], "X-Forwarded-Prefix": "/b", "X-Forwarded-Server": "me",
                        "X-Replaced-Path": "/b", "X-Forwarded-Method": "GET"}
        if self.kind == "trouble" and self._chance(10) and self.closes:
            # Only what Traefik sends once: what it sends again by itself is more requests and one 502.
            method = "POST"
            headers["X-Close"] = "yes"
        return method, path, headers
