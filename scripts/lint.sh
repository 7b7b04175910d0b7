#!/usr/bin/env bash
# Style, types and layers of the Python code.
set -euo pipefail
CDPATH= cd "$(dirname "$0")/.."
bin=.venv/bin
"$bin/ruff" check --quiet --output-format concise .
"$bin/ruff" format --check --quiet .
echo "lint: ruff is clean"
types=$(mktemp -d)
trap 'rm -rf "$types"' EXIT
mkdir "$types/edgepose"
cp -r edgepose/. "$types/edgepose/"
cp -r converters "$types/edgepose/converters"
cp -r calibration "$types/edgepose/calibration"
cp -r training "$types/training"
MYPYPATH="$types" "$bin/mypy" --config-file pyproject.toml -p edgepose -p training
(cd "$types" && PYTHONPATH="$types" "$OLDPWD/$bin/lint-imports" --config "$OLDPWD/.importlinter" --no-cache >/dev/null) ||
  { (cd "$types" && PYTHONPATH="$types" "$OLDPWD/$bin/lint-imports" --config "$OLDPWD/.importlinter" --no-cache); exit 1; }
echo "lint: layers are kept"
