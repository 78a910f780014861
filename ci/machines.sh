#!/usr/bin/env bash
# Random programs of threads and of processes, compared with a reference: so many (200) in each of nine settings.
#
#   ci/machines.sh [PROGRAMS]
#
# Prints how many programs and steps were run. What fails is shrunk, shown, and kept in proptest-regressions/. Two
# hundred take a minute on two cores, most of which they sleep.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${1:-200}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
PROPTEST_CASES=$programs cargo test --release --test machines -- --nocapture programs >"$log" 2>&1 ||
    { grep -vE '^ +[0-9]+: |^ +at ' "$log" | tail -n 200; exit 1; }
grep -E '[0-9]+ programs, [0-9]+ steps' "$log" | sed 's/^test .*\.\.\. //'
total=$(grep -oE '[0-9]+ programs, [0-9]+ steps' "$log" | awk '{ programs += $1; steps += $3 } END { print programs, steps }')
read -r ran steps <<<"$total"
echo "in all: $ran programs, $steps steps"
[ "$ran" -ge $((9 * programs)) ] || { echo "fewer than promised" >&2; exit 1; }
