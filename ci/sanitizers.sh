#!/usr/bin/env bash
# The tests of threads under ThreadSanitizer, those of memory under AddressSanitizer, and the examples under valgrind.
#
#   bash ci/sanitizers.sh [thread|address|valgrind]...      all three
#
# Each tool is first shown faults on purpose (ci/planted.rs), every one of which it must report: the silence of one that
# does not see them means nothing. The first two need a nightly toolchain. Whatever is reported is an error, also if it
# comes from a forked child. TESTING.md says what each of them cannot see.
set -euo pipefail
cd "$(dirname "$0")/.."

# ThreadSanitizer sees nothing between processes, so of the files that fork only those are here in which there are threads
# as well. Not for it: threads that outlive the first one (liveness, liveness_living, once_deaths, owner), signals that end
# a wait, which it delivers later (wait, shm_socket), and single steps through a verb (signals, processes).
# shellcheck disable=SC2034 # named below
thread_tests=(threads barrier_members deadlock kernel_robust permit_pool process region region_attached reviewed rlock
    rwlock shm_anonymous shm_socket_hostile)
# Where memory comes and goes, or is read as it was found.
# shellcheck disable=SC2034
address_tests=(threads layout kernel_robust named_semaphore once process process_leftovers region region_info region_list
    reviewed shm_anonymous shm_file shm_handle shm_lent shm_named shm_refusals shm_socket shm_socket_hostile)

# Fewer tests than this were not what was meant.
LEAST=250

tools=("$@")
[ ${#tools[@]} -gt 0 ] || tools=(thread address valgrind)

logs=$(mktemp -d)
trap 'rm -rf "$logs" /dev/shm/shmsync-valgrind-$$-*' EXIT
figures=()
target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/sanitizers
mkdir -p "$target"

# Reports are files: nobody reads the standard error of a forked child.
reports=$logs/report
export TSAN_OPTIONS="log_path=$reports suppressions=$PWD/ci/thread-sanitizer.txt history_size=7"
export ASAN_OPTIONS="log_path=$reports detect_stack_use_after_return=1"
# A thread that ends while it holds something leaves the list of it to the kernel, on purpose.
echo leak:shmsync::sys::linux::robust::set_up >"$logs/leaks"
export LSAN_OPTIONS="suppressions=$logs/leaks print_suppressions=0"
memcheck=(valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "--log-file=$reports.%p")

no_report() {
    local written
    written=$(find "$logs" -name 'report*' -size +0)
    [ -z "$written" ] || { xargs cat <<<"$written" >&2; return 1; }
}

# Faults on purpose: the command that runs them, and then each fault with what must be said of it.
planted() {
    local command=$1 fault
    shift
    for fault; do
        rm -f "$reports"*
        # shellcheck disable=SC2086 # a command with its arguments
        timeout 120 $command --test-threads=1 --exact "${fault%%=*}" >/dev/null 2>&1 || :
        grep -qs "${fault#*=}" "$reports"* || { echo "not noticed: the fault on purpose '$fault'" >&2; return 1; }
        rm -f "$reports"*
    done
    echo "$# faults on purpose, all found"
}

# thread or address; the tests; then what is planted.
sanitizer() {
    local kind=$1 host flags=(-Zsanitizer="$1" -Cunsafe-allow-abi-mismatch=sanitizer)
    local -n tests=$2
    shift 2
    echo "== $kind sanitizer"
    if ! cargo +nightly --version >/dev/null 2>&1; then
        echo "skipped: the $kind sanitizer needs a nightly toolchain"
        figures+=("$kind sanitizer: NOT RUN, for want of a nightly toolchain")
        return
    fi
    host=$(rustc +nightly -vV | sed -n 's/^host: //p')
    rustc +nightly --edition 2024 --test -g "${flags[@]}" --target "$host" -o "$target/planted-$kind" ci/planted.rs
    planted "$target/planted-$kind" "$@"
    RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$target CARGO_PROFILE_DEV_DEBUG=1 CARGO_INCREMENTAL=0 \
        cargo +nightly test --quiet --target "$host" --lib "${tests[@]/#/--test=}" --no-fail-fast | tee "$logs/output" || {
        no_report || :
        return 1
    }
    no_report
    local ran
    ran=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$logs/output")
    [ "$ran" -ge "$LEAST" ] || { echo "only $ran tests were run" >&2; return 1; }
    figures+=("$kind sanitizer: $ran tests, no report")
}

# An example with its arguments, in place of this shell.
checked() {
    exec timeout 120 "${memcheck[@]}" "$target/debug/examples/$1" "${@:2}"
}

# Two examples at once, under one name, the second one somewhat later; both must end well.
two() {
    programs=$((programs + 2))
    (eval "checked ${1//NAME//shmsync-valgrind-$$-$programs}") &
    sleep 0.5
    (eval "checked ${2//NAME//shmsync-valgrind-$$-$programs}") || { wait; return 1; }
    wait $! || return 1
}

# A kill: who is left notices, and says so.
killed() {
    programs=$((programs + 2))
    local name=shmsync-valgrind-$$-$programs first second
    (checked ring "$1" --name "/$name" --count 1000000000) &
    first=$!
    until [ -e "/dev/shm/$name" ]; do kill -0 $first || return 1; sleep 0.1; done
    (checked ring "$2" --name "/$name" --count 1000000000 >"$logs/output" 2>&1) &
    second=$!
    # When both are there, the name goes.
    while [ -e "/dev/shm/$name" ]; do kill -0 $first || return 1; sleep 0.1; done
    # timeout's child is the program under valgrind.
    kill -9 "$(tr -d ' ' <"/proc/$first/task/$first/children")"
    wait $first 2>/dev/null || :
    if wait $second || ! grep ' died' "$logs/output"; then
        cat "$logs/output" >&2
        echo "ring $2: should have said that the other one died" >&2
        return 1
    fi
}

valgrind_examples() {
    echo "== valgrind"
    if ! command -v valgrind >/dev/null; then
        apt-get update
        apt-get install -y --no-remove --no-install-recommends valgrind
    fi
    rustc --edition 2024 --test -g -o "$target/planted-valgrind" ci/planted.rs
    planted "${memcheck[*]} $target/planted-valgrind" "overflow=Invalid read" "twice=Invalid free" "leak=definitely lost"
    CARGO_TARGET_DIR=$target cargo build --quiet --examples
    local programs=0
    two 'ring produce --name NAME --count 3000' 'ring consume --name NAME --count 3000'
    two 'ring consume --name NAME --count 3000' 'ring produce --name NAME --count 3000'
    two 'squares_worker NAME 3' 'squares_client --name NAME --power 3 3 4 5'
    two 'squares_client --name NAME 3 4 5' 'squares_worker NAME 3'
    killed produce consume
    killed consume produce
    no_report
    figures+=("valgrind: $programs programs, no report")
}

for tool in "${tools[@]}"; do
    case $tool in
    thread) sanitizer thread thread_tests "race=data race.*planted.rs" ;;
    address)
        sanitizer address address_tests "overflow=heap-buffer-overflow" "frame=stack-use-after-return" \
            "twice=double-free" "leak=detected memory leaks"
        ;;
    valgrind) valgrind_examples ;;
    *) echo "usage: $0 [thread|address|valgrind]..." >&2 && exit 2 ;;
    esac
done
printf '%s\n' "" "${figures[@]}"
