#!/usr/bin/env bash
# Hostile bytes: each fuzz target for so many seconds (10), from the committed seeds on. Needs a nightly toolchain.
#
#   ci/fuzz.sh [SECONDS [TARGET...]]
#
# What is found lies in fuzz/artifacts/TARGET; `cargo +nightly fuzz run TARGET FILE` runs it again.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-10}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(header directory primitives meanwhile names)

cargo +nightly --version >/dev/null 2>&1 || { echo "skipped: the fuzz targets need a nightly toolchain"; exit 0; }
command -v c++ >/dev/null || { apt-get update && apt-get install -y --no-remove --no-install-recommends g++; }
cargo +nightly fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
cargo +nightly fuzz build
for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    mkdir "$corpus/$target"
    # The first directory takes what is new, the seeds stay as they are.
    cargo +nightly fuzz run "$target" "$corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_funcs=0 -print_final_stats=1
done
