#!/usr/bin/env bash
# A folder with the program, the library of the C interface, and llama.cpp with its backends as libraries beside them: it runs with and
# without a GPU and its driver, on any processor of the architecture, and may be moved as a whole.
#
# Usage: scripts/package-gpu.sh BACKEND FOLDER [PROFILE]. BACKEND: vulkan; or cuda, metal, or cpu for no GPU, which have not been run.
# PROFILE is that of cargo: dist (the default: small, and slow to build), release or dev, which alone has been run. Linux, and for metal
# macOS, where it has not been run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

BACKEND=${1:?usage: scripts/package-gpu.sh BACKEND FOLDER [PROFILE]}
FOLDER=${2:?usage: scripts/package-gpu.sh BACKEND FOLDER [PROFILE]}
PROFILE=${3:-dist}
ABI=$(sed -n 's/^#define RUM_ABI_VERSION //p' include/ruminate.h)

case $BACKEND in
vulkan | cuda | metal) FEATURES=$BACKEND,modules ;;
cpu) FEATURES=modules ;;
*) echo "no backend is called $BACKEND; there are: vulkan, cuda, metal, cpu" >&2 && exit 2 ;;
esac
[ ! -e "$FOLDER" ] || { echo "$FOLDER exists already: name another folder" >&2; exit 2; }

# Beside what loads it. The old kind of entry on Linux, because it holds for what llama.cpp's libraries load in their turn, too.
case $(uname -s) in
Linux) RPATH='-Wl,-rpath,$ORIGIN,--disable-new-dtags' LIBRARY=libruminate.so ;;
Darwin) RPATH='-Wl,-rpath,@loader_path' LIBRARY=libruminate.dylib ;;
*) echo "packages are made on Linux and macOS" >&2 && exit 2 ;;
esac

# rustc_ PACKAGE...: builds with the path of libraries; what cargo says of each part goes to standard output.
rustc_() { cargo rustc --profile "$PROFILE" --features "$FEATURES" --message-format json-render-diagnostics "$@" -- -C link-arg="$RPATH"; }

# The last value of FIELD in the lines of cargo's report that hold PART: field FIELD PART <REPORT.
field() { grep -F "$2" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' | tail -1; }

REPORT=$(mktemp)
trap 'rm -f "$REPORT"' EXIT
rustc_ -p ruminate --bin ruminate >"$REPORT"
PROGRAM=$(field executable '"executable":"' <"$REPORT")
BUILT=$(grep -F '"reason":"build-script-executed"' "$REPORT" | field out_dir llama-cpp-sys-2)
mkdir -p "$FOLDER"
cp "$PROGRAM" "$FOLDER/ruminate"
rustc_ -p ruminate-ffi --lib --crate-type cdylib >"$REPORT"
cp "$(dirname "$PROGRAM")/$LIBRARY" "$FOLDER/"
[ "$LIBRARY" = libruminate.dylib ] || ln -s "$LIBRARY" "$FOLDER/$LIBRARY.$ABI"
cp include/ruminate.h include/ruminate.hpp LICENSE-* "$FOLDER/"

# By the names under which they are looked for.
for library in "$BUILT"/lib*/libllama.* "$BUILT"/lib*/libggml*.*; do
    case $library in
    *.so.[0-9] | *.so.[0-9][0-9] | *.so | *.[0-9].dylib) [ ! -f "$library" ] || cp -L "$library" "$FOLDER/" ;;
    esac
done
cp -L "$BUILT"/backends/* "$FOLDER/"
if [ "$(uname -s)" = Linux ]; then
    # The names without numbers serve linkers alone.
    for library in "$FOLDER"/lib*.so; do
        name=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
        if [ "$library" != "$FOLDER/libruminate.so" ] && [ -n "$name" ] && [ "$name" != "$(basename "$library")" ]; then
            rm "$library"
        fi
    done
    [ "$PROFILE" != dist ] || strip --strip-unneeded "$FOLDER"/lib*.so*
fi

# Somewhere else, and on the processor, which every machine has.
MOVED=$(mktemp -d)
cp -R "$FOLDER" "$MOVED/moved"
ANSWER=$("$MOVED/moved/ruminate" solve --quiet --backend llama --device CPU --strategy direct --algo greedy --model models/abacus-q8_0.gguf \
    'Tina has 50 pencils. Jack has 20 more pencils than Tina. How many pencils do Tina and Jack have in total?')
rm -rf "$MOVED"
[ "$ANSWER" = 120 ] || { echo "the package answers $ANSWER instead of 120" >&2; exit 1; }
echo "packaged $BACKEND in $FOLDER: $(du -sh "$FOLDER" | cut -f1)"
