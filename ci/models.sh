#!/usr/bin/env bash
# The models: every execution of a few threads over the real source, under loom. Four minutes.
#
#   ci/models.sh
#
# Prints how many executions there were of the source as it is, and how many operations were weakened or changed, each of
# which made some model fail. Fails if a model does, or if there are fewer of any than TESTING.md promises.
set -euo pipefail
cd "$(dirname "$0")/.."

least_tests=95 least_executions=1000000 least_weakened=49

log=$(mktemp)
trap 'rm -f "$log"' EXIT
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" \
    cargo test --release --test model -- --nocapture >"$log" 2>&1 || { tail -n 100 "$log"; exit 1; }

tests=$(grep -oE 'test result: ok. [0-9]+ passed' "$log" | grep -oE '[0-9]+')
explorations=$(grep -cE '[0-9]+ executions, ' "$log")
executions=$(grep -oE '[0-9]+ executions, ' "$log" | awk '{ sum += $1 } END { print sum }')
needed=$(grep -oE 'needed: .*' "$log" | sort -u | wc -l)
caught=$(grep -oE 'caught: .*' "$log" | wc -l)
grep -oE '(needed|caught): .*' "$log" | sort -u
echo "$tests tests; $executions executions explored in $explorations explorations;" \
    "$needed weakened operations shown to be needed, $caught changed ones caught"
[ "$tests" -ge $least_tests ] && [ "$executions" -ge $least_executions ] && [ "$needed" -ge $least_weakened ] ||
    { echo "fewer than promised" >&2; exit 1; }
