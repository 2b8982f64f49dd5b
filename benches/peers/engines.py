"""The engines that are compared: how each is built, run and read."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The crate whose source package contains llama.cpp; the version decides which llama.cpp is measured.
CRATE, VERSION = "llama-cpp-sys-2", "0.1.161"
# Release with what CMake finds (OpenMP), only the libraries; without an rpath, LD_LIBRARY_PATH decides which ggml runs.
CMAKE = ["-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DCMAKE_SKIP_RPATH=ON"]
CMAKE += [f"-DLLAMA_BUILD_{part}=OFF" for part in ("APP", "COMMON", "EXAMPLES", "SERVER", "TESTS", "TOOLS")]
AVX2 = ["-DGGML_NATIVE=OFF"] + [f"-DGGML_{name}=ON" for name in ("AVX2", "BMI2", "F16C", "FMA")]
# No measurement takes as long, not even on a slow machine.
TIMEOUT_S = 1800
# Beside busy loops llama.cpp may need seconds for a token: it decodes for this long instead of to the end.
CONTENDED_S = 10


def prepare(args):
    """The engines, built and ready to run."""
    target = Path(cargo_metadata(ROOT / "Cargo.toml", "--no-deps")["target_directory"])
    return [engine(args, target) for engine in [Ruminate, LlamaCpp] + ([IkLlamaCpp] if args.ik else [])]


class Ruminate:
    name = "ruminate"

    def __init__(self, args, target):
        build(["cargo", "build", "--release", "--bin", "ruminate", "--manifest-path", ROOT / "Cargo.toml"])
        self.command = [target / "release" / "ruminate", "bench", "decode", "--json", "--threads", args.threads]
        self.command += ["--isa", "avx2"] if args.avx2 else []

    def rates(self, model, case):
        flags = ["--prompt", case.prompt, "--gen", case.gen, "--branches", case.branches]
        return json.loads(run([*self.command, "--model", model, *flags]).stdout)[0]


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, args, target):
        peers = target / "peers"
        source = self.fetch(peers / "source")
        native = self.cmake(source, peers / "native", ["-DGGML_NATIVE=ON"], "llama")
        libraries = [native]
        if args.avx2:
            # Only the CPU backend depends on the instruction set: the rest is shared with the native build.
            libraries.insert(0, self.cmake(source, peers / "avx2", AVX2, "ggml-cpu"))
        driver = peers / "decode"
        headers = [f"-I{source / 'include'}", f"-I{source / 'ggml' / 'include'}"]
        link = [f"-L{native}", f"-Wl,-rpath-link,{native}", "-lllama"]
        build([os.environ.get("CXX", "c++"), "-std=c++17", "-O2", *headers, HERE / "decode.cpp", *link, "-o", driver])
        self.command = [driver, "-t", args.threads]
        self.env = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}

    @staticmethod
    def fetch(folder):
        """The llama.cpp inside the crate, which cargo fetches and checks; nothing of the crate itself is compiled."""
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "src" / "lib.rs").touch()
        package = '[package]\nname = "peers-source"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n'
        (folder / "Cargo.toml").write_text(f'{package}[dependencies]\n{CRATE} = "={VERSION}"\n')
        packages = cargo_metadata(folder / "Cargo.toml")["packages"]
        return next(Path(p["manifest_path"]).parent / "llama.cpp" for p in packages if p["name"] == CRATE)

    @staticmethod
    def cmake(source, folder, flags, goal):
        build(["cmake", "-S", source, "-B", folder, *CMAKE, *flags])
        build(["cmake", "--build", folder, "--target", goal, "--parallel", os.cpu_count() or 1])
        return folder / "bin"

    def rates(self, model, case):
        flags = ["-m", model, "-p", case.prompt, "-g", case.gen, "-b", case.branches]
        flags += ["-s", CONTENDED_S] if case.contended else []
        return json.loads(run([*self.command, *flags], env=self.env).stdout)


class IkLlamaCpp:
    name = "ik_llama.cpp"

    def __init__(self, args, target):
        self.folder = target / "peers"
        self.bench = args.ik.resolve() / "bin" / "llama-batched-bench"
        if not self.bench.is_file():
            fail(f"{self.bench} is missing: --ik takes a build folder with that program")
        self.threads = args.threads

    def rates(self, model, case):
        # Width 1 first, unmeasured, as the others do; -rtr repacks weights at load, -pps shares the prompt.
        context = -(-(case.prompt + case.branches * case.gen) // 256) * 256
        flags = ["-m", model, "-t", self.threads, "-tb", self.threads, "-c", context, "-b", 2048, "-ub", 512]
        flags += ["-npp", case.prompt, "-ntg", case.gen, "-npl", f"1,{case.branches}", "-pps", "-rtr"]
        done = run([self.bench, *flags], cwd=self.folder)
        rows = [line.split("|")[1:-1] for line in (done.stdout + done.stderr).splitlines()]
        rows = [row for row in rows if len(row) == 10 and row[0].strip().isdigit()]
        if len(rows) != 2 or int(rows[1][2]) != case.branches:
            fail(f"{self.bench} printed no table that this script knows")
        return {"prefill_tok_s": float(rows[1][5]), "decode_tok_s": float(rows[1][7])}


def run(command, env=None, cwd=None):
    """The finished command, with what it wrote; a failure ends the script."""
    command = [str(part) for part in command]
    options = {"check": True, "capture_output": True, "text": True, "errors": "replace", "timeout": TIMEOUT_S}
    try:
        return subprocess.run(command, env=env, cwd=cwd, **options)
    except FileNotFoundError:
        fail(f"{command[0]} is needed and was not found")
    except subprocess.TimeoutExpired:
        fail(f"took over {TIMEOUT_S} s: {' '.join(command)}")
    except subprocess.CalledProcessError as error:
        fail(f"exit code {error.returncode}: {' '.join(command)}\n{error.stderr[-2000:]}")


def build(command):
    """A build step, whose progress the user sees; standard output stays for the results."""
    try:
        subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        fail(f"cannot build: {error}")


def cargo_metadata(manifest, *flags):
    command = ["cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path", str(manifest), *flags]
    try:
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        fail(f"cannot ask cargo about {manifest}: {error}")


def fail(message):
    sys.exit(f"run.py: {message}")
