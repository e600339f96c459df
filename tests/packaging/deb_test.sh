#!/usr/bin/env bash
# Builds the .deb, installs it into a fresh root and uses what it put there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ ${1-} =~ ^(-h|--help)$ ]]; then
  cat <<'EOF'
usage: tests/packaging/deb_test.sh [BUILD-FOLDER]

Packs BUILD-FOLDER (build/release, already built), then installs the .deb into a fresh Debian root made by
mmdebstrap, with its dependencies, and runs it there in a bubblewrap. Where such a root cannot be made (no
mmdebstrap, no mirror, no namespaces) it says so, unpacks the .deb into a folder and runs it from there.
EOF
  exit 0
fi

build=${1:-build/release}
work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT

fail() { echo "deb_test: $*" >&2; exit 1; }

pack() {
  cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/pack" >"$work/pack.log" 2>&1 ||
    fail "cpack cannot make the .deb: $(tail -n 20 "$work/pack.log")"
  deb=$(echo "$work"/pack/*.deb)
  echo "deb_test: $(basename "$deb"), $(stat -c %s "$deb") bytes"
}

# --- the fresh root ----------------------------------------------------------------------------------------

# The machine's own Debian sources, one a line.
own_sources() {
  local code
  # shellcheck source=/dev/null
  code=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016  # the names are apt's
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v code="$code" '($3 == code || index($3, code "-") == 1) && $4 == "main"' | sort -u
}

in_root() {
  bwrap --bind "$root" / --proc /proc --dev /dev --tmpfs /run --ro-bind /etc/resolv.conf /etc/resolv.conf \
    --unshare-pid --unshare-ipc --die-with-parent --clearenv \
    --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv HOME /root --setenv DEBIAN_FRONTEND noninteractive "$@"
}

make_root() {
  command -v mmdebstrap bwrap >/dev/null || return 1
  apt-config dump Acquire >"$work/apt.conf"  # the machine's proxy and the like hold there too
  own_sources | mmdebstrap --quiet --variant=apt --aptopt="$work/apt.conf" '' "$root" - >"$work/root.log" 2>&1 && in_root true
}

install_there() {
  cp "$deb" "$root/berth.deb"
  in_root sh -c 'apt-get update -qq && apt-get install -qq --no-install-recommends /berth.deb' >"$work/install.log" 2>&1 ||
    fail "the .deb cannot be installed in a fresh root: $(tail -n 20 "$work/install.log")"
  run=(in_root)
  usr=/usr
}

unpack_there() {
  rm -rf "$root"
  dpkg -x "$deb" "$root"
  run=(env)
  usr=$root/usr
}

# --- what must be there ------------------------------------------------------------------------------------

has_file() { [ -e "$root/usr/$1" ] || fail "the .deb does not put /usr/$1 in place"; }

field_has() { [[ $(dpkg-deb -f "$deb" "$1") == *"$2"* ]] || fail "the .deb's field $1 does not name $2"; }

check_package() {
  field_has Conflicts docker-model-plugin
  field_has Replaces docker-model-plugin
  field_has Depends libc6
  field_has Depends libcurl4     # loaded late, so
  field_has Depends libarchive13 # named by hand
  field_has Recommends bubblewrap
  has_file lib/systemd/user/berth.service
  has_file share/doc/berth/copyright
  has_file share/man/man1/berth.1.gz
  has_file share/bash-completion/completions/berth
  has_file share/zsh/vendor-completions/_berth
  has_file share/fish/vendor_completions.d/berth.fish
}

check_program() {
  "${run[@]}" "$usr/bin/berth" version || fail "berth does not run in the fresh root"
  # Through the link, the program is docker's plugin.
  "${run[@]}" "$usr/libexec/docker/cli-plugins/docker-model" docker-cli-plugin-metadata | grep -q SchemaVersion ||
    fail "the docker plugin link does not answer with its metadata"
}

pack
if make_root; then
  install_there
else
  echo "deb_test: no fresh Debian root can be made here, so the .deb is only unpacked: $(tail -n 1 "$work/root.log" 2>/dev/null)"
  unpack_there
fi
check_package
check_program
echo "deb_test: passed"
