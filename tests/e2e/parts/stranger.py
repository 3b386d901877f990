# SPDX-License-Identifier: Apache-2.0
"""An unprivileged user whose program is called traefik: a renamed perl in a cgroup of its own."""

import shutil
import tempfile
from pathlib import Path

from .base import Part, Process, free_port, wait_for
from .cgroup import Cgroup

USER = 1000

_SERVER = r"""
use strict;
use warnings;
use IO::Socket::INET;
my ($port, $deed, $home) = @ARGV;
open my $api, "<", "$home/api.json" or die $!;
my $body = do { local $/; <$api> };
my $listener = IO::Socket::INET->new(LocalAddr => "0.0.0.0:$port", Listen => 200, ReuseAddr => 1) or die $!;

sub serve {  # her API, and her servers: /CODE is responded to with that code
    my ($client) = @_;
    while (my $line = <$client>) {
        my ($path) = $line =~ m{^GET /(\S*)} or next;
        while (<$client>) { last if /^\r?$/ }
        my $text = $body;
        my $now = time . $$ . rand;
        $text =~ s/\@NOW\@/$now/g;
        my $code = $path =~ /^(\d{3})$/ ? $1 : 200;
        $text = "" if $path =~ /^\d/;
        print $client "HTTP/1.1 $code OK\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
    }
    exit 0;
}

sub ask {  # each code of each of so many loopback addresses
    my ($addresses, @codes) = @_;
    for my $address (1 .. $addresses) {
        my $server = IO::Socket::INET->new(PeerAddr => "127.9.0.$address:$port") or die $!;
        for my $code (@codes) {
            print $server "GET /$code HTTP/1.1\r\nHost: x\r\n\r\n";
            while (<$server>) { last if /^\r?$/ }
        }
    }
}

$SIG{CHLD} = "IGNORE";
if ($deed eq "crowd") {
    for (1 .. 300) { fork or do { sleep 1000; exit } }
} elsif (!fork) {
    sleep 1;
    ask(1, (200) x 5000) if $deed eq "talk";
    ask(40, 200 .. 599) if $deed eq "flood";
    print STDERR "done\n";
    exit;
}
while (my $client = $listener->accept or $!{EINTR}) {
    next unless ref $client;
    $client->autoflush(1);
    fork or serve($client);
    close $client;
}
"""


class Stranger(Part):
    """deed: "" (only its API), "talk" (5,000 requests to a server of hers), "flood" (400 codes of 40 addresses), "crowd" (300
    processes). body: what its API says; @NOW@ in it is new each time. arguments and files ({name: text}, in her home, which is
    @HOME@ in the arguments, as her port is @PORT@): how a Traefik is told where its API is."""

    def __init__(self, directory, space, deed="", body="{}", arguments=("--entrypoints.traefik.address=127.0.0.1:@PORT@",), files=None):
        self.port = free_port()
        self.cgroup = Cgroup()
        self._directory = directory
        self._space = space
        self._words = [self.port, deed, "@HOME@", *arguments]
        self._files = {"server.pl": _SERVER, "api.json": body, **(files or {})}
        self._home = None
        self.process = None

    def start(self):
        self._home = Path(tempfile.mkdtemp(prefix="upstat-test-"))  # pytest's directories are root's alone
        self._home.chmod(0o755)
        shutil.copy("/usr/bin/perl", self._home / "traefik")
        for name, text in self._files.items():
            (self._home / name).write_text(text)
        self.cgroup.start()
        words = [str(word).replace("@HOME@", str(self._home)).replace("@PORT@", str(self.port)) for word in self._words]
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", self._home / "traefik",
                   self._home / "server.pl", *words]
        self.process = Process("stranger", self._space.inside(self.cgroup.inside([str(word) for word in command])), self._directory)
        self.process.start()
        wait_for(self.cgroup.pids, 10, lambda: self.process.text())

    def wait_until_done(self, bound=120):
        """Her requests are through."""
        wait_for(lambda: "done" in self.process.text(), bound, lambda: f"her requests: {self.process.text()}")

    def stop(self):
        if self.process:
            self.process.stop()
        self.cgroup.stop()
        shutil.rmtree(self._home, ignore_errors=True)
