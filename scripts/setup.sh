#!/usr/bin/env bash
# Makes the virtual environment and installs what building, converting and testing need.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."

mapfile -t wanted < <(grep -v -e '^#' -e '^ci:' packages.txt)
if [[ "${CI:-}" == true ]]; then
  mapfile -t -O "${#wanted[@]}" wanted < <(sed -n 's/^ci://p' packages.txt)
fi
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    echo "setup: installing Debian packages: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
  elif [[ "${CI:-}" == true ]]; then
    echo "setup: CI needs these Debian packages and cannot install them: ${missing[*]}" >&2
    exit 1
  else
    echo "setup: not installed (no right to): ${missing[*]}; what needs them is skipped" >&2
  fi
fi

# An environment that is there keeps its Python.
python=$PYTHON
[[ -x "$VENV/bin/python" ]] && python=$VENV/bin/python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  [[ $python == "$PYTHON" ]] && way="make setup PYTHON=python3.11" || way="rm -r $VENV, then make setup PYTHON=python3.11"
  echo "setup: $("$python" --version 2>&1 || echo "$python") is too old or missing, converting and the tests need Python 3.11: $way" >&2
  exit 1
}

# Made anew where an earlier attempt was interrupted or lacked python3-venv: then it has an interpreter, but no pip.
"$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$PYTHON" -m venv --clear "$VENV"
echo "setup: installing Python packages into $VENV (a few minutes the first time)"
"$VENV/bin/python" scripts/requirements.py > "$VENV/requirements.txt"
"$VENV/bin/python" -m pip install -qq --disable-pip-version-check -r "$VENV/requirements.txt"
