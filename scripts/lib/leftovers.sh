# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What a run of the tests has left on this host. Its kinds have SCRATCH, a directory of this run alone, for TMPDIR.

# What a test must not leave behind, even when it fails; a line for each.
leftovers() (
  set +e # what is not there is not an error
  find /sys/fs/bpf -mindepth 1 -maxdepth 1 -name 'upstat*' 2>/dev/null
  find /sys/fs/cgroup -maxdepth 3 -type d -name 'upstat-*' 2>/dev/null
  ip netns list 2>/dev/null | sed -n 's/^upstat/network namespace &/p'
  awk '$2 ~ /upstat|\/sys\/fs\/bpf/ { print "mounted: " $2 }' /proc/self/mounts
  { iptables-save && ip6tables-save; } 2>/dev/null | sed -n 's/^-A \(INPUT\|OUTPUT\) /iptables &/p'
  find /var/lib/upstat /run/upstat -maxdepth 0 2>/dev/null
  find "$SCRATCH" -mindepth 1 -maxdepth 1 ! -name 'pytest-of-*'
  processes_of_this_run | sed 's/^/process /'
)

# Whatever a test starts inherits SCRATCH, or is told a file in it. The grep finds itself too, but is gone when ps looks.
processes_of_this_run() {
  local pids
  pids=$(grep -lzsF -- "$SCRATCH" /proc/[0-9]*/{environ,cmdline} | cut -d / -f 3 | sort -u) || true # of processes that end meanwhile
  [[ -z $pids ]] || ps -ww -o pid=,args= -p "${pids//$'\n'/,}" || true # all gone already
}

# Names have the pid of their test in them: where that one lives, the run is another.
without_others() {
  local line
  while IFS= read -r line; do
    [[ $line =~ upstat-[a-z]+-([0-9]+) && -d /proc/${BASH_REMATCH[1]} ]] || printf '%s\n' "$line"
  done
}

# left_behind BEFORE: what is there now and was not in the sorted lines of then; what has been killed may need a moment to go.
left_behind() {
  local before=$1 left
  for _ in 1 2 3 4 5; do
    left=$(comm -13 <(printf '%s\n' "$before") <(leftovers | sort) | without_others)
    [[ -n $left ]] || return 0
    sleep 1
  done
  printf 'left behind:\n%s\n' "$left"
  return 1
}
