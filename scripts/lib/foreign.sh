# shellcheck shell=bash
# Debian packages of another suite (trixie, sid, bullseye-security, ...): unpacked, never installed.
# Source scripts/lib/common.sh first: this file uses its say, die and BUILD.

# The Debian mirror that this machine itself uses for a suite of the same kind ("" or "-security"). apt is asked,
# because it reads every form in which sources can be written.
_foreign_mirror() {
  local kind=$1 codename address
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [[ -n $codename ]] || die "/etc/os-release names no VERSION_CODENAME: foreign packages need a Debian host" 3
  address=$(apt-get --print-uris update 2>/dev/null |
    sed -n "s|^'\(.*\)/dists/$codename$kind/InRelease'.*|\1|p" | head -n 1)
  [[ -n $address ]] || die "apt's sources name no mirror of $codename$kind: add one to /etc/apt/sources.list.d" 3
  printf '%s\n' "$address"
}

# Writes a private apt configuration for the suite $1 into the directory $2. It shares nothing with the machine's own
# but the keyring, so that the machine's packages, pins and lists neither matter nor change.
_foreign_configure() {
  local suite=$1 home=$2 kind='' mirror
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [[ $suite != *-security ]] || kind=-security
  [[ -e $keys ]] || die "$keys is missing: install debian-archive-keyring" 3
  mirror=$(_foreign_mirror "$kind") || exit $?
  mkdir -p "$home"/{state/lists/partial,cache/archives/partial,debs,none}
  : >"$home/status"
  printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" "$suite" >"$home/sources.list"
  cat >"$home/apt.conf" <<EOF
Dir::State "$home/state";
Dir::State::status "$home/status";
Dir::Cache "$home/cache";
Dir::Etc::sourcelist "$home/sources.list";
Dir::Etc::sourceparts "$home/none";
Dir::Etc::preferences "$home/none/preferences";
Dir::Etc::preferencesparts "$home/none";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
APT::Sandbox::User "root";
EOF
}

_foreign_apt() {
  local home=$1
  shift
  APT_CONFIG=$home/apt.conf apt-get -qq -o APT::Update::Error-Mode=any "$@" >>"$home/log" 2>&1 </dev/null
}

# Brings a package of the suite $1 to $3/debs/PACKAGE.deb. The suite's lists are fetched when there are none yet, and
# again when the mirror no longer has what they name.
_foreign_download() {
  local suite=$1 package=$2 home=$3 fetched
  say "fetching $package of $suite"
  _foreign_configure "$suite" "$home"
  fetched=$(mktemp -d "$home/fetch.XXXXXX")
  cd "$fetched" || exit
  : >"$home/log"
  if ! _foreign_apt "$home" download "$package"; then
    : >"$home/log" # the lists' age was the likely cause; what the second try says counts
    if ! { _foreign_apt "$home" update && _foreign_apt "$home" download "$package"; }; then
      cat "$home/log" >&2
      rm -rf "$fetched"
      die "apt-get could not fetch $package of $suite" 3
    fi
  fi
  mv ./*.deb "$home/debs/$package.deb"
  rmdir "$fetched"
}

# foreign_package SUITE PACKAGE DIR: unpacks a package of a Debian suite into DIR, signatures checked by apt against the
# Debian keyring. Nothing is installed, and no dependency comes along. What was fetched once is kept under
# $BUILD/foreign, and a DIR that has the package already is left as it is. Several packages may share a DIR.
foreign_package() {
  local suite=$1 package=$2 dir=$3
  local home=$BUILD/foreign/$suite mark=$dir/.foreign/$suite.$package
  [[ ! -e $mark ]] || return 0
  mkdir -p "$home" "$dir/.foreign"
  home=$(cd "$home" && pwd) # apt.conf wants absolute paths
  (
    flock 9 # two scripts may want the same suite at once
    [[ -e $home/debs/$package.deb ]] || (_foreign_download "$suite" "$package" "$home") || exit $?
    dpkg -x "$home/debs/$package.deb" "$dir" || die "cannot unpack $home/debs/$package.deb: remove it and try again"
    : >"$mark"
  ) 9>"$home/lock" || exit $?
}
