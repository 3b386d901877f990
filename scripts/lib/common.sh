# shellcheck shell=bash
# What every script here shares: the tree's places, one way to speak, one way to install.
# shellcheck disable=SC2034 # the variables are used by the scripts that source this file
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${UPSTAT_BUILD_DIR:-$TOP/build}

# Options that a script adds to the build's configuration.
CMAKE_OPTIONS=()
[[ -z ${UPSTAT_SANITIZE:-} ]] || CMAKE_OPTIONS+=(-DUPSTAT_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g1")

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit "${2:-1}"
}

# Keeps a command's output in a file and shows one line of it, the newest, where somebody watches.
progress() {
  local line width
  width=$(($(tput cols 2>/dev/null || echo 80) - 1))
  : >"$1"
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$1"
    [[ ! -t 2 ]] || printf '\r\033[K%s' "${line:0:width}" >&2
  done
  [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

# Installs what is missing of the named Debian packages. A package's service is not started:
# this host's ports and services are not ours to change.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  [[ $(id -u) == 0 ]] || die "these packages are missing, and only root can install them: ${missing[*]}" 3
  command -v apt-get >/dev/null || die "apt-get is missing: upstat's scripts set up Debian 12; elsewhere install by hand: ${missing[*]}" 3
  say "installing ${#missing[@]} packages: ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d made=no log
  log=$(mktemp)
  if [[ ! -e $policy ]]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  local status=0
  {
    apt-get -qq update &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 install "${missing[@]}"
  } >"$log" 2>&1 </dev/null || status=$?
  [[ $made == no ]] || rm -f "$policy"
  if ((status)); then
    cat "$log" >&2
    rm -f "$log"
    die "apt-get could not install: ${missing[*]}" 3
  fi
  rm -f "$log"
}

BUILD_PACKAGES=(ca-certificates cmake ninja-build g++ pkg-config clang-19 llvm-19 bpftool libbpf-dev libelf-dev zlib1g-dev
  libspdlog-dev libfmt-dev libgtest-dev libgmock-dev libcurl4-openssl-dev libc-ares-dev libmicrohttpd-dev libsystemd-dev libisal-dev
  libcli11-dev libseccomp-dev libgnutls28-dev libcrypt-dev libncurses-dev libyaml-cpp-dev libtomlplusplus-dev nlohmann-json3-dev
  libjs-chart.js linux-libc-dev git)
RUN_PACKAGES=(nginx-light wrk python3 python3-venv procps iproute2 curl)
TEST_PACKAGES=("${RUN_PACKAGES[@]}" python3-pytest python3-yaml python3-jsonschema prometheus prometheus-pushgateway prometheus-alertmanager
  iptables podman runc buildah netavark mmdebstrap shellcheck clang-format-19 clang-tidy-19 libclang-rt-19-dev jq util-linux zstd tmux
  dnsmasq-base libcpp-httplib-dev librapidcheck-dev libhttp-parser-dev qemu-system-x86 busybox-static cpio dash xz-utils strace
  apache2-bin caddy gunicorn haproxy nghttp2-client nodejs tomcat10 default-jre-headless tcpdump tshark chromium)
