"""Builds stackae._C where a compiler is at hand: for the CPU, and for CUDA where that is wanted and can be had.

STACKAE_BUILD=auto (default), require or no: without a compiler auto installs stackae without its library, so that it
trains eagerly, and require ends with an error; no leaves the library out.
STACKAE_CUDA=auto (default), 0 or 1 decides about CUDA; auto wants it where a GPU is visible or TORCH_CUDA_ARCH_LIST
names the architectures.
STACKAE_EMULATE=0 (default) or 1: the CUDA kernels take the place of the CPU's, run on the host (`make emulate`).
STACKAE_SANITIZE=0 (default) or 1: with AddressSanitizer and UndefinedBehaviorSanitizer, as `make sanitize` builds it.
"""

import importlib.util
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "building"))
from compilers import compiler, link_flags, optional_flags, why_eager, wish_of  # noqa: E402  # found by the line above

STAMP = runpy.run_path(str(ROOT / "stackae" / "ops" / "stamp.py"))
X86 = platform.machine().lower() in ("x86_64", "amd64")
CPU_LEVELS = "x86-64-v4, x86-64-v3, default" if X86 else "default"
OLDEST_TORCH = "torch>=2.11"
REQUIRED = [  # beyond torch
    "numpy>=1.26",
    "pyarrow>=17.0",
    "scikit-learn>=1.6",
    "matplotlib>=3.8",
    "safetensors>=0.4",
    "pydantic>=2.7",
    "tomli-w>=1.0",
    "typer>=0.12",
    "rich>=13.7",
]
# What every compiler is given; -g0, since Python's own flags may ask for as much debug information again as code.
CXX_FLAGS = ["-O3", "-std=c++20", "-fvisibility=hidden", "-Wall", "-g0"]
SANITIZERS = "-fsanitize=address,undefined"
SANITIZED_FLAGS = [
    "-O1",  # -O3 builds half as long again, and has no more to check: GCC instruments before it vectorises
    SANITIZERS,
    "-fno-sanitize-recover=all",
    "-fno-wrapv",  # Python's own flags hold -fwrapv, which would define signed overflow instead of reporting it
    "-fno-omit-frame-pointer",
    "-g1",
    "-D_GLIBCXX_ASSERTIONS",
]
# Its speed is in the switches between threads; -O3 would build five times as long.
EMULATED_FLAGS = ["-O1", "-Wno-unknown-pragmas"]
NVCC_FLAGS = [
    "-O3",
    "-std=c++20",
    "--extended-lambda",
    "--expt-relaxed-constexpr",
    "-Xcompiler=-Wno-interference-size",  # that of a header of torch
]


