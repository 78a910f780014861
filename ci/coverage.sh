#!/usr/bin/env bash
# Which lines of src/ the tests run: per file, in all, and those that none runs. Fails below 95 %.
#
#   bash ci/coverage.sh            run the tests of the library, then report
#   bash ci/coverage.sh --report   report what the last run has seen
#
# Most of the tests' processes are forked children, which end by `_exit` or are killed, and would take what they have
# counted along. So the counters lie in a file that all processes map (%c), one for each program (%m), and are counted by
# atomic instructions. Not counted: src/model and its like, which only loom's builds have, and the tests within src/.
# A caution: of two ways behind a branch the compiler counts one, and takes the other for the rest. Who is killed or forked
# between the branch and the way that is counted, makes the rest wrong by one: a line here or there looks as if it had been
# run, or (where it was, once) as if not.
set -euo pipefail
cd "$(dirname "$0")/.."

LEAST=95

case ${1-} in
'' | --report) ;;
*) echo "usage: $0 [--report]" >&2 && exit 2 ;;
esac

cargo llvm-cov --version >/dev/null 2>&1 || cargo install cargo-llvm-cov --locked

# The tools that read the counters: rustup's component if it is there, else the distribution's of the compiler's version.
if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-cov" >/dev/null; then
    llvm=$(rustc -vV | sed -nE 's/^LLVM version: ([0-9]+).*/\1/p')
    export LLVM_COV=${LLVM_COV-/usr/bin/llvm-cov-$llvm} LLVM_PROFDATA=${LLVM_PROFDATA-/usr/bin/llvm-profdata-$llvm}
    if [ ! -x "$LLVM_COV" ]; then
        apt-get update
        apt-get install -y --no-remove --no-install-recommends "llvm-$llvm"
    fi
fi

failed=
export LLVM_PROFILE_FILE_NAME='shmsync-%m%c.profraw'
export RUSTFLAGS="${RUSTFLAGS-} -Cllvm-args=-runtime-counter-relocation -Cllvm-args=-instrprof-atomic-counter-update-all"
if [ "${1-}" != --report ]; then
    cargo llvm-cov clean --profraw-only
    cargo llvm-cov test --package shmsync --all-features --no-report --no-fail-fast || failed=1
fi

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
cargo llvm-cov report --lcov --output-path "$lines"

awk -v root="$PWD/" -v least="$LEAST" '
function percent(of, all) { return all ? 100 * of / all : 100 }
# Where the tests of a file begin: nothing comes behind them.
function end_of(file,    line, n, before) {
    for (n = 1; (getline line < file) > 0; n++) {
        if (line ~ /^mod tests \{/ && before ~ /^#\[cfg\((all\()?test[,)]/) break
        text[file, n] = before = line
    }
    close(file)
    return n - 1
}
/^SF:/ {
    file = substr($0, 4)
    if (index(file, root) == 1) file = substr(file, length(root) + 1)
    counts = file ~ /^src\// && file !~ /(^|\/)(model|tests)(\/|\.rs$)/
    if (counts) { files[++n_files] = file; end = end_of(file) }
}
/^DA:/ && counts {
    split(substr($0, 4), field, ",")
    if (field[1] > end) next
    all[file]++
    if (field[2] == 0) { missed[file]++; sub(/^ +/, "", text[file, field[1]]); list[++n_list] = file ":" field[1] ": " text[file, field[1]] }
}
END {
    print "lines  never run  run"
    for (n = 1; n <= n_files; n++) {
        file = files[n]
        printf "%5d %10d %4.0f %%  %s\n", all[file], missed[file], percent(all[file] - missed[file], all[file]), file
        lines += all[file]; lost += missed[file]
    }
    print "\nNever run:"
    for (n = 1; n <= n_list; n++) print list[n]
    run = percent(lines - lost, lines)
    printf "\n%d of %d lines of src/ are run by the tests: %.1f %%\n", lines - lost, lines, run
    if (lines == 0 || run < least) { printf "which is less than %d %%\n", least; exit 1 }
}' "$lines"
[ -z "$failed" ] || { echo "some tests failed, see above" >&2 && exit 1; }
