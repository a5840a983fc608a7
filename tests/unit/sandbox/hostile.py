"""Hostile programs: each does its harm outside the sandbox, and must not inside.

The body of a program ends normally if and only if its attack worked; `attention` then returns a
matrix. Placeholders: `{folder}` holds `secret.txt` and `planted.py`; `{tcp}`, `{udp}`, `{unix}`
listen; `{parent}` is the process that forked the program; `{many}` is 1 outside and very many
inside, where the full attack would harm the machine that shows it to work.
"""

from dataclasses import dataclass
from textwrap import indent
from typing import Literal

Outside = Literal["matrix", "ended", "signal", "endless"]


@dataclass(frozen=True)
class Hostile:
    """A program and what it does without walls.

    Attributes:
        outside: it returns a matrix since the attack worked; its process ended by itself; was
            killed by a signal; or still ran when it was stopped.
        kinds: the failure kinds that count as contained inside.
        root: it needs root even outside.
        offered: it needs something that not every kernel offers.
    """

    name: str
    body: str
    outside: Outside = "matrix"
    kinds: tuple[str, ...] = ("exception",)
    root: bool = False
    offered: bool = False

    def code(self, **places: object) -> str:
        body = self.body
        for name, value in places.items():
            body = body.replace("{" + name + "}", str(value))
        lines = "def attack(p):\n" + indent(body, "    ") + "\n    return True\n"
        return lines + "def attention(p):\n    attack(p)\n    return np.ones((len(p), len(p)))\n"


def _syscall(x86_64: int, aarch64: int, arguments: str, needs: str = "r >= 0") -> str:
    number = f"{{'x86_64': {x86_64}, 'aarch64': {aarch64}}}[os.uname().machine]"
    return (
        f"import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"libc.syscall.restype = ctypes.c_long\n"
        f"arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in ({arguments},)]\n"
        f"r = libc.syscall(ctypes.c_long({number}), *arguments)\n"
        f"if not ({needs}): raise OSError(ctypes.get_errno(), 'refused')"
    )


_MACHINE_CODE = """
code = {'x86_64': 'b82a000000c3', 'aarch64': '40058052c0035fd6'}
import ctypes, os
code = bytes.fromhex(code[os.uname().machine])
"""