def output_of(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip() if done.returncode == 0 else ""


def toolkit_root() -> str | None:
    """The CUDA toolkit's folder, as nvcc itself names it: the nvcc on PATH may be a wrapper script."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = str(Path(named) / "bin" / "nvcc") if named else shutil.which("nvcc")
    if not nvcc:
        return None
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.cu"
        probe.write_text("__global__ void probe() {}\n")
        found = re.search(r"TOP=(.+)", output_of(nvcc, "--dryrun", "-c", str(probe), "-o", os.devnull))
    return str(Path(found.group(1).strip()).resolve()) if found else None


def nvcc_flags() -> list[str]:
    """Where CI is set a warning ends the build; elsewhere a newer compiler than ours may have warnings of its own."""
    return NVCC_FLAGS + (["-Werror=all-warnings"] if os.environ.get("CI") else [])


def asked(name: str) -> bool:
    return wish_of(name, "0", "1") == "1"


def wants_cuda(wish: str) -> bool:
    """Whether CUDA code is wanted: on a machine without a GPU it takes minutes to build and does not run."""
    import torch

    if wish == "auto":
        return bool(os.environ.get("TORCH_CUDA_ARCH_LIST")) or torch.cuda.is_available()
    return wish == "1"


def cuda_home() -> str | None:
    """The toolkit to build with, None for a CPU build, or the end of the build when CUDA was demanded in vain."""
    import torch

    wish = wish_of("STACKAE_CUDA", "auto", "0", "1")
    if not wants_cuda(wish):
        return None
    missing = []
    if not torch.version.cuda:
        missing.append(f"a CUDA build of torch (torch {torch.__version__} is CPU-only)")
    root = toolkit_root()
    if not root:
        missing.append("a CUDA toolkit (no working nvcc on PATH or under CUDA_HOME)")
    if missing and wish == "1":
        sys.exit(f"STACKAE_CUDA=1: missing {' and '.join(missing)}; set STACKAE_CUDA=0 for a CPU build")
    return None if missing else root


def default_architectures() -> str:
    """Those of the GPUs at hand, else the lowest of each generation that torch has code for from Ampere on; and PTX.

    Code for 8.0 runs on all of 8.x, so one a generation is enough.
    """
    import torch

    if torch.cuda.is_available():
        seen = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    else:
        flags = re.findall(r"sm_(\d+)(\d)\b", torch._C._cuda_getArchFlags() or "sm_90")
        known = sorted((int(major), int(minor)) for major, minor in flags if int(major) >= 8)
        seen = set({major: (major, minor) for major, minor in reversed(known)}.values())
    return ";".join(f"{major}.{minor}" for major, minor in sorted(seen)) + "+PTX"


def pip_cuda_includes() -> list[str]:
    """Headers of cublas, cusparse and the like, which some toolkits leave to the pip packages."""
    spec = importlib.util.find_spec("nvidia")
    roots = spec.submodule_search_locations if spec else None
    return [str(path) for root in roots or [] for path in sorted(Path(root).glob("cu*/include"))]


def write_build_info(home: str | None, flags: list[str], folder: Path) -> Path:
    """The header from which build_info() answers; rewritten only when it changes."""
    import torch

    version = output_of(*compiler(), "--version").splitlines() or ["unknown"]
    revision = output_of("git", "rev-parse", "--short=12", "HEAD")
    dirty = "+" if revision and output_of("git", "status", "--porcelain", "--untracked-files=no") else ""
    values = {
        "COMPILER": version[0],
        "FLAGS": " ".join(flags),
        "CPU_LEVELS": CPU_LEVELS,
        "TORCH": torch.__version__,
        "CUDA_VERSION": (torch.version.cuda or "") if home else "none",
        "CUDA_ARCHITECTURES": os.environ["TORCH_CUDA_ARCH_LIST"] if home else "none",
        "GIT_REVISION": (revision + dirty) or "unknown",
        "INTERFACE": STAMP["digest_of_interface"](ROOT / "csrc"),
        "SOURCES": STAMP["digest_of_sources"](ROOT / "csrc", cuda=bool(home)),
    }
    told = ("TORCH", "CUDA_VERSION", "INTERFACE", "SOURCES")
    values["STAMP"] = STAMP["line_of"]({name.lower(): values[name] for name in told})
    text = "#pragma once\n" + "".join(f'#define STACKAE_{name} "{value}"\n' for name, value in values.items())
    header = folder / "build_info.h"
    folder.mkdir(parents=True, exist_ok=True)
    if not header.exists() or header.read_text() != text:
        header.write_text(text)
    return folder


def emulated_sources(folder: Path) -> list[Path]:
    """The CUDA sources as C++, and what runs their kernels on the host; of the CPU's own, its products alone."""
    wrapped = []
    for source in sorted(ROOT.glob("csrc/cuda/*.cu")):
        wrapper = folder / f"{source.stem}_cuda.cpp"
        text = f'#include "{source}"\n'
        if not wrapper.exists() or wrapper.read_text() != text:
            wrapper.write_text(text)
        wrapped.append(wrapper)
    own = [ROOT / "csrc/cpu" / f"{name}.cpp" for name in ("level", "matmul", "pool", "product")]
    return [*wrapped, ROOT / "csrc/cuda/emulated/device.cpp", *own]


def extension(home: str | None):
    if home:
        os.environ["CUDA_HOME"] = home  # read by torch.utils.cpp_extension when it is imported
        if not os.environ.get("TORCH_CUDA_ARCH_LIST"):
            os.environ["TORCH_CUDA_ARCH_LIST"] = default_architectures()
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    sanitize, emulate = asked("STACKAE_SANITIZE"), asked("STACKAE_EMULATE")
    flags = [*CXX_FLAGS, *optional_flags(), *SANITIZED_FLAGS * sanitize, *EMULATED_FLAGS * emulate]
    kind = "-emulated" * emulate + "-sanitized" * sanitize
    generated = write_build_info(home, flags, ROOT / "build" / f"generated{kind}")
    sources = [*ROOT.glob("csrc/*.cpp")]
    includes = [str(generated)]
    if emulate:
        sources += emulated_sources(generated)
        includes.append(str(ROOT / "csrc/cuda/emulated"))
    else:
        sources += ROOT.glob("csrc/cpu/*.cpp")
    if home:
        sources += ROOT.glob("csrc/cuda/*.cu")
        includes += [str(ROOT / "csrc/cuda/native"), f"{home}/include", *pip_cuda_includes()]
    return (CUDAExtension if home else CppExtension)(
        name="stackae._C",
        sources=sorted(str(path.relative_to(ROOT)) for path in sources),
        include_dirs=includes,
        extra_compile_args={"cxx": flags, "nvcc": nvcc_flags()},
        extra_link_args=[SANITIZERS] if sanitize else [*link_flags()],
    )


def library_is_built() -> bool:
    """Whether the library is compiled, as STACKAE_BUILD says; where nothing can compile it, a line says so."""
    wish = wish_of("STACKAE_BUILD", "auto", "require", "no")
    if wish == "no":
        return False
    lacking = why_eager()
    if lacking and wish == "require":
        sys.exit(f"STACKAE_BUILD=require: expected GCC or Clang with C++20 and Python's headers, got: {lacking}")
    if lacking:
        sys.stderr.write(f"stackae: WITHOUT ITS COMPILED LIBRARY, so that it trains eagerly and slower: {lacking}\n")
    elif importlib.util.find_spec("torch") is None:
        sys.exit(
            "stackae: expected a torch to compile its library with, got none; install torch first, build without "
            "--no-build-isolation, or set STACKAE_BUILD=no to train eagerly"
        )
    return not lacking


def own_tools_first() -> None:
    """Find the ninja of an environment that is not activated; without one, files are compiled one by one."""
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def build() -> dict[str, object]:
    """What setuptools is told of the library: how it is built, and the minor version of torch that it works with."""
    import torch

    own_tools_first()
    built = extension(None if asked("STACKAE_EMULATE") else cuda_home())
    from torch.utils.cpp_extension import BuildExtension

    release = ".".join(torch.__version__.partition("+")[0].split(".")[:2])
    return {
        "ext_modules": [built],
        "cmdclass": {"build_ext": BuildExtension.with_options(use_ninja=True)},
        "install_requires": [f"torch=={release}.*", *REQUIRED],
    }


def main() -> None:
    sources_alone = "sdist" in sys.argv
    eager = {"install_requires": [OLDEST_TORCH, *REQUIRED]}
    setup(**(eager if sources_alone or not library_is_built() else build()))


if __name__ == "__main__":  # as pip runs it too; tests load it for its functions
    main()
