#!/usr/bin/env bash
# The fast tests at the corners of what is supported: Python 3.10 with Paddle 2.6.2, the default, Python 3.12 with
# Paddle 3.3.1. Interpreters: python3.10 and python3.12 on PATH, or PYTHON310=… PYTHON312=…; the default uses .venv.
#   bash tools/matrix.sh [pytest arguments, e.g. tests/test_models.py]
# CORNERS="py310 py312 default" chooses among them.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup.sh
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

# corner NAME PYTHON PADDLE PYTEST-ARGUMENTS…: an environment of its own, made once, then the tests
corner() {
    local name=$1 python=$2 paddle=$3 stamp
    shift 3
    command -v "$python" >/dev/null || fail "$name needs $python: install it, or name it (PYTHON310=… or PYTHON312=…)"
    stamp=".venv-$name/.installed-$(cat requirements*.txt | cksum | tr ' ' '-')"
    if [ ! -e "$stamp" ]; then
        ".venv-$name/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv ".venv-$name" ||
            fail ".venv-$name could not be made"
        # requirements-dev.txt names the default Paddle; here another one takes its place
        grep -hv -e '^-r' -e '^paddlepaddle' requirements-base.txt requirements-dev.txt |
            ".venv-$name/bin/python" -m pip install --quiet --disable-pip-version-check \
                "paddlepaddle==$paddle" -r /dev/stdin >".venv-$name/install.log" 2>&1 ||
            fail "$name could not be installed (the whole log: .venv-$name/install.log)"
        touch "$stamp"
    fi
    printf '\n== %s: %s, paddle %s\n' "$name" "$(".venv-$name/bin/python" --version)" "$paddle"
    ".venv-$name/bin/python" -m pytest -m "not slow" "$@"
}

default_corner() {
    printf '\n== default\n'
    set_up requirements-dev.txt
    .venv/bin/python -m pytest -m "not slow" "$@"
}

failed=()
for name in ${CORNERS:-py310 py312 default}; do
    case "$name" in
        py310) corner py310 "${PYTHON310:-python3.10}" 2.6.2 "$@" || failed+=("$name") ;;
        py312) corner py312 "${PYTHON312:-python3.12}" 3.3.1 "$@" || failed+=("$name") ;;
        default) default_corner "$@" || failed+=("$name") ;;
        *) fail "CORNERS: no corner $name; there are: py310 py312 default" ;;
    esac
done
[ "${#failed[@]}" = 0 ] || fail "failed: ${failed[*]}"
echo "all corners passed"