FILES = [
    Hostile("open and read", "assert open('{folder}/secret.txt').read() == 'secret'"),
    Hostile(
        "os.open and read",
        """
import os
os.read(os.open('{folder}/secret.txt', os.O_RDONLY), 9)
""",
    ),
    Hostile("read /etc/passwd", "assert 'root' in open('/etc/passwd').read()"),
    Hostile("write a file", "open('{folder}/new.txt', 'w').write('x')"),
    Hostile("append to a file", "open('{folder}/victim.txt', 'a').write('x')"),
    Hostile(
        "overwrite with mmap",
        """
import mmap
f = open('{folder}/victim.txt', 'r+b')
mmap.mmap(f.fileno(), 0)[:1] = b'!'
""",
    ),
    Hostile("remove a file", "import os\nos.remove('{folder}/removed.txt')"),
    Hostile(
        "rename a file",
        """
import os
os.rename('{folder}/renamed.txt', '{folder}/other.txt')
""",
    ),
    Hostile("truncate a file", "import os\nos.truncate('{folder}/victim.txt', 0)"),
    Hostile("change a mode", "import os\nos.chmod('{folder}/victim.txt', 0o777)"),
    Hostile("change times", "import os\nos.utime('{folder}/victim.txt', (1, 1))"),
    Hostile("make a folder", "import os\nos.mkdir('{folder}/made')"),
    Hostile("symlink", "import os\nos.symlink('/etc/passwd', '{folder}/link')"),
    Hostile(
        "hard link",
        """
import os
os.link('{folder}/victim.txt', '{folder}/hard')
""",
    ),
    Hostile("fifo", "import os\nos.mkfifo('{folder}/fifo')"),
    Hostile("list a folder", "import os\nassert os.listdir('{folder}')"),
    Hostile("stat a file", "import os\nos.stat('{folder}/secret.txt')"),
    Hostile("change folder", "import os\nos.chdir('{folder}')"),
    Hostile(
        "shared memory file",
        """
import os
open('/dev/shm/headscribe-hostile', 'w').write('x')
os.remove('/dev/shm/headscribe-hostile')
""",
    ),
    Hostile("temporary file", "import tempfile\ntempfile.TemporaryFile().write(b'x')"),
    Hostile("np.fromfile", "assert len(np.fromfile('{folder}/secret.txt', np.uint8))"),
    Hostile("np.memmap", "assert len(np.memmap('{folder}/secret.txt', np.uint8, 'r'))"),
    Hostile("np.save", "np.save('{folder}/array.npy', np.ones(3))"),
    Hostile("np.loadtxt", "np.loadtxt('{folder}/secret.txt', dtype=str)"),
    Hostile("np.ndarray.tofile", "np.ones(3).tofile('{folder}/raw.bin')"),
    Hostile("np.load of a pickle", "np.load('{folder}/evil.npy', allow_pickle=True)"),
    Hostile("read /proc/self/environ", "open('/proc/self/environ', 'rb').read()"),
    Hostile("read the parent's memory map", "open('/proc/{parent}/maps').read()"),
    Hostile("write to /proc/self/mem", "open('/proc/self/mem', 'r+b', 0)"),
    Hostile(
        "open with ctypes",
        """
import ctypes
if ctypes.CDLL(None).open(b'{folder}/secret.txt', 0) < 0: raise OSError
""",
    ),
    Hostile("memory file", "import os\nos.memfd_create('x')"),
    Hostile("openat2", _syscall(437, 437, "-100, b'/etc/passwd', (ctypes.c_uint64 * 3)(), 24")),
    Hostile(
        "name_to_handle",
        _syscall(
            303, 264, "-100, b'/etc', (ctypes.c_char * 200)(128), ctypes.byref(ctypes.c_int()), 0"
        ),
        offered=True,
    ),
]

WORLD = [
    Hostile(
        "environment",
        """
import os
assert os.environ['HEADSCRIBE_SECRET'] == 'secret'
""",
    ),
    Hostile(
        "environment with ctypes",
        """
import ctypes
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
assert libc.getenv(b'HEADSCRIBE_SECRET') == b'secret'
""",
    ),
    Hostile("lazy import", "import xml.dom.minidom"),
    Hostile("lazy import of NumPy", "import numpy.f2py"),
    Hostile(
        "import a planted module",
        """
import sys
sys.path.insert(0, '{folder}')
import planted
""",
    ),
    Hostile(
        "pickle that runs a command",
        """
import pickle
assert pickle.loads(b"cos\\nsystem\\n(S'true'\\ntR.") == 0
""",
    ),
    Hostile(
        "inherited descriptors",
        """
import os
open_ = 0
for fd in range(64):
    try:
        os.fstat(fd)
        open_ += 1
    except OSError:
        pass
assert open_
""",
    ),
    Hostile("write to standard output", "import os\nos.write(1, b'x')"),
    Hostile("duplicate a descriptor", "import os\nos.dup(3)"),
    Hostile(
        "close all descriptors",
        """
import os
for fd in range(64):
    try:
        os.close(fd)
        done = True
    except OSError:
        pass
done
""",
    ),
]

NETWORK = [
    Hostile(
        "TCP connection",
        """
import socket
socket.create_connection(('127.0.0.1', {tcp}), 1)
""",
    ),
    Hostile("TCP server", "import socket\nsocket.create_server(('127.0.0.1', 0))"),
    Hostile(
        "UDP packet",
        """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))
""",
    ),
    Hostile(
        "Unix connection",
        """
import socket
socket.socket(socket.AF_UNIX).connect('{unix}')
""",
    ),
    Hostile(
        "abstract Unix socket",
        """
import os, socket
socket.socket(socket.AF_UNIX).bind('\\0headscribe%d' % id(p))
""",
    ),
    Hostile("socket pair", "import socket\nsocket.socketpair()"),
    Hostile(
        "netlink",
        """
import socket
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
""",
    ),
    Hostile("name lookup", "import socket\nsocket.getaddrinfo('localhost', 80)"),
    Hostile(
        "socket with ctypes",
        """
import ctypes
if ctypes.CDLL(None).socket(2, 1, 0) < 0: raise OSError
""",
    ),
    Hostile("pipe", "import os, socket\nr, w = os.pipe()\nos.write(w, b'x')"),
]

