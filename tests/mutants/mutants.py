#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the kernel programs, one plausible mistake at a time, and watches which test notices.

Each mistake is a text of bpf/ and what stands there instead. It is built into a copy of the peer; then the named cases
are played, and if they pass, 2,000 random schedules. What these cannot see is built into a copy of the agent, for a
test that has one.
A mistake that no test notices is a failure, and so is a text that bpf/ no longer has.

    mutants.py [WORDS]      only the mistakes whose names contain the words
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("UPSTAT_BUILD_DIR", TOP / "build"))
WORK = BUILD / "mutants"

# Tests with an agent, for what the peer cannot see.
TAKEN = "test_peer.py::test_heads_that_are_read_line_by_line"
TWO_CPUS = "test_soak.py::test_two_cpus_deliver_to_one_socket_at_once"
AWAY = "test_crash_walk.py::test_programs_that_were_away"
SOCKETS = "../e2e/test_sockets.py::test_each_connection_is_as_the_server_logged_it"
AGAIN = "test_anchor.py::test_a_socket_that_connects_again"
SHARED = "test_layout.py::test_requests_in_flight_survive_where_the_sockets_are_the_same"
PORTS = "test_anchor.py::test_a_server_s_connection_from_a_port_that_was_clients"

# (what is wrong, file in bpf/, text, what stands there instead[, the test with an agent that is to notice])
MISTAKES = [
    ("the anchor is off by one", "request.h", ".answer = packet->ack_seq,", ".answer = packet->ack_seq + 1,"),
    ("interim responses are taken for final", "http.h", "return code < 200 && code != 101;", "return code < 0;"),
    ("a 101 is taken for interim", "http.h", "return code < 200 && code != 101;", "return code < 200;"),
    ("the high-water mark does not move past the body", "request.h", "pass_body(state, has_length ? content_length(skb, packet->payload + begin) : 0);",
     "pass_body(state, 0 * (has_length + content_length(skb, packet->payload + begin)));"),
    ("what was sent before arms again", "request.h", "    if (begin >= (__s32)packet->length)\n        return; /* body",
     "    if (begin >= (__s32)packet->length)\n        begin = 0; /* body"),
    ("no wrap-around of the response's numbers", "response.h", "    if ((__s32)(anchor - packet->seq) >= (__s32)packet->length)",
     "    if (anchor >= packet->seq + packet->length)"),
    ("no wrap-around of the request's numbers", "request.h", "    return (__s32)(seq - packet->seq);",
     "    return seq < packet->seq ? -1 : (__s32)(seq - packet->seq);"),
    ("pieces of a status line are forgotten", "response.h", "        keep(state, &slice);\n", ""),
    ("the window does not turn with the numbers", "response.h", "state->window[(slice->seq + i) % WINDOW_BYTES] = slice->bytes[i];",
     "state->window[(slice->seq - slice->anchor + i) % WINDOW_BYTES] = slice->bytes[i];"),
    ("the state is made and the connection counted twice", "upstat.bpf.c", "        if (!state)\n            state = opened(ops, sk);",
     "        state = opened(ops, sk);"),
    ("chunks are not followed", "request.h", "state->chunked = scratch(skb, HEAD_CHUNKED);", "state->chunked = 0;"),
    ("a chunk's size is read as a decimal", "http.h", "size = size << 4 | (byte - '0');", "size = size * 10 + (byte - '0');"),
    ("a line cut by a segment's end is lost", "request.h", "    if (ended)\n        take_line(state);", "    if (ended)\n        take_line(state);\n    else\n        state->line_size = 0;"),
    ("a method cut by a segment's end is lost", "request.h", "    if (opening == HTTP_OPENING_PARTIAL) {\n", "    if (opening == HTTP_OPENING_PARTIAL) {\n        if (!state->line_size) return opening;\n"),
    ("clients' connections are taken for servers'", "upstat.bpf.c", "        accepted(ops, sk);\n        break;", "        if (!ops)\n            accepted(ops, sk);\n        break;"),
    ("the server's close is not seen", "upstat.bpf.c", "    if (to == BPF_TCP_CLOSE_WAIT)\n        end_unanswered(sk, state, UPSTAT_UNANSWERED_CLOSED);\n    else if", "    if"),
    ("a reset is not noted", "upstat.bpf.c", "        state->reset = 1;\n", ""),
    ("a reset that the kernel refuses is believed", "upstat.bpf.c", "if (packet->flags & TCP_RST && takes_reset(sk, state, packet)) {", "if (packet->flags & TCP_RST) {"),
    ("a tunnel is read on", "response.h", "state->stage = tunnel ? STAGE_UNREAD : STAGE_IDLE;", "state->stage = STAGE_IDLE;"),
    ("IPv4 servers stand under another key", "server.h", "words[2] = bpf_htonl(0xffff);", "words[2] = 0;"),
    ("a bare line feed does not end a line of an interim head", "http.h", " || (last & 0xffff) == 0x0a0a;", ";"),
    ("a segment's last bytes behind a gap are not kept", "response.h", "        if (left < 64) /*", "        if (left < 128) /*"),
    ("bytes that cannot be kept are not noted", "response.h", "            note_skipped(state, anchor, seq + done);\n", "            note_skipped(state, anchor + 1, seq + done);\n"),
    ("what was scattered is not gathered", "response.h", "        gather(skb);\n", "        ;\n"),
    ("a request in the SYN is answered where its segment says", "request.h", ".stage = packet->flags & TCP_SYN ? STAGE_SYN : STAGE_STATUS,", ".stage = STAGE_STATUS,"),
    ("IPv4 options are not skipped", "packet.h", "return ip.protocol == IPPROTO_TCP ? ip.ihl * 4 : 0;", "return ip.protocol == IPPROTO_TCP ? 20 : 0;"),
    ("IPv6 extension headers are not walked", "packet.h", "} else if (next != IPPROTO_HOPOPTS && next", "} else if (next"),
    ("a fragment header ends the walk", "packet.h", "if (next == IPPROTO_FRAGMENT) {\n            if (extension[2]", "if (next == IPPROTO_FRAGMENT) {\n            if (1 || extension[2]"),
    ("a SYN that is sent again begins anew", "upstat.bpf.c", " && !in_flight(state->stage)) /* else", ") /* else"),
    ("a request in a SYN that fails is never ended", "upstat.bpf.c", "    if (to == BPF_TCP_CLOSE_WAIT)", "    else if (to == BPF_TCP_CLOSE_WAIT)"),
    ("what follows a body's last chunk in its segment is not looked at", "request.h", "        if (state->part != PART_REQUEST)\n            return;\n", "        return;\n"),
    ("what went by unseen is waited for", "request.h", "(__s32)(tcp->snd_una - state->next) <= 0", "(__s32)(tcp->snd_una - state->next) <= 1 << 30", AWAY),
    ("Multipath TCP is read as if it were plain", "upstat.bpf.c", "    if (has_mptcp(skb, packet->payload, packet->options))\n",
     "    if (has_mptcp(skb, packet->payload, packet->options) > 1)\n"),
    ("a lost SYN is a failure of the server's", "upstat.bpf.c", "    else if (ops->total_retrans)", "    else if (ops->total_retrans + 1)"),
    ("what was kept of the last response is taken for the next one's", "request.h", "    state->have = 0;\n", ""),
    ("a line that begins with the next eight bytes is not looked at", "head.h", " | may_equal(before, '\\n') >> 56;", " | (before & 0);"),
    ("what a CPU read before is taken for the rest of a head", "head.h", "        buffer->words[size / 8 + i] = 0;\n", "        ;\n"),
    ("a head buffer in use is used", "head.h", "        release_buffer(buffer);\n        return 0;\n", "", TAKEN),
    ("the end of a long head is counted from its chunk", "head.h", "place, done + place)", "place, 0 * done + place)"),
    ("a port that a connection was opened from stays clients'", "upstat.bpf.c", "known_ports->by_number[(__u16)ops->local_port].opened = 1;",
     "known_ports->any[0] |= 0;", PORTS),
    ("a code below 100 is one", "http.h", "return code >= 100 ? code : 0;", "return code;"),
    ("a code above 599 is none", "http.h", "return code >= 100 ? code : 0;", "return code >= 100 && code <= 599 ? code : 0;"),
    ("a CR ends a status line, whatever follows", "http.h", "(line[12] != '\\r' || line[13] != '\\n')", "line[12] != '\\r'"),
    ("a status line's version is 1.0 or 1.1", "http.h", "http_is_digit(bytes[7]);", "bytes[5] == '1' && bytes[7] < '2';"),
    ("spaces before a code are skipped once only", "response.h", "return state->stage == STAGE_CODE && state->have", "return 0 && state->have"),
    ("what stands behind spaces is skipped like them", "response.h", " || (spaces && byte != ' ')", " || (spaces > 1 && byte != ' ')"),
    ("a code behind more spaces ends the wait for nothing else", "state.h", " | 1U << STAGE_CODE;", ";"),
    ("interim heads are bounded by their number", "response.h", "#define RESPONSE_STEPS 512", "#define RESPONSE_STEPS 32"),
    ("lines are bounded by their number", "request.h", "#define LINE_STEPS 512", "#define LINE_STEPS 32"),
    ("a method lacks a byte of the RFC's", "http.h", "0x03ff6cfa00000000ULL", "0x03ff6cf200000000ULL"),
    ("every method called PRI begins HTTP/2", "http.h", "    return first == 0 && second", "    return first >> 32 == 0 || second"),
    ("a connection in use is given up for a method of 16 letters", "request.h", "return state->part == PART_REQUEST ? HTTP_OPENING_REQUEST : HTTP_OPENING_OTHER;",
     "return HTTP_OPENING_OTHER;"),
    ("a connection in use is given up for what looks like TLS or HTTP/2", "request.h", "else if (state->stage != STAGE_FRESH)", "else if (state->stage != STAGE_FRESH && opening == HTTP_OPENING_OTHER)"),
    ("an SSH banner is a request", "request.h", "(state->chunked && state->line_size == BANNER_BYTES)", "state->chunked"),
    ("a long line is a request at its end only", "request.h", "(state->chunked && state->line_size == BANNER_BYTES)", "0"),
    ("the body may begin another request while one is in flight", "request.h",
     "flies && !begins_another(skb, state, packet, begin)", "flies && begins_another(skb, state, packet, begin) < 0"),
    ("a response is counted where the last one was, whatever its code", "server.h", "known.what == what ?", "known.what + what ?"),
    ("a slot of another generation is taken for one's own", "server.h", "known.generation == generation &&", "known.generation &&", SHARED),
    ("a response is not counted for its connection", "response.h", "    count_class(state, code);\n", "", SOCKETS),
    ("a request that waits has no beginning", "request.h", "    state->asked = bpf_jiffies64();\n", "", SOCKETS),
    ("a socket that connects again counts on its first server", "socket.h", "    state->requested = nothing.word;\n    state->answered = 0;\n", "    (void)nothing;\n", AGAIN),
    ("a key's slot is given away twice", "maps.h", "*slot = ++given->given;", "*slot = given->given + 1;"),
    ("the lock is left out where a response is taken", "response.h",
     "    if (state->answer == anchor && state->stage == STAGE_STATUS)\n        step = take_status(state, code, HTTP_STATUS_CODE_END);",
     "    step = take_status(state, code, HTTP_STATUS_CODE_END);", TWO_CPUS),
    ("Traefik's own requests are users'", "whose.h", "    return state->look;\n", "    return 0;\n"),
    ("a user whose head is long is Traefik", "request.h", "        state->marks |= http_mark(state->line);", "        ;"),
    ("a mark at a chunk's end is lost", "whose.h", "__le64_to_cpu(buffer->words[HEAD_CHUNK / 8 - 1])", "0ULL"),
    ("marks of the first chunk only", "whose.h", "marks | more;", "done ? marks : more;"),
    ("the marks of the request before stay", "whose.h", "    state->marks = 0;\n", ""),
    ("a record is not looked for again", "whose.h", "if (unlikely(now != state->epoch))", "if (unlikely(!state->epoch && now))"),
    ("the method of a check does not matter", "whose.h", "state->checks >> (method & 15) & 1 ?", "state->checks ?"),
    ("half of what forwardAuth asks is enough", "whose.h", "(state->marks & asks) == asks", "state->marks & asks"),
    ("a connection's users are forgotten", "whose.h", " && may_ask && !state->proxies", " && may_ask"),
    ("a request that is answered early is counted twice", "socket.h", "    if (whose == WHOSE_UNDECIDED)\n        state->whose = UPSTAT_USERS;\n", ""),
    ("a request that ends before its head is not counted", "socket.h", "        count_request_of(sk, UPSTAT_USERS);\n", ""),
    ("an undecided request stays one", "request.h", "    else if (unlikely(whose == WHOSE_UNDECIDED) && state->part != PART_HEAD)\n        decide(sk, state);\n", ""),
    ("a response to Traefik is a user's", "response.h", "        count_end(sk, whose, UPSTAT_RESPONSE, code, method);", "        count_end(sk, UPSTAT_USERS, UPSTAT_RESPONSE, code, method);"),
    ("the lock is left out where a piece is taken", "response.h", "    if (waits_at(state, slice.anchor)) {", "    {", TWO_CPUS),
]


