"""What a program's text says: its mistakes, the annotations it reads, its sentence.

A few hundred characters can keep Python's compiler busy for minutes and make it take gigabytes
(`finally` within `finally`, sums of repeated strings), so this runs in a process of its own.
"""

import ast
import json
import sys
from collections.abc import Iterator
from contextlib import suppress

from headscribe.sandbox.inside.given import FIELDS, MODULES

SECONDS = 5
MEMORY = 512 * 2**20
"""Bytes of address space, the interpreter's own among them."""

FORBIDDEN_NAMES = {
    "open", "exec", "eval", "compile", "input", "breakpoint", "globals", "locals", "vars",
    "__import__", "exit", "quit",
}  # fmt: skip
"""Builtins that no matrix needs."""

FORBIDDEN_NUMPY = {
    "load", "save", "savez", "savez_compressed", "loadtxt", "savetxt", "genfromtxt", "fromfile",
    "tofile", "memmap", "fromregex", "open_memmap", "ctypeslib", "DataSource", "dump",
}  # fmt: skip
"""What NumPy offers for files and foreign code."""

NAMING = {"getattr": 1, "hasattr": 1, "setattr": 1, "delattr": 1, "by_token": 0}
"""What takes a name, and at which place: it has to be written out, so that a reader finds it."""

NAMING_LATER = frozenset(["attrgetter", "methodcaller"])


def main() -> None:
    """Read a program from standard input and write what it says, as JSON."""
    with suppress(ImportError, ValueError, OSError):  # not offered here, or already lower
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    code = sys.stdin.buffer.read().decode("utf-8", "surrogatepass")
    json.dump(said(code), sys.stdout)


def said(code: str) -> dict[str, object]:
    """`problem` (the first mistake, "" for none), `needs` (word columns), `sentence` (or None)."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return {"problem": f"line {error.lineno}: no valid Python: {error.msg}"}
    except (RecursionError, MemoryError):
        return {"problem": "nested too deeply to be parsed"}
    except ValueError as error:  # null bytes, lone surrogates
        return {"problem": f"no valid Python text: {error}"}
    function = _attention(tree)
    text = None if function is None else ast.get_docstring(function)
    sentence = text.partition("\n")[0] if text else None
    problem = _does_not_compile(code) or _misshapen(function) or next(_forbidden(tree), "")
    return {"problem": problem, "needs": sorted(_needs(tree)), "sentence": sentence}


def _does_not_compile(code: str) -> str:
    try:
        compile(code, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: no valid Python: {error.msg}"
    except RecursionError:
        return "nested too deeply to be compiled"
    except MemoryError:
        return f"takes more than {MEMORY >> 20} MB to compile"
    return ""


def _misshapen(function: ast.FunctionDef | ast.AsyncFunctionDef | None) -> str:
    if function is None:
        return "expected `def attention(p)` at the top level, got none"
    if isinstance(function, ast.AsyncFunctionDef) or not _takes_one(function.args):
        return f"line {function.lineno}: expected `def attention(p)` with one parameter"
    return ""


def _attention(tree: ast.Module) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The last top-level definition of `attention`."""
    found = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "attention":
            found = node
    return found


def _takes_one(arguments: ast.arguments) -> bool:
    """Whether a call with one positional argument fits."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    named = sum(default is None for default in arguments.kw_defaults)
    return (required <= 1 <= positional or (required == 0 and arguments.vararg is not None)) and (
        named == 0
    )


def _needs(tree: ast.Module) -> set[str]:
    """The word columns that the program names: as attributes, in patterns, in what takes a name."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            named.add(node.attr)
        elif isinstance(node, ast.MatchClass):
            named.update(node.kwd_attrs)
        elif isinstance(node, ast.Call) and (name := _written_name(node)) is not None:
            named.add(name)
    return named & set(FIELDS)


def _called(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _written_name(call: ast.Call) -> str | None:
    """The name that a call of `NAMING` gives as a literal."""
    place = NAMING.get(_called(call.func))
    if place is None or any(isinstance(arg, ast.Starred) for arg in call.args):
        return None
    given = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg)]
    name = given[place] if place < len(given) else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return name.value
    return None


def _forbidden(tree: ast.Module) -> Iterator[str]:
    """What the program uses and should not, in no particular order."""
    known = f"it can import {', '.join(MODULES)}"
    names = {
        id(node.func): _written_name(node) for node in ast.walk(tree) if isinstance(node, ast.Call)
    }
    for node in ast.walk(tree):
        at = f"line {getattr(node, 'lineno', 1)}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in MODULES:
                    yield f"{at}: `import {alias.name}` is not at hand; {known}"
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            if node.level or node.module not in MODULES:
                yield f"{at}: `from {'.' * node.level}{node.module or ''} import` is not at hand"
            for alias in node.names:
                if alias.name in FORBIDDEN_NUMPY:
                    yield f"{at}: `{alias.name}` needs files; a program has none"
                elif alias.name in NAMING_LATER:
                    yield _unwritten(at, alias.name)
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield f"{at}: `{node.id}` is not for programs, which compute a matrix and nothing else"
        elif isinstance(node, ast.Name | ast.Attribute):
            name = _called(node)
            written = names.get(id(node))
            if name.startswith("__") or (written or "").startswith("__"):
                shown = name if name.startswith("__") else written
                yield f"{at}: `{shown}` is not for programs; leave names with two underscores alone"
            elif name in NAMING_LATER or (name in NAMING and written is None):
                yield _unwritten(at, name)
            elif isinstance(node, ast.Attribute) and _is_numpy_file(node):
                yield f"{at}: `np.{name}` needs files; a program has none"


def _unwritten(at: str, name: str) -> str:
    return (
        f"{at}: `{name}` needs a name that is written out; what a program reads stands in its text"
    )


def _is_numpy_file(node: ast.Attribute) -> bool:
    of_numpy = isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy")
    return node.attr in FORBIDDEN_NUMPY and of_numpy
