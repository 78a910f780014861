#!/usr/bin/env bash
# Mutation testing: each operator, condition and function of src/sync, src/wait and src/owner is changed in turn, and some
# test must fail. Prints how many did; fails below 90 %, or if one survives that ci/mutants.txt does not explain.
#
#   bash ci/mutants.sh                          all: many hours
#   bash ci/mutants.sh src/sync/lock.rs ...     some files
#
# A mutant meets the tests that are about its file first, and all tests of the crate if it survives those, and last the
# models. What cargo-mutants writes of each lies in target/mutants.
set -euo pipefail
cd "$(dirname "$0")/.."

PROMISED=90
EXPLAINED=$PWD/ci/mutants.txt
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants

# The tests that are about a file: the quick ones first.
tests_of() {
    case $1 in
    src/sync/owned* | src/sync/lock.rs) echo "lock reviewed mutex rlock acquire condition_guards condition_lost kernel_robust rwlock" ;;
    src/sync/mutex* | src/sync/poison.rs) echo "mutex acquire reviewed condition_guards rwlock" ;;
    src/sync/rlock.rs) echo "rlock acquire condition_guards reviewed" ;;
    src/sync/semaphore.rs | src/sync/bounded.rs) echo "bounded_semaphore semaphore acquire layout reviewed" ;;
    src/sync/condition* | src/sync/owed.rs | src/sync/guard.rs) echo "condition condition_counts condition_guards condition_on_unlock reviewed" ;;
    src/sync/event.rs) echo "event layout reviewed" ;;
    src/sync/barrier*) echo "barrier barrier_members reviewed" ;;
    src/sync/permits*) echo "permit_pool permit_pool_waiting permit_pool_deaths" ;;
    src/sync/rwlock*) echo "rwlock rwlock_waiting rwlock_deaths" ;;
    src/sync/once.rs) echo "once once_deaths" ;;
    src/sync/deadlock*) echo "deadlock" ;;
    src/wait/*) echo "wait kernel_robust lock semaphore event condition" ;;
    src/owner*) echo "owner lock lock_polled liveness rwlock reviewed once_deaths permit_pool kernel_robust barrier_members" ;;
    *) echo "acquire" ;;
    esac
}

# A promise of speed, which a busy machine breaks: what fails for that has killed nothing.
fair=(-- --skip a_death_is_learned_within_two_milliseconds)

cargo mutants --version >/dev/null 2>&1 || cargo install cargo-mutants --locked

# In a copy, which keeps what was built of everything else from one mutant to the next.
rm -rf "$work/tree" && mkdir -p "$work/tree"
git ls-files -z | xargs -0 cp -p --parents -t "$work/tree"
cd "$work/tree"
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never

# Mutants of $file, in the directory `mutants.out` of the last pass; those that are known to die are left out.
pass() { # what it meets, flags of cargo-mutants, --, flags of cargo test
    echo "== $file: $1"
    local status=0
    nice cargo mutants --in-place --no-times -f "$file" -o "$out" --minimum-test-timeout 30 --timeout-multiplier 4 "${@:2}" || status=$?
    # 2: some survive; 3: some hang. Anything else is no answer: 4 says that the tests fail without a mutant.
    case $status in 0 | 2 | 3) ;; *) exit "$status" ;; esac
}
lines() { cat "$@" 2>/dev/null | wc -l; }

files=("$@")
[ $# -gt 0 ] || mapfile -t files < <(cargo mutants --list -f 'src/sync/**' -f 'src/wait/**' -f 'src/owner.rs' -f 'src/owner/**' | cut -d: -f1 | uniq)
rows=$work/rows unexplained=$work/unexplained
: >"$rows" && : >"$unexplained"
for file in "${files[@]}"; do
    out=$work/$(tr / - <<<"${file%.rs}")
    rm -rf "$out" && mkdir -p "$out"
    # shellcheck disable=SC2046 # several words
    CARGO_TARGET_DIR=$work/target pass "the tests about it" -- --lib $(printf -- '--test %s ' $(tests_of "$file") shown) "${fair[@]}"
    found=$out/mutants.out
    killed=$(lines "$found/caught.txt") hung=$(lines "$found/timeout.txt") unviable=$(lines "$found/unviable.txt")
    missed=$(lines "$found/missed.txt")
    all=$((killed + hung + missed))
    if [ "$missed" -gt 0 ]; then
        CARGO_TARGET_DIR=$work/target pass "all tests" --iterate -- --tests "${fair[@]}"
        missed=$(lines "$found/missed.txt")
    fi
    if [ "$missed" -gt 0 ]; then
        RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$work/target-loom \
            pass "the models" --iterate --profile release -- --test model
        missed=$(lines "$found/missed.txt")
        # Without the place, which moves with every line.
        sed -E 's/^([^:]*):[0-9]+:[0-9]+: /\1: /' "$found/missed.txt" | while read -r mutant; do
            grep -qxF "$mutant" <(sed 's/ *#.*//' "$EXPLAINED") || echo "$mutant"
        done >>"$unexplained"
    fi
    printf '%s %d %d %d %d\n' "$file" $((all - missed - hung)) "$hung" "$missed" "$unviable" >>"$rows"
done

awk -v promised=$PROMISED '
    function row(name, a, b, c, d) { printf "%-32s %7s %6s %9s %9s\n", name, a, b, c, d }
    BEGIN { row("", "killed", "hung", "survived", "unviable") }
    { row($1, $2, $3, $4, $5); killed += $2; hung += $3; survived += $4; unviable += $5 }
    END {
        row("all", killed, hung, survived, unviable)
        share = (killed + hung) * 100 / (killed + hung + survived + !NR)
        printf "%.1f %% of %d mutants killed (promised: %d)\n", share, killed + hung + survived, promised
        exit share < promised
    }' "$rows" || status=1
if [ -s "$unexplained" ]; then
    echo "survivors that ci/mutants.txt does not explain:" && cat "$unexplained" && exit 1
fi
exit "${status-0}"
