#!/bin/sh
# Unpacks Debian packages into a folder of their own. Nothing is installed: the host's packages, its apt
# sources and its apt state stay as they are, no package script runs, and no right beyond writing ROOT is needed.
#
# This file must stay self-contained POSIX sh: the berth binary carries it for `berth install-runner`.
set -eu
umask 022

usage() {
  cat <<'EOF'
usage: debian_root.sh [-f] ROOT SUITE PACKAGE...

Unpacks exactly the named packages (no dependencies) of a Debian SUITE into the folder ROOT.

  ROOT     made, or replaced in one step once everything is there; it then holds .packages, with one
           "name version" a line
  SUITE    such as "forky"; "-" is the machine's own suite with its updates
  PACKAGE  a name, or names that different suites use for the same thing: "libgpgme11t64|libgpgme11"
  -f       fetch again although ROOT already holds these packages

The mirror is that of the machine's own apt sources and signatures are checked with the machine's Debian keyring.
apt's own settings hold (proxy, certificates, credentials). Progress goes to stderr, one line a step. It can be
interrupted anywhere and run again.
EOF
}

step() { echo "debian_root: $*" >&2; }
fail() { step "$*"; exit 1; }

need() {
  command -v "$1" >/dev/null 2>&1 ||
    fail "this needs $1, which this machine does not have: it works on Debian and its derivatives"
}

# --- is there anything to do? ------------------------------------------------------------------------------

request() { printf '%s\n' "$suite" "$@"; }

already_there() { [ -e "$root/.packages" ] && [ "$(cat "$root/.request" 2>/dev/null)" = "$(request "$@")" ]; }

# --- a private apt -----------------------------------------------------------------------------------------

# "URI RELEASE COMPONENT" of each of the machine's apt sources, in whichever of apt's file formats they are.
machine_sources() {
  # shellcheck disable=SC2016  # the names are apt's, not the shell's
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null | sort -u
}

# shellcheck source=/dev/null
codename() { (. /etc/os-release && echo "${VERSION_CODENAME:-}") 2>/dev/null || true; }

# Third-party sources also have a "main", so only what is named like the machine's own release counts.
debian_sources() {
  machine_sources | awk -v code="$(codename)" '
    $3 != "main" { next }
    $2 == code || $2 ~ /^(old)*stable$|^testing$|^unstable$|^sid$/ { print $1, $2; next }
    code != "" && index($2, code "-") == 1 && $2 !~ /backports/ { print $1, $2 }'
}

wanted_sources() {
  if [ "$suite" = - ]; then
    debian_sources
  else
    debian_sources | awk -v suite="$suite" '$2 !~ /-/ { print $1, suite; exit }'
  fi
}

keyring() {
  for file in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
    if [ -e "$file" ]; then echo "Signed-By: $file"; return; fi
  done  # without that file apt checks with the keys that the machine trusts for every source
}

write_sources() {
  wanted_sources >"$apt/wanted"
  [ -s "$apt/wanted" ] ||
    fail "no Debian mirror is among this machine's apt sources (apt-get indextargets): add one"
  while read -r uri release; do
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nTargets: Packages\n' "$uri" "$release"
    keyring
    echo
  done <"$apt/wanted" >"$apt/debian.sources"
}

# Read after the machine's own settings, so that its proxy stays and its hooks, pins and extra indexes do not.
write_config() {
  cat >"$apt/apt.conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architectures { "$(dpkg --print-architecture)"; };
APT::Default-Release "";
APT::Sandbox::User "$(id -un 2>/dev/null || id -u)";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::State "$apt/state";
Dir::State::Lists "$apt/state/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Log "$apt";
Dir::Etc::SourceList "$apt/debian.sources";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
EOF
}

make_apt() {
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
  : >"$apt/status"
  write_sources
  write_config
}

run_apt() {  # TOOL ARGUMENT...
  tool=$1
  shift
  "$tool" -c "$apt/apt.conf" -qq "$@" 2>"$apt/errors"
}

reason() { sed -n 's/^E: *//p' "$apt/errors" | head -n 1; }

# --- the packages ------------------------------------------------------------------------------------------

first_known() {  # a|b|c
  echo "$1" | tr '|' '\n' | grep -Fx -f "$apt/names" | head -n 1
}

choose() {
  run_apt apt-cache pkgnames >"$apt/names" || fail "apt cannot read its index: $(reason)"
  for package in "$@"; do
    known=$(first_known "$package")
    [ -n "$known" ] || fail "the suite $where has no package $package"
    echo "$known"
  done >"$apt/chosen"
}

download() {
  step "fetching the package index of $where"
  run_apt apt-get update || fail "cannot fetch the package index of $where: $(reason)"
  choose "$@"
  step "fetching $(tr '\n' ' ' <"$apt/chosen")"
  # shellcheck disable=SC2046  # one word each
  (cd "$apt/debs" && run_apt apt-get download $(cat "$apt/chosen")) || fail "cannot fetch the packages: $(reason)"
}

# Older packages still ship /lib and newer ones /usr/lib: with these links both land in one place.
merge_usr() {
  mkdir -p "$work/usr"
  for name in bin sbin lib lib64; do
    mkdir -p "$work/usr/$name"
    ln -s "usr/$name" "$work/$name"
  done
}

unpack() {
  for deb in "$apt"/debs/*.deb; do
    name=$(dpkg-deb -f "$deb" Package)
    dpkg-deb --fsys-tarfile "$deb" >"$apt/data.tar" || fail "cannot read the package $name"
    tar -x --keep-directory-symlink --no-same-owner --no-same-permissions -f "$apt/data.tar" -C "$work" ||
      fail "cannot unpack $name into $work: is there room for it?"
    echo "$name $(dpkg-deb -f "$deb" Version)"
    rm "$deb"
  done >"$work/.packages"
}

# --- in place, or nothing ----------------------------------------------------------------------------------

lock() {
  # The parent folder itself is locked, so that no lock file stays behind and a killed run holds nothing.
  exec 9<"$(dirname "$root")"
  flock -n 9 || { step "waiting for another run in $(dirname "$root")"; flock -w 900 9; } ||
    fail "another run in $(dirname "$root") does not end"
}

tidy() {  # what an interrupted run may have left
  rm -rf "$work"
  if [ -e "$root" ]; then rm -rf "$root.old"; elif [ -e "$root.old" ]; then mv "$root.old" "$root"; fi
}

put_in_place() {
  request "$@" >"$work/.request"
  rm -rf "$apt"
  sync -f "$work"
  if [ -e "$root" ]; then mv "$root" "$root.old"; fi
  mv "$work" "$root"
  rm -rf "$root.old"
}

main() {
  force=
  case ${1-} in
    -h | --help) usage; exit 0 ;;
    -f) force=yes; shift ;;
  esac
  [ $# -ge 3 ] || { usage >&2; exit 2; }
  for tool in apt-get apt-cache dpkg dpkg-deb tar flock; do need "$tool"; done

  mkdir -p "$(dirname "$1")" || fail "cannot make the folder $(dirname "$1")"
  root=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
  suite=$2
  shift 2
  work=$root.new
  apt=$work/.apt
  where=$suite
  [ "$suite" != - ] || where="$(codename)"

  if [ -z "$force" ] && already_there "$@"; then step "$root already holds these packages"; exit 0; fi
  lock
  tidy
  if [ -z "$force" ] && already_there "$@"; then step "$root already holds these packages"; exit 0; fi

  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  make_apt
  download "$@"
  step "unpacking into $root"
  merge_usr
  unpack
  put_in_place "$@"
  step "done: $(wc -l <"$root/.packages") packages in $root"
}

main "$@"
