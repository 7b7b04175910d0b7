# What all builds of the scripts share, to be sourced: the tools of the virtual environment, and the compilers under the
# names that pip's build uses, for ccache takes c++ and g++ for two compilers.
PATH="$PWD/.venv/bin:$PATH"
# Sanitizers of these compilers meet addresses that they cannot use where a kernel scatters memory more widely.
unscattered=(setarch "$(uname -m)" -R)
"${unscattered[@]}" true 2>/dev/null || unscattered=()
export CC=${CC:-gcc} CXX=${CXX:-g++}

build() {  # build PRESET: into build/PRESET.log, of which a failure shows the end
  local log=build/$1.log
  mkdir -p build
  if ! { cmake --preset "$1" -DPython_EXECUTABLE="$PWD/.venv/bin/python" && cmake --build --preset "$1"; } \
    >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 1
  fi
}
