"""Starts processes of the command line in milliseconds: everything is imported once, then forked.

Started by `tests/commands.py`. A line of JSON on stdin asks for a process; the file that it names
gets the number of the process and, once it has ended, its exit status.
"""

import importlib
import json
import os
import pkgutil
import sys
import traceback


def child(job: dict) -> None:
    """Be the command: its folder, environment and streams, then `main`; never returns."""
    status = 1
    try:
        for descriptor, path in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
            flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags), descriptor)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        if job["code"]:
            sys.argv = ["-c", *job["arguments"]]
            sys.path.insert(0, job["cwd"])
            exec(compile(job["code"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
        else:
            sys.argv = ["headscribe", *job["arguments"]]
            main()
        status = 0
    except SystemExit as leave:
        status = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def minder(job: dict) -> None:
    """Start the command, write its number, wait for it, write its exit status; never returns."""
    pid = os.fork()
    if pid == 0:
        child(job)
    with open(job["status"], "w") as file:
        print(pid, file=file, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=file)
    os._exit(0)


if __name__ == "__main__":
    import headscribe
    from headscribe.cli.main import main

    for module in pkgutil.walk_packages(headscribe.__path__, "headscribe."):
        if ".inside" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("transformers.modeling_utils")
    minders = set()
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            minder(json.loads(line))
        minders = {one for one in {*minders, pid} if os.waitpid(one, os.WNOHANG) == (0, 0)}
