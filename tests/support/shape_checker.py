"""Checks every call's arguments and result: types, dtypes and shapes, as annotated.

jaxtyping brings an import hook for that as well. It binds each call's signature and checks the
parameters twice, which took a third of the tests' time, and it decorates a function within a
function anew whenever the outer one runs; here such functions are left alone, and only those that
speak of arrays get a memory for the names of axes. What fits is told quickly (`_fits`, `_is_one`);
what does not is left to jaxtyping and typing, which say why.
"""

import ast
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import is_dataclass
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import Parameter, isclass, isgeneratorfunction, signature
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol, get_args, get_type_hints

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, _array_types
from jaxtyping._storage import get_shape_memo, pop_shape_memo, push_shape_memo

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""Where a float is asked for, an int will do (PEP 484)."""


def checked(it: Any) -> Any:
    """A function that checks its calls, or a dataclass that checks how it is made."""
    if isclass(it):
        own = vars(it).get("__init__")
        if is_dataclass(it) and isinstance(own, FunctionType):
            it.__init__ = _function(own)
        return it
    if isinstance(it, classmethod | staticmethod):
        return type(it)(_function(it.__func__))
    return _function(it) if isinstance(it, FunctionType) else it


def _function(function: FunctionType) -> Callable[..., Any]:
    hints = {name: _hint(one, function) for name, one in function.__annotations__.items()}
    function.__annotations__ = hints
    if not any(map(_speaks_of_arrays, hints.values())):
        return _beartype(function)
    inner = _beartype(function)
    if isgeneratorfunction(function):
        # A generator works in pieces, between which other calls name their axes: what it is given
        # is checked when it is called, what it yields is not.
        arguments, inner = _beartype(_arguments(function)), function

    @wraps(function)
    def with_axes(*args: Any, **kwargs: Any) -> Any:
        push_shape_memo({})
        try:
            if inner is function:
                arguments(*args, **kwargs)
            return inner(*args, **kwargs)
        finally:
            pop_shape_memo()

    return with_axes


def _arguments(function: FunctionType) -> FunctionType:
    """A function that takes the same and does nothing."""
    marks = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
    said, kinds = [], signature(function).parameters.values()
    for one, before in zip(kinds, [None, *kinds], strict=False):
        alone = one.kind is Parameter.KEYWORD_ONLY and (
            before is None or before.kind not in (Parameter.KEYWORD_ONLY, Parameter.VAR_POSITIONAL)
        )
        default = "" if one.default is Parameter.empty else "=None"
        said.append(f"{'*, ' if alone else ''}{marks.get(one.kind, '')}{one.name}{default}")
    made: dict[str, Any] = {}
    exec(f"def taken({', '.join(said)}): pass", made)  # noqa: S102 - of a signature of ours
    taken: FunctionType = made["taken"]
    taken.__defaults__, taken.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    taken.__annotations__ = {k: v for k, v in function.__annotations__.items() if k != "return"}
    taken.__qualname__, taken.__module__ = function.__qualname__, function.__module__
    return taken


def _hint(annotation: Any, function: FunctionType) -> Any:
    """An annotation with its strings read; Any where their names are for type checkers alone."""

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    try:
        return get_type_hints(holder, function.__globals__, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError):
        return Any


def _speaks_of_arrays(hint: Any) -> bool:
    if isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(map(_speaks_of_arrays, get_args(hint)))


_Array, _Interface = type(AbstractArray), type(Protocol)
_slow_array, _slow_interface = _Array.__instancecheck__, _Interface.__instancecheck__
_axes: dict[Any, tuple[str | int | None, ...] | None] = {}
_dtypes: set[tuple[Any, type, Any]] = set()
_kinds: set[tuple[type, type]] = set()


def _fits(cls: Any, array: Any) -> bool:
    """Whether an array has the dtype and the shape of an annotation, and binds its axes' names."""
    known = (cls, type(array), getattr(array, "dtype", None))
    if known not in _dtypes:
        found = _slow_array(cls, array)
        if found and _axes_of(cls) is not None:
            _dtypes.add(known)
        return found
    axes, memo, shape = _axes[cls], get_shape_memo()[0], array.shape
    if len(axes) != len(shape):
        return _slow_array(cls, array)
    fresh = {}
    for axis, size in zip(axes, shape, strict=True):
        wanted = fresh.get(axis, memo.get(axis)) if isinstance(axis, str) else axis
        if wanted is None:
            if axis is not None:
                fresh[axis] = size
        elif wanted != size:
            return _slow_array(cls, array)
    memo.update(fresh)
    return True


def _axes_of(cls: Any) -> tuple[str | int | None, ...] | None:
    """The names and sizes of an annotation's axes, None for any; None where it has other kinds."""
    if cls not in _axes:
        named, fixed = _array_types._NamedDim, _array_types._FixedDim
        found: list[str | int | None] = []
        for dim in cls.dims if getattr(cls, "index_variadic", 0) is None else ():
            plain = not getattr(dim, "broadcastable", False) and not getattr(dim, "treepath", False)
            if dim is _array_types._anonymous_dim:
                found.append(None)
            elif plain and type(dim) in (named, fixed):
                found.append(dim.name if type(dim) is named else dim.size)
        whole = getattr(cls, "index_variadic", 0) is None and len(found) == len(cls.dims)
        _axes[cls] = tuple(found) if whole else None
    return _axes[cls]


def _is_one(cls: Any, value: Any) -> bool:
    """Whether a value has what a protocol of ours asks for: told once for every class of values."""
    known = (cls, type(value))
    if known in _kinds:
        return True
    found = _slow_interface(cls, value)
    if found and cls.__module__.startswith("headscribe.") and cls._is_protocol:
        _kinds.add(known)
    return found


class _Decorating(ast.NodeTransformer):
    """Puts `checked` innermost on every function and outermost on every class of a module."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list.append(self._decorator(node))
        return node  # what is defined within stays as it is

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list.insert(0, self._decorator(node))
        self.generic_visit(node)
        return node

    def _decorator(self, node: ast.AST) -> ast.expr:
        return ast.copy_location(ast.Name("__checked__", ast.Load()), node)


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = _Decorating().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__checked__ = checked
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def __init__(self, modules: Collection[str]) -> None:
        self._modules = frozenset(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install(modules: Collection[str]) -> None:
    """Check every call of these modules, which nobody may have imported yet."""
    early = sorted(set(modules) & set(sys.modules))
    assert not early, f"imported before the hook: {early}"
    sys.meta_path.insert(0, _Finder(modules))
    _Array.__instancecheck__, _Interface.__instancecheck__ = _fits, _is_one
