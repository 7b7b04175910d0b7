#!/usr/bin/env bash
# Builds the C++ core and installs the package editable; quick when nothing changed.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
exec 9<. && flock 9  # another make may be building, too
log=build/build.log
mkdir -p build
# With the place: the environment of a copied clone leads to the first one.
inputs=$({ pwd && find CMakeLists.txt CMakePresets.json pyproject.toml runtime_cpp -type f -print0 | sort -z |
  xargs -0 sha256sum; } | sha256sum | cut -d' ' -f1)
stamp="$VENV/.build-$inputs"
# A pip install by hand may have put a copy in the place of the editable one.
editable() {
  "$VENV/bin/python" -I -c 'import importlib.util as util, os, sys
sys.exit(not os.path.samefile(util.find_spec("edgepose").origin, "edgepose/__init__.py"))' 2>/dev/null
}
[[ -e "$stamp" ]] && editable && exit 0
echo "build: compiling the C++ core (minutes the first time; log: $log)"
if ! "$VENV/bin/python" -m pip install --no-build-isolation --no-deps --verbose -e . >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "build: failed; the whole log is $log" >&2
  exit 1
fi
rm -f "$VENV"/.build-*
touch "$stamp"