PROCESSES = [
    Hostile("fork", "import os\nif os.fork() == 0: os._exit(0)"),
    Hostile(
        "fork bomb",
        """
import os
for _ in range({many}):
    if os.fork() == 0: os._exit(0)
""",
    ),
    Hostile("exec", "import os\nos.execv('/bin/true', ['true'])", "ended"),
    Hostile("subprocess", "import subprocess\nsubprocess.run(['true'], check=True)"),
    Hostile("os.system", "import os\nassert os.system('true') == 0"),
    Hostile("os.posix_spawn", "import os\nos.posix_spawn('/bin/true', ['true'], {})"),
    Hostile(
        "system with ctypes",
        """
import ctypes
assert ctypes.CDLL(None).system(b'true') == 0
""",
    ),
    Hostile(
        "thread",
        """
import threading
t = threading.Thread(target=int)
t.start()
t.join()
""",
    ),
    Hostile(
        "thread bomb",
        """
import _thread
for _ in range({many}): _thread.start_new_thread(int, ())
""",
    ),
    Hostile("signal to the parent", "import os, signal\nos.kill({parent}, signal.SIGUSR1)"),
    Hostile("signal to the group", "import os\nos.kill(0, 0)"),
    Hostile(
        "signal by pidfd",
        """
import os, signal
signal.pidfd_send_signal(os.pidfd_open({parent}), 0)
""",
    ),
    Hostile("signal by tgkill", _syscall(234, 131, "{parent}, {parent}, 0")),
    Hostile(
        "signal with a value", _syscall(129, 138, "{parent}, 10, (ctypes.c_int * 32)(10, 0, -1)")
    ),
    Hostile(
        "ignore a signal",
        """
import signal
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
""",
    ),
    Hostile("alarm", "import signal\nsignal.setitimer(signal.ITIMER_REAL, 100)"),
    Hostile(
        "other signal stack", _syscall(131, 132, "(ctypes.c_uint64 * 3)(id(p), 0, 1 << 16), None")
    ),
    Hostile(
        "block signals", _syscall(14, 135, "0, ctypes.byref(ctypes.c_uint64(2**64 - 1)), None, 8")
    ),
    Hostile("ptrace", _syscall(101, 117, "0, 0, 0, 0")),
    Hostile(
        "read a process's memory",
        _syscall(
            310,
            270,
            "os.getpid(), (ctypes.c_uint64 * 2)(id(p), 8), 1, "
            "(ctypes.c_uint64 * 2)(id(p), 8), 1, 0",
        ),
    ),
    Hostile("be inspected", _syscall(157, 167, "4, ctypes.c_long(1), 0, 0, 0")),
    Hostile("outlive the parent", _syscall(157, 167, "1, ctypes.c_long(0), 0, 0, 0")),
    Hostile(
        "change a limit",
        """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
""",
    ),
    Hostile(
        "limits of another process",
        _syscall(302, 261, "{parent}, 7, None, (ctypes.c_uint64 * 2)()"),
    ),
    Hostile("new session", "import os\nos.setsid()"),
    Hostile("be nice", "import os\nos.nice(1)"),
    Hostile(
        "choose processors",
        """
import os
os.sched_setaffinity(0, os.sched_getaffinity(0))
""",
    ),
    Hostile("change user", "import os\nos.setuid(os.getuid())"),
    Hostile("become nobody", "import os\nos.setresuid(65534, 65534, 65534)", root=True),
    Hostile("chroot", "import os\nos.chroot('/')", root=True),
    Hostile(
        "mount",
        _syscall(165, 40, "b'none', b'/', None, 0x1000 | 0x40000, None"),
        root=True,
        offered=True,
    ),
    Hostile("unshare", _syscall(272, 97, "0x400")),
    Hostile("new user namespace", _syscall(272, 97, "0x10000000"), offered=True),
    Hostile("keyring", _syscall(250, 219, "0, ctypes.c_long(-3), 1, 0, 0"), offered=True),
    Hostile("io_uring", _syscall(425, 425, "1, (ctypes.c_char * 120)()"), offered=True),
    Hostile(
        "eBPF",
        _syscall(321, 280, "0, (ctypes.c_uint32 * 32)(2, 4, 4, 1), 128"),
        root=True,
        offered=True,
    ),
    Hostile("personality", _syscall(135, 92, "0x0040000")),
    Hostile("System V shared memory", _syscall(29, 194, "0, ctypes.c_size_t(4096), 0o1600")),
    Hostile("System V message queue", _syscall(68, 186, "0, 0o1600")),
    Hostile("event descriptor", "import os\nos.eventfd(0)"),
    Hostile("epoll", "import select\nselect.epoll()"),
    Hostile("inotify", _syscall(294, 26, "0")),
    Hostile("host name", "import os\nos.uname()"),
]