def prepare():
    """A copy of the tree, which shares no build with the real one."""
    WORK.mkdir(parents=True, exist_ok=True)
    tree = WORK / "tree"
    if tree.exists():
        shutil.rmtree(tree)
    for part in ("bpf", "userspace", "tests", "CMakeLists.txt"):
        source = TOP / part
        if source.is_dir():
            shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, tree / part)
    subprocess.run(["cmake", "-G", "Ninja", "-S", tree, "-B", WORK / "build", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0"],
                   check=True, stdout=subprocess.DEVNULL)
    return tree


def build(*targets):
    done = subprocess.run(["cmake", "--build", WORK / "build", "--target", *targets], capture_output=True, text=True)
    return done.returncode == 0, done.stdout[-3000:]


def noticed_by(test):
    fine, said = build("upstat", "soak", "peer")
    if not fine:
        return None, "does not build: " + said[-600:]
    done = subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", TOP / "tests/kernel" / test], capture_output=True, text=True,
                          timeout=600, env={**os.environ, "UPSTAT_BUILD_DIR": str(WORK / "build")})
    return (test, None) if "1 failed" in done.stdout else (None, None)


def noticed():
    """The name of the test that notices what is wrong now; None where none does. And what is in the way of telling."""
    fine, said = build("peer")
    if not fine:
        return None, "does not build: " + said[-600:]
    peer = WORK / "build" / "peer"
    cases = sorted((TOP / "tests/kernel/cases").glob("*.case"))
    for name, arguments in (("case", ["--until-failure", *cases]), ("schedules", ["--generate", "2000", "--seed", "7"])):
        done = subprocess.run([peer, *arguments], capture_output=True, text=True, timeout=1200)
        if done.returncode == 3:
            return None, done.stderr.strip()
        if done.returncode:
            failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
            return f"{name}: {failed[0][7:120]}", None
    return None, None


def main(words):
    tree = prepare()
    fine, said = build("peer")
    if not fine:
        sys.exit("mutants: the copy does not build:\n" + said)
    survivors = 0
    chosen = [mistake for mistake in MISTAKES if words in mistake[0]]
    for name, file, text, instead, *special in chosen:
        path = tree / "bpf" / file
        right = (TOP / "bpf" / file).read_text()
        if right.count(text) != 1:
            print(f"STALE     {name}: bpf/{file} has its text {right.count(text)} times", flush=True)
            survivors += 1
            continue
        path.write_text(right.replace(text, instead))
        test, trouble = noticed_by(*special) if special else noticed()
        path.write_text(right)
        survivors += test is None
        print(f"{'noticed ' if test else 'SURVIVES'}  {name}: {test or trouble or 'no test fails'}", flush=True)
    print(f"{len(chosen) - survivors} passed, {survivors} failed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
