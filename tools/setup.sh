# Sourced by quickstart.sh and test.sh: makes .venv once, installs, and says in plain words what is missing.
# usage: set_up REQUIREMENTS-FILE

fail() { printf '\nerror: %s\n' "$1" >&2; exit 2; }

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.10 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python
    python=$(find_python) || fail "no Python 3.10, 3.11 or 3.12 was found; install one, or name it: PYTHON=/path/to/python bash $0"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$("$python" --version) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv"
    echo "making .venv with $("$python" --version)"
    "$python" -m venv .venv || fail "the virtual environment .venv could not be made (see above)"
}

enough_disk() {
    local free
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 3000 ] || fail "only ${free} MB are free here; the packages need about 2500 MB, runs and pictures 500 MB"
}

check_libraries() {
    local said
    said=$(.venv/bin/python -c 'import cv2' 2>&1) || case "$said" in
        *libGL* | *libgthread* | *libglib*) fail "OpenCV lacks a system library; on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0" ;;
        *) fail "OpenCV cannot be imported: $(printf '%s' "$said" | tail -n 1)" ;;
    esac
    said=$(.venv/bin/python -W ignore -c 'import paddle' 2>&1) || case "$said" in
        *libgomp*) fail "Paddle lacks a system library; on Debian or Ubuntu: apt-get install libgomp1" ;;
        *) fail "Paddle cannot be imported: $(printf '%s' "$said" | tail -n 1)" ;;
    esac
}

set_up() {
    local stamp
    stamp=".venv/.installed-$1-$(cat requirements*.txt | cksum | tr ' ' '-')"
    if [ ! -e "$stamp" ]; then
        enough_disk
        .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv  # also where making it was cut short
        echo "installing $1 (a few minutes the first time)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1" >.venv/install.log 2>&1 || {
            tail -n 5 .venv/install.log >&2
            fail "the packages could not be installed (the whole log: .venv/install.log); is there a network?"
        }
        check_libraries
        touch "$stamp"
    fi
}
