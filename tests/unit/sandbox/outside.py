"""Run programs without walls, a fork a job: the proof that the walls stop them.

Reads a job a line from standard input (JSON: codes, columns, seconds), writes how it ended.
"""

import json
import os
import select
import signal
import sys

from headscribe.sandbox.inside import execute, failures, view


def run(job: dict) -> str:
    out, result = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        null = os.open("/dev/null", os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        for code in job["codes"]:
            attention = execute.load(code)
            found = execute.call(attention, view.Passage(job["columns"]))
        said = str(found) if isinstance(found, failures.Failure) else "matrix"
        if said == "matrix" and found.tolist() != job.get("expected", found.tolist()):
            said = "another matrix"
        try:
            os.write(result, said.encode())
        except OSError:  # it closed all descriptors
            os._exit(9)
        os._exit(0)
    os.close(result)
    handle = os.pidfd_open(child)
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    ended = waiting.poll(1000 * job["seconds"])
    if not ended:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    os.close(handle)
    said = os.read(out, 4096).decode() if ended else ""
    os.close(out)
    if not ended:
        return "endless"
    if os.WIFSIGNALED(status):
        return "signal"
    if os.WEXITSTATUS(status) == 9:
        return "matrix"
    return said or "ended"


signal.signal(signal.SIGUSR1, lambda number, frame: None)
for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
