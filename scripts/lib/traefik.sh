# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A real Traefik for the demo and the tests. Sourced after common.sh.

# Installs the Traefik of tests/requirements.txt into $BUILD/venv, once, and prints its path.
# Debian's own Python makes the venv: what else is first in PATH is not ours to rely on.
traefik_binary() {
  local venv=$BUILD/venv requirements=$TOP/tests/requirements.txt log
  local stamp=$venv/installed
  if ! cmp -s "$requirements" "$stamp"; then
    log=$(mktemp)
    say "installing $(grep -v '^#' "$requirements" | tr '\n' ' ')into $venv"
    if ! { rm -rf "$venv" && mkdir -p "$BUILD" && /usr/bin/python3 -m venv "$venv" &&
      "$venv/bin/pip" install --quiet -r "$requirements" && cp "$requirements" "$stamp"; } >"$log" 2>&1; then
      cat "$log" >&2
      rm -f "$log"
      die "pip could not install Traefik (see above): the package index must be within reach" 3
    fi
    rm -f "$log"
  fi
  printf '%s\n' "$venv/bin/traefik"
}
