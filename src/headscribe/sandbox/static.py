"""The static check: mistakes in a program, found before it runs. It gives no security."""

import ast
from collections.abc import Iterator

from headscribe.sandbox.inside.execute import MODULES
from headscribe.sandbox.inside.failures import Failure, printable
from headscribe.text.passages import WORD_FIELDS

LONGEST_PROGRAM = 20_000
"""Characters of source."""

FORBIDDEN_NAMES = frozenset(
    [
        "open",
        "exec",
        "eval",
        "compile",
        "input",
        "breakpoint",
        "globals",
        "locals",
        "vars",
        "__import__",
        "exit",
        "quit",
    ]
)
"""Builtins that no matrix needs."""

FORBIDDEN_NUMPY = frozenset(
    [
        "load",
        "save",
        "savez",
        "savez_compressed",
        "loadtxt",
        "savetxt",
        "genfromtxt",
        "fromfile",
        "tofile",
        "memmap",
        "fromregex",
        "open_memmap",
        "ctypeslib",
        "DataSource",
        "dump",
    ]
)
"""What NumPy offers for files and foreign code."""


def check(code: str) -> Failure | None:
    """The first mistake of a program (kind `static`), or None.

    It must parse, define `attention` with one parameter at its top level, import only
    `execute.MODULES`, and use neither files nor names that begin with two underscores. Clear
    words for an honest mistake; who wants to get around it can, and then meets the sandbox.
    """
    problem = _problem(code)
    return None if problem is None else Failure("static", printable(problem))


def needed_fields(code: str) -> frozenset[str]:
    """The word fields of an annotator that a program names, as attributes or in `by_token`."""
    tree = ast.parse(code)
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "by_token"
        for argument in (*node.args, *(k.value for k in node.keywords))
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    return frozenset(named & set(WORD_FIELDS))


def sentence_of(code: str) -> str | None:
    """The first line of the docstring of `attention`, if it has one."""
    function = _attention(ast.parse(code))
    text = None if function is None else ast.get_docstring(function)
    return None if not text else printable(text.splitlines()[0])


def _problem(code: str) -> str | None:
    if len(code) > LONGEST_PROGRAM:
        return f"expected at most {LONGEST_PROGRAM} characters, got {len(code)}"
    try:
        tree = ast.parse(code)
        compile(code, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: no valid Python: {error.msg}"
    except (RecursionError, MemoryError):
        return "nested too deeply to be parsed"
    except ValueError as error:  # null bytes, lone surrogates
        return f"no valid Python text: {error}"
    function = _attention(tree)
    if function is None:
        return "expected `def attention(p)` at the top level, got none"
    if isinstance(function, ast.AsyncFunctionDef) or not _takes_one(function.args):
        return f"line {function.lineno}: expected `def attention(p)` with one parameter"
    return next(_forbidden(tree), None)


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


def _forbidden(tree: ast.Module) -> Iterator[str]:
    """What the program uses and should not, in no particular order."""
    known = f"it can import {', '.join(MODULES)}"
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
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield f"{at}: `{node.id}` is not for programs, which compute a matrix and nothing else"
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name.startswith("__"):
                yield f"{at}: `{name}` is not for programs; leave names with two underscores alone"
            elif isinstance(node, ast.Attribute) and _is_numpy_file(node):
                yield f"{at}: `np.{name}` needs files; a program has none"


def _is_numpy_file(node: ast.Attribute) -> bool:
    of_numpy = isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy")
    return node.attr in FORBIDDEN_NUMPY and of_numpy
