# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The checks of the sources' text. Sourced after common.sh; the tree must be built.

lint() {
  local sources
  mapfile -t sources < <(git -C "$TOP" ls-files -- '*.cpp' '*.hpp' '*.h' '*.c' | sed "s|^|$TOP/|")
  clang-format-19 --dry-run --Werror "${sources[@]}" || return 1
  git -C "$TOP" ls-files -z -- '*.py' | (cd "$TOP" && xargs -0 /usr/bin/python3 -c \
    'import sys; [compile(open(name).read(), name, "exec") for name in sys.argv[1:]]') || return 1
  # shellcheck disable=SC2046 # one word a file
  shellcheck -x $(grep -rlE '^#!.*bash|shellcheck shell=bash' "$TOP"/scripts "$TOP"/.ci "$TOP"/deploy "$TOP"/tests) || return 1
  tidy
}

# clang-tidy of userspace, unit by unit as it is built: a room is one. A verdict is kept for as long as all that it is
# made of is the same. libstdc++ 12 calls what std::stable_sort takes its memory by deprecated.
tidy() {
  say "clang-tidy of userspace"
  mkdir -p "$BUILD/tidy"
  export -f tidy_unit
  jq -r --arg files "$TOP/userspace/" --arg rooms "/Unity/" '.[] | select(.file | (startswith($files) or contains($rooms)) and endswith(".S") == false) | .file, .command' \
    "$BUILD/compile_commands.json" |
    TOP=$TOP BUILD=$BUILD xargs -d '\n' -n 2 -P "$(nproc)" "$BASH" -c 'tidy_unit "$@"' tidy
}

# tidy_unit FILE COMMAND; the compiler says which files the unit reads.
tidy_unit() {
  local kept said
  kept=$BUILD/tidy/$({
    clang-tidy-19 --version && cat "$TOP"/{.clang-tidy,scripts/lib/lint.sh} && printf '%s\n' "$2" &&
      "$BASH" -c "${2/ -o * -c / -M }" | tr -s '\\ ' '\n' | grep '^/' | xargs sha256sum
  } | sha256sum | cut -d ' ' -f 1)
  [[ ! -e $kept ]] || return 0
  said=$(clang-tidy-19 -quiet -p "$BUILD" \
    --extra-arg=-Wno-deprecated-declarations -checks=-bugprone-suspicious-include -header-filter="^$TOP/(userspace|tests)/" "$1" 2>&1) ||
    { printf '%s\n' "$said" && return 1; }
  touch "$kept"
}