MEMORY = [
    Hostile("100 GB", "a = np.ones(2**24 if {many} == 1 else 10**11 // 8)", kinds=("memory",)),
    # Pieces that are not written to: 512 MB of written ones take a busy machine over a second.
    Hostile(
        "memory in pieces",
        """
kept = []
for _ in range(5 if {many} == 1 else {many}):
    kept.append(np.empty(2**22))
""",
        kinds=("memory",),
    ),
    Hostile(
        "a growing list",
        """
kept = []
for i in range(2**21 if {many} == 1 else {many}):
    kept.append((i,))
""",
        kinds=("memory", "timeout"),  # on a busy machine its second is over first
    ),
    Hostile(
        "a doubling text",
        """
s = 'x'
for _ in range(28 if {many} == 1 else 60): s += s
""",
        kinds=("memory", "timeout"),  # on a busy machine its second is over first
    ),
    Hostile(
        "mmap beyond the limit",
        """
import mmap
mmap.mmap(-1, 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
""",
    ),
    Hostile("shared mapping", "import mmap\nmmap.mmap(-1, 4096)"),
    Hostile(
        "executable mapping",
        _MACHINE_CODE
        + """
import mmap
m = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
m.write(code)
f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
assert f() == 42
""",
    ),
    Hostile(
        "mprotect to executable",
        _MACHINE_CODE
        + """
libc = ctypes.CDLL(None)
b = ctypes.create_string_buffer(code, 8192)
at = (ctypes.addressof(b) + 4095) & -4096
ctypes.memmove(at, code, len(code))
if libc.mprotect(ctypes.c_void_p(at), 4096, 7): raise OSError
assert ctypes.CFUNCTYPE(ctypes.c_int)(at)() == 42
""",
    ),
    Hostile("lock memory", _syscall(149, 228, "ctypes.c_void_p(id(p)), ctypes.c_size_t(8)")),
]

