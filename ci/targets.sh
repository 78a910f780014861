#!/usr/bin/env bash
# Other processors and libcs: for each target std is built from source, then the tests, which are run where that is possible.
#
#   bash ci/targets.sh [--check] [TARGET...]
#
#   i686-unknown-linux-gnu        natively: all tests, and those of 32- and 64-bit programs in one region
#   x86_64-unknown-linux-musl     natively: all tests
#   aarch64-unknown-linux-gnu     under qemu-user: what is about the processor and the libc
#   others                        type-checked
#
# Without targets all of the above, and as others those of CHECKED. With --check everything is type-checked, and nothing
# run, for which no target needs a linker. The compiler is Debian's, which brings std's source;
# qemu shows nothing of weak memory ordering, which the models do.
set -euo pipefail
cd "$(dirname "$0")/.."

CHECKED=(aarch64-unknown-linux-musl armv7-unknown-linux-gnueabihf riscv64gc-unknown-linux-gnu)
# About the processor and the libc; what measures time or starts crowds of processes says more of qemu than of them.
EMULATED=(acquire barrier bounded_semaphore condition event kernel_robust layout lock mutex named_semaphore once owner
    permit_pool rlock rwlock semaphore shm_anonymous shm_named word_sizes)

check_only=
[ "${1-}" != --check ] || { check_only=1; shift; }
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(i686-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-gnu "${CHECKED[@]}")

install() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    apt-get update
    apt-get install -y --no-remove --no-install-recommends "${missing[@]}"
}

# That of before is the host's own.
host_cargo=$(command -v cargo)
target_directory=$("$host_cargo" metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
tools=$target_directory/tools
install rustc-web cargo-web rust-web-src

# No network for rustup, no debug information, which takes a third of the time.
export RUSTUP_DIST_SERVER=file:///nonexistent RUSTUP_UPDATE_ROOT=file:///nonexistent
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
other_cargo() { RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$@"; }
STD=-Zbuild-std=std,panic_unwind

# The program of a test, out of what cargo says: log, test.
program() { sed -nE "s|.*Executable tests/$2\.rs \((.*)\)|\1|p" "$1"; }

on_32_bits() {
    local target=$1 log=$2 ours theirs
    install gcc-12-multilib libc6-dev-i386
    export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc-12
    other_cargo test -p shmsync --lib --tests "$STD" --target "$target" --no-run 2>&1 | tee "$log"
    other_cargo test -p shmsync --lib --tests --no-fail-fast "$STD" --target "$target"
    echo "-- 32 and 64 bits in one region, either as the other's maker"
    "$host_cargo" test -p shmsync --test word_sizes --no-run 2>&1 | tee "$log.host"
    theirs=$(realpath "$(program "$log" word_sizes)")
    ours=$(realpath "$(program "$log.host" word_sizes)")
    SHMSYNC_OTHER_WIDTH=$theirs "$ours"
    SHMSYNC_OTHER_WIDTH=$ours "$theirs"
}

on_musl() {
    if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
        python3 -c 'import ensurepip' 2>/dev/null || install python3 python3-venv
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet ziglang cargo-zigbuild
    fi
    # zig brings the start files and the libc.
    PATH=$tools/bin:/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO=/usr/bin/cargo \
        RUSTFLAGS="-C link-self-contained=no" \
        "$tools/bin/cargo-zigbuild" test -p shmsync --lib --tests --no-fail-fast "$STD" --target "$1"
}

emulated() {
    install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
    # A fork from a second thread does not come back there.
    other_cargo test -p shmsync --no-fail-fast "${EMULATED[@]/#/--test=}" "$STD" --target "$1" -- \
        --skip a_grandchild_after_threads_is_named_right
}

type_checked() {
    other_cargo check -p shmsync --lib --tests "$STD" --target "$1"
}

# Target, log.
try() {
    case ${check_only:-$1} in
    i686-unknown-linux-gnu) on_32_bits "$@" ;;
    x86_64-unknown-linux-musl) on_musl "$1" ;;
    aarch64-unknown-linux-gnu) emulated "$1" ;;
    *) type_checked "$1" ;;
    esac
}

passed() {
    case ${check_only:-$1} in
    i686-unknown-linux-gnu) echo "passed, natively; with 64-bit programs, too" ;;
    x86_64-unknown-linux-musl) echo "passed, natively" ;;
    aarch64-unknown-linux-gnu) echo "passed, under qemu: ${#EMULATED[@]} test programs" ;;
    *) echo "type-checked only" ;;
    esac
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
results=() failed=0
for target in "${targets[@]}"; do
    echo "== $target"
    began=$SECONDS
    set +e # which would count for nothing inside a condition
    (set -e; try "$target" "$logs/$target")
    code=$?
    set -e
    outcome=$(passed "$target")
    [ $code -eq 0 ] || { outcome=FAILED failed=1; }
    results+=("$(printf '%-32s %s (%d s)' "$target" "$outcome" $((SECONDS - began)))")
done
echo
printf '%s\n' "${results[@]}"
exit $failed
