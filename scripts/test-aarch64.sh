#!/usr/bin/env bash
# Builds the library's tests for 64-bit Arm and runs them under emulation: with every extension that the kernels use,
# and on a processor that has none of them (Cortex-A57, Armv8.0).
#
#   scripts/test-aarch64.sh [filter...]        the filters of `cargo test`, for instance kernels::
#
# Needs a Debian or Ubuntu machine on x86-64; installs Debian's cross compilers and QEMU with apt where they are missing.
# The standard library for Arm comes with Debian's own Rust, so the crate is compiled by that compiler here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

install_tools() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo dpkg --add-architecture arm64
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
        rustc-web libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross libc6:arm64 qemu-user-static
}

tools_are_there() {
    command -v aarch64-linux-gnu-gcc qemu-aarch64-static >/dev/null &&
        [ -x /usr/bin/rustc ] && [ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ] && [ -e /lib/ld-linux-aarch64.so.1 ] &&
        [ -d /usr/lib/rustlib/aarch64-unknown-linux-gnu/lib ]
}

tools_are_there || install_tools

export RUSTC=/usr/bin/rustc
export CARGO_TARGET_DIR=$PWD/target/aarch64
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# The command line's dependencies add nothing to what is tested here.
tests=(--target aarch64-unknown-linux-gnu --no-default-features --lib --test engine --test tiny_models)

# QEMU shows a process no processor time of its own, which that test waits for.
skip=(--skip this_process_is_seen_to_work)

# Programs find their loader and libraries where arm64 packages put them. With QEMU's -L and the cross compiler's copy they
# would mix the loader of one release with the libraries of another, which hangs when a thread starts.
for cpu in max cortex-a57; do
    printf '== %s (%s)\n' "$cpu" "$(date +%T)"
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -cpu $cpu" \
        cargo test -p ruminate "${tests[@]}" -- "${skip[@]}" "$@"
done
echo "64-bit Arm: all tests passed"
