"""A clean interpreter: neither the caller's environment nor the rest of the project in it."""

import os
import subprocess
import sys
from pathlib import Path

_BOOT = """
import importlib, sys, types
for name in ("headscribe", "headscribe.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [sys.argv[1]]
sys.path += sys.argv[3:4]
importlib.import_module("headscribe.sandbox.inside." + sys.argv[2]).main(*sys.argv[4:])
"""


def command(module: str, library: str = "", *arguments: str) -> list[str]:
    """The command that runs `main(*arguments)` of a module of `inside`.

    Args:
        library: the one folder of packages that it can import from.
    """
    here = str(Path(__file__).parent)
    return [sys.executable, "-s", "-S", "-P", "-B", "-c", _BOOT, here, module, library, *arguments]


def answered(arguments: list[str], given: bytes, seconds: float) -> tuple[bytes, int]:
    """What such a command writes when it is given some bytes, and its exit status.

    Raises:
        OSError: it cannot be started.
        subprocess.TimeoutExpired: it takes longer, and was killed.
    """
    done = subprocess.run(
        arguments,
        env=environment(),
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        timeout=seconds,
        check=False,
    )
    return done.stdout, done.returncode


def environment() -> dict[str, str]:
    """Its environment: fixed hash seeds, one thread, no secret."""
    return {
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    } | {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
