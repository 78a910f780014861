#!/usr/bin/env bash
# How many instructions each fast path takes, counted under valgrind and checked against ci/instructions.txt. A count
# does not depend on how busy the machine is, so one instruction more is seen.
#
#   bash ci/instructions.sh             check
#   bash ci/instructions.sh --update    rewrite the table
#
# Each path is run N times and 3N times; what is counted is the difference over 2N, so that start-up and set-up fall
# out. The loop itself does not: the table's first row is what it takes. (valgrind knows no rseq, so the CPU of a token
# is the unknown one, which is loaded from a cell like any other.)
set -euo pipefail
cd "$(dirname "$0")/.."

TABLE=ci/instructions.txt
export N=10000

case ${1-} in
'' | --update) ;;
*) echo "usage: $0 [--update]" >&2 && exit 2 ;;
esac

if ! command -v valgrind >/dev/null; then
    apt-get update
    apt-get install -y --no-remove --no-install-recommends valgrind
fi

# One codegen unit: among several, what is inlined depends on whatever else is in the crate.
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
cargo build --release --package shmsync-harness --example instructions
directory=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
export PROGRAM=$directory/release/examples/instructions

# All instructions of a run: path, times.
collected() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$PROGRAM" "$@" 2>&1) || { echo "$log" >&2 && return 1; }
    sed -nE 's/.*Collected : ([0-9]+)$/\1/p' <<<"$log"
}
# A row of the table: path.
count() {
    local once thrice
    once=$(collected "$1" "$N")
    thrice=$(collected "$1" $((3 * N)))
    awk -v more=$((thrice - once)) -v n=$((2 * N)) -v path="$1" 'BEGIN { printf "%6.1f  %s\n", more / n, path }'
}
export -f collected count

# Counts are those of one compiler, and of one libc for the peers.
tools="# $(rustc --version), $(getconf GNU_LIBC_VERSION), $(uname -m)"
counted=$(mktemp)
trap 'rm -f "$counted"' EXIT
echo "$tools" >"$counted"
# shellcheck disable=SC2016 # $1 is for the inner shell
"$PROGRAM" | xargs -d '\n' -P "$(nproc)" -I{} bash -c 'set -euo pipefail; count "$1"' count {} | LC_ALL=C sort -k2 >>"$counted"

if [ "${1-}" = --update ]; then
    cp "$counted" "$TABLE" && cat "$TABLE"
elif difference=$(diff "$TABLE" "$counted"); then
    echo "all fast paths take as many instructions as in $TABLE"
elif [ "$(head -n1 "$TABLE")" != "$tools" ]; then
    echo "$difference"
    echo "NOT CHECKED: the table was made with other tools. To make one with these: $0 --update"
else
    echo "$difference"
    echo "the fast paths have changed (< as in $TABLE, > now); if that is meant: $0 --update" >&2 && exit 1
fi