ENDLESS = [
    Hostile("endless loop", "while True: pass", "endless", ("timeout",)),
    Hostile(
        "endless loop in C",
        """
import itertools, collections
collections.deque(itertools.count(), 0)
""",
        "endless",
        ("timeout",),
    ),
    Hostile(
        "exponential expression",
        "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
        "endless",
        ("timeout",),
    ),
    Hostile("a large power", "9 ** 9 ** 9", "endless", ("timeout", "memory")),
    Hostile(
        "deadlock",
        """
import threading
lock = threading.Lock()
lock.acquire()
lock.acquire()
""",
        "endless",
        ("timeout",),
    ),
    Hostile("sleep", "import time\ntime.sleep(1000)", "endless", ("exception",)),
    Hostile(
        "swallowed exceptions",
        """
while True:
    try:
        raise SystemExit
    except BaseException: pass
""",
        "endless",
        ("timeout",),
    ),
    Hostile("endless print", "while True: print('x' * 1000)", "endless", ("output",)),
    Hostile(
        "endless error output",
        """
import sys
while True: print('x' * 1000, file=sys.stderr)
""",
        "endless",
        ("output",),
    ),
    Hostile(
        "endless bytes to every descriptor",
        """
import os
while True:
    for fd in (1, 2, 3):
        try: os.write(fd, b'x' * 4096)
        except OSError: pass
""",
        "endless",
        ("protocol", "output"),
    ),
    Hostile(
        "endless array",
        """
class A:
    def __array__(self, *a, **k):
        while True: pass
np.asarray(A())
""",
        "endless",
        ("timeout",),
    ),
]

CRASHES = [
    Hostile("segfault", "import ctypes\nctypes.string_at(0)", "signal", ("signal",)),
    Hostile(
        "deep recursion in C",
        """
import sys
sys.setrecursionlimit(10**9)
class A:
    def __repr__(self): return repr(self)
repr(A())
""",
        "signal",
        ("signal", "memory"),
    ),
    Hostile("abort", "import os\nos.abort()", "signal", ("signal",)),
    Hostile("jump to nowhere", "import ctypes\nctypes.CFUNCTYPE(None)(1)()", "signal", ("signal",)),
    Hostile(
        "overwrite memory",
        "import ctypes\nctypes.memset(id(type), 255, 400)\ntype(p)",
        "signal",
        ("signal",),
    ),
    Hostile("quiet exit", "import os\nos._exit(0)", "ended", ("protocol",)),
    Hostile("exit with a kept status", "import os\nos._exit(70)", "ended", ("protocol",)),
    Hostile("kill itself", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal"),
    Hostile("stop itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "endless"),
]

CASES = [*FILES, *WORLD, *NETWORK, *PROCESSES, *MEMORY, *ENDLESS, *CRASHES]


CLEAN = "def attention(p):\n    return np.eye(len(p)) + np.arange(len(p))\n"
"""An honest program."""


def _patch(body: str) -> str:
    return "def attention(p):\n" + indent(body, "    ") + "\n    return [[1.0]]\n"


_FRAMES = """
import sys
frame = sys._getframe()
while frame:
    for name in ("load", "np"):
        if name in frame.f_globals and name not in ("frame",):
            frame.f_globals[name] = None
    frame = frame.f_back
"""

_TRACE = """
import sys
def spoil(frame, event, argument):
    if frame.f_code.co_name == "attention" and event == "call": raise KeyError
sys.how(spoil)
"""

_COLLECTOR = """
import gc
for found in gc.get_objects():
    if type(found) is dict and "PROGRAM_FILE" in found:
        found.clear()
"""


@dataclass(frozen=True)
class Lasting:
    """A program that changes its process so that the next program, `then`, is no longer right."""

    name: str
    code: str
    then: str = CLEAN


LASTING = [
    Lasting("patched np.eye", _patch("np.eye = np.ones_like")),
    Lasting("patched np.asarray", _patch("np.asarray = lambda a: np.zeros((2, 2))")),
    Lasting("patched np.arange", _patch("np.arange = lambda n: 7")),
    Lasting("patched len", _patch("import builtins\nbuiltins.len = lambda a: 3")),
    Lasting("patched passages", _patch("type(p).__len__ = lambda self: 1")),
    Lasting("patched words", _patch("type(p.words).__init__ = None")),
    Lasting(
        "poisoned module",
        _patch("import sys\nsys.modules['math'] = None"),
        CLEAN.replace("def", "import math\ndef", 1),
    ),
    Lasting("trace", _patch(_TRACE.replace("how", "settrace"))),
    Lasting("profile", _patch(_TRACE.replace("how", "setprofile"))),
    Lasting("frames", _patch(_FRAMES)),
    Lasting("collector", _patch(_COLLECTOR)),
]
