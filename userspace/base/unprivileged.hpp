// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace upstat {

/// Takes all privileges from the calling thread, and from no other, for good: it gets a user and a group of its own, no
/// capability, no_new_privs, and a seccomp filter that knows neither exec nor bpf, ptrace, setns or a file to write.
/// To be called first by every thread that reads foreign bytes. A thread that it makes later is like it.
///
/// Files and sockets that need more are opened by another thread and handed over. The threads still share one memory:
/// this bounds what a parser can be talked into, not whoever takes over the process.
///
/// The user is `upstat` of /etc/passwd, else the number 65530, which neither Debian nor systemd gives to anybody;
/// `nobody` is shared by other daemons, which could then end this process by a signal.
///
/// Returns what could not be given up, for a person; empty when everything was.
std::string drop_privilege();

/// What drop_privilege() does to threads of this process here, in words for a person: "user upstat (998), no
/// capability, seccomp". Tried with a thread that then ends.
std::string unprivileged_words();

}  // namespace upstat
