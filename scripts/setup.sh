#!/usr/bin/env bash
# Makes the virtual environment and installs what building, converting and testing need.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."

exec 9<. && flock 9  # another make may be setting up, too
# With the place: the programs of a moved environment lead to the old one.
inputs=$({ pwd -P && echo "${CI:-}" && cat pyproject.toml packages.txt scripts/setup.sh scripts/requirements.py; } |
  sha256sum | cut -d' ' -f1)
stamp="$VENV/.setup-$inputs"
usable() {  # not after an interrupted attempt, without python3-venv, with its Python gone, or moved
  "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && bash -c '[[ ! -e $1/bin/activate ]] ||
    { source "$1/bin/activate"; [[ $VIRTUAL_ENV -ef $1 ]]; }' - "$VENV"
}
ours() { [[ -e $VENV/.setup-begun ]]; }
[[ -e "$stamp" ]] && usable && exit 0

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
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    reason="no right to"
  else
    echo "setup: installing Debian packages: ${missing[*]}"
    if "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null; then
      reason=
    else
      reason="apt-get failed"
    fi
  fi
  if [[ $reason && "${CI:-}" == true ]]; then
    echo "setup: CI needs these Debian packages, not installed ($reason): ${missing[*]}" >&2
    exit 1
  elif [[ $reason ]]; then
    echo "setup: not installed ($reason): ${missing[*]}; what needs them is skipped" >&2
  fi
fi

# uv makes environments without pip; what somebody installed there stays.
if [[ -e $VENV/pyvenv.cfg ]] && ! usable && ! ours; then
  "$VENV/bin/python" -m ensurepip >/dev/null 2>&1 || true
fi

# An environment that is there keeps its Python.
python=$PYTHON
usable && python=$VENV/bin/python
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  [[ $python == "$PYTHON" ]] && way="make setup PYTHON=python3.11" || way="rm -r $VENV, then make setup PYTHON=python3.11"
  echo "setup: $("$python" --version 2>&1 || echo "$python") is too old or missing, converting and the tests need Python 3.11: $way" >&2
  exit 1
}

if ! usable; then
  if [[ -L $VENV ]] || { [[ -e $VENV && $(ls -A "$VENV") ]] && ! ours; }; then
    echo "setup: $VENV is there, but is no environment that works here: move it away, or name another: make setup VENV=..." >&2
    exit 1
  fi
  mkdir -p "$VENV"
  find "$VENV" -mindepth 1 -delete
  touch "$VENV/.setup-begun"  # another make may clear it, as what another program made it may not
  "$PYTHON" -m venv "$VENV"
fi
echo "setup: installing Python packages into $VENV (a few minutes the first time)"
"$VENV/bin/python" scripts/requirements.py > "$VENV/requirements.txt"
"$VENV/bin/python" -m pip install -qq --disable-pip-version-check -r "$VENV/requirements.txt"
find "$VENV" -maxdepth 1 -name '.setup-*' ! -name .setup-begun -delete
# After a mirror that was down the next make tries again.
[[ "${reason:-}" == "apt-get failed" ]] || touch "$stamp"
