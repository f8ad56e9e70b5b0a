# environment.sh: the set-up that the other scripts share; they source it, nobody runs it.
#
# prepare EXTRA... makes sure that .venv, beside scripts/, holds this checkout with the named extras of setup.cfg. What
# is there already costs a few milliseconds: .venv/stamp.EXTRA names what was installed, and only a mismatch calls pip.
# Needs bash, coreutils and flock (Debian's util-linux). Messages go to standard error.

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
venv=$root/.venv

# The last words of a start that cannot go on: what is missing, then what brings it.
lacks() {
    printf 'pastebin: %s\n' "$1" >&2
    printf 'pastebin: try: %s\n' "$2" >&2
    exit 1
}

# "apt-get install ..." as this user has to type it.
apt_install() {
    local sudo="sudo "
    [[ $EUID -ne 0 ]] || sudo=""
    echo "${sudo}apt-get update && ${sudo}apt-get install $*"
}

# The first Python of 3.11 or later that can make virtual environments, into $python.
find_python() {
    local candidate version old="" bare=""
    for candidate in python3.13 python3.12 python3.11 python3; do
        # a shim may be on PATH without the Python it stands for: only one that runs counts
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if [[ ${version%%.*} -ne 3 || ${version#*.} -lt 11 ]]; then
            old=" ($candidate is $version)"
        elif "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        else
            bare=${bare:-$candidate}
        fi
    done
    if [[ -n $bare ]]; then
        lacks "$bare cannot make a virtual environment: its venv and ensurepip are missing" \
            "$(apt_install "$bare-venv")"
    fi
    lacks "Python 3.11 or later is needed$old" \
        "$(apt_install python3 python3-venv)    (Ubuntu 22.04: python3.11 python3.11-venv)"
}

# What an installation depends on: these files, this Python, this place. Empty while .venv is not usable.
fingerprint() {
    local version
    version=$("$venv/bin/python" -ISc 'import sys; print(sys.version_info >= (3, 11), sys.version)' 2>/dev/null) ||
        return 0
    [[ $version == True* ]] || return 0
    { echo "$version $root" && cat -- "$root/setup.cfg" "$root/pyproject.toml"; } | sha256sum
}

is_prepared() {
    local extra wanted
    wanted=$(fingerprint)
    [[ -n $wanted && ! -e $venv/unfinished ]] || return 1
    for extra in "$@"; do
        [[ -r $venv/stamp.$extra && $(<"$venv/stamp.$extra") == "$wanted" ]] || return 1
    done
}

# Say why pip failed, from what it wrote, and what would help.
explain_pip() {
    local log=$1 last
    last=$(grep -iE '^ *(error|fatal):' "$log" | grep -v 'subprocess-exited' | tail -n 1) || last=$(tail -n 1 "$log")
    last=${last#"${last%%[! ]*}"}
    if grep -qE 'No space left on device' "$log"; then
        lacks "not enough disk for $venv: $last" "df -h '$root' '${TMPDIR:-/tmp}'    (300 MB are needed, for tests 1500)"
    elif grep -qE "Python\.h: No such|command '[^']*(cc|[+][+]|clang)[^']*' failed" "$log"; then
        lacks "a dependency has no wheel for this machine and cannot be compiled: $last" \
            "$(apt_install build-essential python3-dev)"
    elif grep -qE '(Connection|Timeout|Resolution|Proxy|SSL|Protocol)Error|name resolution|timed out' "$log"; then
        lacks "pip cannot reach its package index: $last" \
            "$0 again, once the network, a proxy (HTTPS_PROXY) or a mirror (PIP_INDEX_URL) answers"
    fi
    lacks "pip failed: $last" "cat '$log'"
}

# Make .venv anew if it is missing, broken or was left half-done, then install. Only under prepare's lock.
install() {
    local extra extras code=0 log=$venv/install.log
    extras=$(IFS=, && echo "$*")
    if [[ -e $venv/unfinished || -z $(fingerprint) ]] || ! "$venv/bin/python" -Im pip --version &>/dev/null; then
        find_python
        echo "pastebin: making $venv with $("$python" --version)" >&2
        "$python" -m venv --clear "$venv" >&2 || lacks "$python cannot make $venv" "ls -ld '$root'; df -h '$root'"
    fi
    echo "pastebin: installing [$extras] with pip; this takes a minute, the first time only" >&2
    : >"$venv/unfinished"
    (cd -- "$root" && PIP_USER=0 "$venv/bin/python" -Im pip install --no-input --disable-pip-version-check \
        --progress-bar off --editable ".[$extras]") >"$log" 2>&1 </dev/null || code=$?
    if [[ $code -ne 0 ]]; then
        # a pip that failed has put back what was there, one that was killed has not
        [[ $code -ge 128 ]] || rm -f -- "$venv/unfinished"
        explain_pip "$log"
    fi
    for extra in "$@"; do
        fingerprint >"$venv/stamp.$extra"
    done
    rm -f -- "$venv/unfinished"
}

prepare() {
    ! is_prepared "$@" || return 0
    [[ -w $root ]] || lacks "$root is not writable, and .venv has to be made in it" "ls -ld '$root'; id"
    (
        umask 022 # as root: the user that runs PostgreSQL has to read it
        flock --nonblock 9 || { echo "pastebin: another start is installing; waiting for it" >&2 && flock 9; }
        is_prepared "$@" || install "$@"
    ) 9<>"$root/setup.cfg"
}
