#!/usr/bin/env bash
# Builds the Swift package on Linux in the language mode of Swift 6, warnings as errors, and runs its tests.
#
# Usage: scripts/test-swift.sh [FOLDER]. `swift` has to be on the PATH. With FOLDER it is Debian 13's instead: as root, the script puts
# that system into FOLDER (debootstrap and the package swiftlang, 3 GB), keeps it there and runs everything inside. PROFILE is that of
# cargo: release without it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SYSTEM=${1:-}
PROFILE=${PROFILE:-release}
OUT=$PWD/target/swift

# Runs a command in the package's folder, where the library is installed beside it.
in_package() {
    local at=$OUT
    [ -z "$SYSTEM" ] || at=/ruminate
    set -- env LD_LIBRARY_PATH=$at/prefix/lib PKG_CONFIG_PATH=$at/prefix/lib/pkgconfig \
        RUMINATE_TEST_MODEL=$at/abacus-q8_0.gguf sh -c 'cd "$0" && exec "$@"' "$at/package" "$@"
    if [ -z "$SYSTEM" ]; then "$@"; else chroot "$SYSTEM" "$@"; fi
}

if [ -n "$SYSTEM" ] && ! chroot "$SYSTEM" sh -c "command -v swift" >/dev/null 2>&1; then
    command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap
    debootstrap --variant=minbase trixie "$SYSTEM" http://deb.debian.org/debian
    DEBIAN_FRONTEND=noninteractive chroot "$SYSTEM" apt-get install -y -qq --no-install-recommends \
        swiftlang gcc g++ libc6-dev pkgconf
fi

rm -rf "$OUT"
scripts/install-ffi.sh "$OUT/prefix" "$PROFILE"
# The view model of the examples is a link there.
cp -rL ffi/swift "$OUT/package"
rm -rf "$OUT/package/.build"
cp models/abacus-q8_0.gguf "$OUT/"
if [ -n "$SYSTEM" ]; then
    rm -rf "$SYSTEM/ruminate"
    cp -r "$OUT" "$SYSTEM/ruminate"
    # Swift asks the kernel for its own path.
    mountpoint -q "$SYSTEM/proc" || { mount -t proc proc "$SYSTEM/proc" && trap 'umount "$SYSTEM/proc"' EXIT; }
fi

in_package swift --version
in_package swift build --disable-sandbox -Xswiftc -warnings-as-errors -Xswiftc -swift-version -Xswiftc 6
# Swift 6.0's libswiftObservation lacks a symbol on Linux, which nothing calls.
in_package swift test --disable-sandbox -Xlinker --allow-shlib-undefined
