#!/usr/bin/env bash
# Tests of the C interface: header, exported symbols, size, and the conformance program (ffi/tests/c).
#
# Usage: scripts/test-ffi.sh [plain] [valgrind] [sanitize] [size] [abi]; plain alone without arguments. `plain` takes two minutes at most
# once the library is built; `valgrind` and `sanitize` run the same program under valgrind (which takes minutes), and with gcc's address and
# undefined-behaviour sanitizers; `size` builds the library as it is shipped; `abi` builds that of the last tag, too, and compares the two
# by abidiff.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The paths below name it.
export CARGO_TARGET_DIR=$PWD/target
OUT=$PWD/target/ffi
PROFILE=release
# Bytes of the shared library as it is shipped.
BUDGET=$((6 << 20))
CC=${CC:-gcc}
CXX=${CXX:-g++}
WARN="-Wall -Wextra -Werror -pedantic"
POSIX=-D_POSIX_C_SOURCE=200809L
ARGUMENTS=(models/abacus-q8_0.gguf models/abacus-prm.gguf tests/fixtures/actor/actor.gguf "$OUT/scratch")

section() { printf '\n-- %s\n' "$1"; }

install_apt() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$@"
}

# Builds the library twice: as it is, and with the function that panics. Programs find them by their soname.
build() {
    section "library"
    mkdir -p "$OUT/lib" "$OUT/test" "$OUT/scratch"
    cargo build --release -p ruminate-ffi --features panic-test
    install_library "$OUT/test"
    cargo build --release -p ruminate-ffi
    install_library "$OUT/lib"
}

