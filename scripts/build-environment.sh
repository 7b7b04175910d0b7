# What all builds of the scripts share, to be sourced: the tools of the virtual environment, and the compilers under the
# names that pip's build uses, for ccache takes c++ and g++ for two compilers.
PATH="$PWD/.venv/bin:$PATH"
# Sanitizers of these compilers meet addresses that they cannot use where a kernel scatters memory more widely.
unscattered=(setarch "$(uname -m)" -R)
"${unscattered[@]}" true 2>/dev/null || unscattered=()
export CC=${CC:-gcc} CXX=${CXX:-g++}
