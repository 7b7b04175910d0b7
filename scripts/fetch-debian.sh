#!/usr/bin/env bash
# Unpacks Debian packages into a folder, without installing them: fetch-debian.sh SUITE ARCHITECTURE FOLDER PACKAGE[=VERSION]...
# The folder appears when it is complete. An apt of its own, so that the system's sources stay as they are; the mirror is the
# system's, or EDGEPOSE_DEBIAN_MIRROR.
set -euo pipefail
fail() { echo "fetch-debian: $1" >&2; exit 1; }
(($# >= 4)) || fail "SUITE ARCHITECTURE FOLDER PACKAGE... are needed"
suite=$1 architecture=$2 folder=$3
shift 3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -e $keyring ]] || fail "$keyring is missing: apt-get install debian-archive-keyring"
mirror=${EDGEPOSE_DEBIAN_MIRROR:-}
[[ -n $mirror ]] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' |
  awk '!/-security/ && !seen++')
[[ -n $mirror ]] || fail "no Debian mirror is known: apt-get update, or set EDGEPOSE_DEBIAN_MIRROR"
mkdir -p "$(dirname "$folder")"
root=$(mktemp -d "$(realpath "$(dirname "$folder")")/.fetch-XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/state/lists/partial "$root"/cache/archives/partial "$root/debs" "$root/files"
touch "$root/state/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$root/sources.list"
options=(-qq -o Dir::State="$root/state" -o Dir::State::status="$root/state/status" -o Dir::Cache="$root/cache"
  -o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root
  -o APT::Architecture="$architecture" -o APT::Architectures::="$architecture")
apt-get "${options[@]}" update
(cd "$root/debs" && apt-get "${options[@]}" download "$@")
for package in "$root"/debs/*.deb; do dpkg-deb -x "$package" "$root/files"; done
chmod 755 "$root/files"
rm -rf "$folder"
mv "$root/files" "$folder"