install_library() {
    cp target/release/libruminate.so target/release/libruminate.a "$1/"
    SONAME=$(readelf -d "$1/libruminate.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    ln -sf libruminate.so "$1/$SONAME"
}

# What the header declares, one name on each line.
declared() { sed -nE 's/^(RUM_MUST_USE )?[a-z].*[ *](rum_[a-z0-9_]+)\(.*/\2/p' include/ruminate.h | sort; }

symbols() {
    section "exported symbols"
    nm -D --defined-only "$OUT/lib/libruminate.so" | awk '{ print $3 }' | sort >"$OUT/exported"
    declared >"$OUT/declared"
    diff "$OUT/declared" "$OUT/exported"
    [ "$SONAME" = "libruminate.so.$(sed -n 's/^#define RUM_ABI_VERSION //p' include/ruminate.h)" ]
    echo "$(wc -l <"$OUT/exported") functions, $SONAME"
    section "every function is called by the conformance program"
    while read -r name; do
        grep -q "\b$name\b" ffi/tests/c/*.c || { echo "$name is not"; exit 1; }
    done <"$OUT/declared"
}

languages() {
    section "the header in every language version"
    for standard in c99 c11 c17 c2x; do
        $CC -std=$standard $POSIX $WARN -fsyntax-only -Iinclude ffi/tests/c/*.c
    done
    for standard in c++11 c++17 c++20 c++2b; do
        echo '#include "ruminate.h"' | $CXX -std=$standard $WARN -fsyntax-only -Iinclude -x c++ -
    done
    if command -v clang >/dev/null; then
        for standard in c99 c11 c17 c2x; do
            clang -std=$standard $POSIX $WARN -fsyntax-only -Iinclude ffi/tests/c/*.c
        done
        modules
    fi
}

# The header as Swift imports it: through the module map of the framework, and through that of the installed library.
modules() {
    local program='int main(void) { return rum_check_abi(RUM_ABI_VERSION); }'
    local flags="-fmodules -fmodules-cache-path=$OUT/modules $WARN -fsyntax-only -x objective-c"
    rm -rf "$OUT/modules"
    echo "@import CRuminate; $program" | clang $flags -fmodule-map-file=include/module.modulemap -
    echo "@import CRuminate; $program" | clang $flags -Iinclude -fmodule-map-file=ffi/swift/Sources/CRuminate/module.modulemap -
}

swift() {
    section "Swift package"
    command -v clang >/dev/null || { install_apt clang && modules; }
    python3 scripts/check-swift.py
    if command -v swiftc >/dev/null; then
        swiftc -parse ffi/swift/Sources/Ruminate/*.swift examples/SolverModel.swift
    fi
}

# compile OUTPUT FLAGS...: the conformance program against the library that can panic.
compile() {
    local output=$1
    shift
    $CC -std=c99 $POSIX $WARN -g -DRUM_TEST_PANIC -Iinclude "$@" ffi/tests/c/*.c -L"$OUT/test" -Wl,-rpath,"$OUT/test" \
        -lruminate -lpthread -lm -o "$output"
}

plain() {
    symbols
    languages
    swift
    wrapper
    examples
    section "conformance"
    compile "$OUT/conformance" -O1
    rm -rf "$OUT/scratch" && mkdir "$OUT/scratch"
    "$OUT/conformance" "${ARGUMENTS[@]}" 10000
    section "conformance, static library"
    $CC -std=c99 $POSIX $WARN -Iinclude ffi/tests/c/*.c "$OUT/lib/libruminate.a" -lpthread -ldl -lm -o "$OUT/conformance-static"
    "$OUT/conformance-static" "${ARGUMENTS[@]}" 100
    packaging
}

# cxx OUTPUT SOURCE FLAGS...: a C++ program against the shared library.
cxx() {
    local output=$1 source=$2
    shift 2
    "$@" $WARN -Iinclude "$source" -L"$OUT/lib" -Wl,-rpath,"$OUT/lib" -lruminate -lpthread -o "$output"
}

wrapper() {
    section "C++ wrapper"
    local compilers=("$CXX") compiler standard
    command -v clang++ >/dev/null && compilers+=(clang++)
    for compiler in "${compilers[@]}"; do
        for standard in c++17 c++20 c++2b; do
            cxx "$OUT/wrapper" ffi/tests/cpp/wrapper.cpp "$compiler" -std=$standard
            "$OUT/wrapper" "${ARGUMENTS[@]:0:3}"
            cxx "$OUT/wrapper" ffi/tests/cpp/wrapper.cpp "$compiler" -std=$standard -fno-exceptions -DRUM_NO_EXCEPTIONS
            "$OUT/wrapper" "${ARGUMENTS[@]:0:3}"
        done
    done
}

examples() {
    section "examples"
    local toys='Leah has $45 and buys 2 toys for $9 each.' name answer
    for name in answer solve tool; do
        $CC -std=c99 $WARN -Iinclude examples/$name.c -L"$OUT/lib" -Wl,-rpath,"$OUT/lib" -lruminate -o "$OUT/$name"
    done
    [ "$(wc -l <examples/answer.c)" -le 40 ]
    sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' | diff - examples/answer.c
    answer=$("$OUT/answer" models/abacus-q8_0.gguf "$toys She saves a third of the money. How many dollars does Leah save?")
    echo "answer.c: $answer" && [ "$answer" = 9 ]
    # Ctrl-C after a second of a minute: the best answer so far, and no failure.
    "$OUT/solve" models/abacus-q8_0.gguf 60000 "$toys How many dollars does Leah have left?" >"$OUT/solve.out" 2>"$OUT/solve.err" &
    local solving=$!
    sleep 1
    kill -INT $solving
    wait $solving
    grep -q cancelled "$OUT/solve.err"
    echo "solve.c: $(cat "$OUT/solve.out")" && [ "$(cat "$OUT/solve.out")" = 27 ]
    "$OUT/tool" tests/fixtures/actor/actor.gguf "What is twice 21?" | grep '^Observation: 42$'
    cxx "$OUT/tree" examples/tree.cpp "$CXX" -std=c++17
    "$OUT/tree" models/abacus-q8_0.gguf "$toys How many dollars does Leah have left?" | tail -1 | tee "$OUT/tree.out"
    grep -q '^answer: 27$' "$OUT/tree.out"
    cargo run --quiet --release --no-default-features --example host_verifier | tail -1 | grep '^answer: 27$'
    python3 examples/verifier.py "$OUT/lib/libruminate.so" models/abacus-q8_0.gguf | grep '^answer: 27, worth 1.00$'
}

# A folder that was installed and moved, as a package would be.
packaging() {
    section "installed: pkg-config and CMake"
    command -v cmake >/dev/null || install_apt cmake
    command -v pkg-config >/dev/null || install_apt pkg-config
    local at="$OUT/moved" question='Leah has $45 and buys 2 toys for $9 each. She saves a third of the money. How many dollars does Leah save?'
    rm -rf "$at" "$OUT/installed" "$OUT/cmake"
    scripts/install-ffi.sh "$OUT/installed" "$PROFILE"
    mv "$OUT/installed" "$at"
    export PKG_CONFIG_PATH="$at/lib/pkgconfig"
    $CC examples/answer.c $(pkg-config --cflags --libs ruminate) -o "$OUT/answer-shared"
    [ "$(LD_LIBRARY_PATH="$at/lib" "$OUT/answer-shared" models/abacus-q8_0.gguf "$question")" = 9 ]
    # Without the shared library beside it, the static one is taken.
    mkdir "$at/lib/static" && cp "$at/lib/libruminate.a" "$at/lib/static/"
    $CC examples/answer.c $(pkg-config --cflags ruminate) -L"$at/lib/static" $(pkg-config --libs --static ruminate | sed 's/-L[^ ]*//') \
        -o "$OUT/answer-static"
    [ "$("$OUT/answer-static" models/abacus-q8_0.gguf "$question")" = 9 ]
    local how
    for how in "-DCMAKE_PREFIX_PATH=$at" "-DRUMINATE_SOURCE=$PWD -DRUMINATE_TARGET_DIR=$PWD/target -DRUMINATE_PROFILE=$PROFILE"; do
        rm -rf "$OUT/cmake"
        cmake -S ffi/tests/cmake -B "$OUT/cmake" $how >"$OUT/cmake.log"
        cmake --build "$OUT/cmake" >>"$OUT/cmake.log"
        for kind in shared static; do
            [ "$("$OUT/cmake/answer_$kind" models/abacus-q8_0.gguf "$question")" = 9 ]
        done
    done
    rm -rf "$at" "$OUT/cmake"
    echo "pkg-config shared and static, find_package and add_subdirectory"
}

# The shared library as it is shipped, within its budget.
size() {
    section "size"
    cargo build --profile dist -p ruminate-ffi
    local bytes
    bytes=$(stat -c %s target/dist/libruminate.so)
    echo "libruminate.so: $bytes bytes, budget $BUDGET"
    [ "$bytes" -le "$BUDGET" ]
}

# What changed since the last tag: additions are fine, anything else is another ABI.
abi() {
    section "ABI since the last tag"
    local tag
    tag=$(git describe --tags --abbrev=0 2>/dev/null) || { echo "there is no tag to compare with"; return; }
    command -v abidiff >/dev/null || install_apt abigail-tools
    rm -rf "$OUT/tag" && git worktree prune && git worktree add --detach "$OUT/tag" "$tag" >/dev/null
    (cd "$OUT/tag" && cargo build --release -p ruminate-ffi --target-dir "$OUT/tag-target")
    local status=0
    abidiff --headers-dir1 "$OUT/tag/include" --headers-dir2 include \
        "$OUT/tag-target/release/libruminate.so" "$OUT/lib/libruminate.so" || status=$?
    git worktree remove --force "$OUT/tag"
    # Bits of abidiff's status: 1 and 2 are its own errors, 4 a change, 8 one that breaks programs.
    [ $((status & 11)) = 0 ]
}

valgrind_() {
    section "conformance under valgrind"
    command -v valgrind >/dev/null || install_apt valgrind
    compile "$OUT/conformance" -O1
    valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
        --error-exitcode=9 "$OUT/conformance" "${ARGUMENTS[@]}" 5
}

sanitize() {
    section "conformance with sanitizers"
    compile "$OUT/conformance-san" -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
    # A program without them would pass, too.
    nm "$OUT/conformance-san" | grep -q __asan_init && nm "$OUT/conformance-san" | grep -q __ubsan_handle
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 "$OUT/conformance-san" "${ARGUMENTS[@]}" 100
}

command -v "$CC" >/dev/null || install_apt gcc libc6-dev
command -v "$CXX" >/dev/null || install_apt g++
build
for what in "${@:-plain}"; do
    case $what in
    plain) plain ;;
    valgrind) valgrind_ ;;
    sanitize) sanitize ;;
    size) size ;;
    abi) abi ;;
    *) echo "no test is called $what; there are: plain, valgrind, sanitize, size, abi" >&2 && exit 2 ;;
    esac
done
