"""The one rule for what is up to date: a digest of everything that bears on a result.

The digest of a module is that of its code, without docstrings and comments, and of all modules of innerview and
innerbook that it imports. Pages (in `innerbook.build`) and results on disk (in `innerbook.memory`) both use it, so a
fix in any layer, loss, callback or constraint makes what hangs on it run again, and a better sentence in a docstring
does not.
"""

import ast
import dataclasses
import dis
import functools
import hashlib
import inspect
import json
import re
import sys
import textwrap
import types
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

OWN = ("innerview", "innerbook")


@functools.cache
def of_code(code: str) -> str:
    """Return a digest of Python code, without its docstrings, comments and layout."""
    return _hexdigest(ast.dump(_without_docstrings(ast.parse(code))))


def of_modules(names: Iterable[str]) -> str:
    """Return a digest of named modules, such as ``"innerview.training"``, and of all of ours that they import.

    The versions of the libraries that they import count, too.
    """
    ours = sorted(closure(names))
    code = [part for name in ours for part in (name, _of_file(_path(name)))]
    return _hexdigest(*code, *(f"{library} {_version(library)}" for library in sorted(_libraries(ours))))


def libraries(function: Any) -> set[str]:
    """Return the libraries that a function's module imports, directly or through modules of ours."""
    if is_ours(function):
        return _libraries(closure([_written_in(function)]))
    return {name.split(".")[0] for name in sys.modules}  # a page may use whatever is loaded


def is_ours(function: Any) -> bool:
    """Say whether a function is one of innerview or innerbook, and not a page's."""
    return _written_in(function).split(".")[0] in OWN


def _libraries(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        path = _path(name)
        assert path is not None
        found |= {module.split(".")[0] for module, _ in imports(path.read_text(encoding="utf-8"))}
    return found - set(OWN) - set(sys.stdlib_module_names)


def closure(names: Iterable[str]) -> set[str]:
    """Return the named modules of ours, and all of ours that they import, directly or through another."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name not in found and path is not None:
            found.add(name)
            waiting |= imported_by(path.read_text(encoding="utf-8"))
    return found


def imported_by(code: str) -> set[str]:
    """Return the modules of ours that code imports, by their full names.

    A name that is imported from a package's face counts as its own module, not as the whole package.
    """
    ours = [(module, name) for module, name in imports(code) if module.split(".")[0] in OWN]
    return {_home(module, name) if name else module for module, name in ours}


# By the text, not the file: each page asks for the same twenty-five modules, and parsing one takes a while.
@functools.cache
def imports(code: str) -> frozenset[tuple[str, str]]:
    """Return what code imports, as pairs of a module and a name in it; the name is ``""`` for the module itself."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(node.module, alias.name) for alias in node.names}
    return frozenset(found)


def _home(module: str, name: str) -> str:
    """Return the module that defines a name which is imported from `module`."""
    if _path(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    path = _path(module)
    if path is not None and path.name == "__init__.py":
        for origin, own in imports(path.read_text(encoding="utf-8")):
            if own == name:
                return _home(origin, name)
    return module


@functools.cache
def _package_folder(package: str) -> Path | None:
    # Found without importing it, so that a key costs no import of Keras.
    spec = find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _path(module: str) -> Path | None:
    package, *parts = module.split(".")
    folder = _package_folder(package) if package in OWN else None
    if folder is None:
        return None
    place = folder.joinpath(*parts)
    candidates = (place.with_suffix(".py"), place / "__init__.py") if parts else (place / "__init__.py",)
    return next((path for path in candidates if path.is_file()), None)


def _of_file(path: Path | None) -> str:
    assert path is not None
    text = path.read_text(encoding="utf-8")
    # What lies beside a package's code and is no Python, such as a view's script, is part of what it does.
    beside = sorted(p for p in path.parent.iterdir() if p.suffix in (".js", ".html", ".css"))
    if path.name != "__init__.py":
        beside = []
    return _hexdigest(of_code(text), *(_hexdigest(p.name, p.read_text(encoding="utf-8")) for p in beside))


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def of_values(*values: Any) -> str:
    """Return a digest of values: numbers, text, arrays, Keras models and other Keras objects, functions, classes.

    Functions and classes of ours count with their modules; those of a library, with the library's version; those of a
    page, with their code, defaults, closures, attributes, and the globals and modules that they read. Objects count
    with what they hold.

    Raises:
        TypeError: a value cannot be digested. It is never left out.
    """
    return _hexdigest(*(json.dumps(_told(value, ()), sort_keys=True) for value in values))


def _told(value: Any, inside: tuple[int, ...]) -> Any:
    """Turn a value into JSON that tells all of it; `inside` are those that it is part of, by identity."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | complex | bytes | np.generic | np.dtype | slice | range | Path | types.EllipsisType):
        return [type(value).__name__, repr(value)]
    if id(value) in inside:
        return "itself"
    inside = (*inside, id(value))
    if isinstance(value, np.ma.MaskedArray):
        return ["masked", _told([value.data, np.ma.getmaskarray(value)], inside)]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError(f"expected arrays of numbers or text; received one of Python objects, {value.dtype}")
        return ["array", list(value.shape), str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return ["mapping", [[_told(key, inside), _told(each, inside)] for key, each in value.items()]]
    if isinstance(value, Set):
        return ["set", sorted(json.dumps(_told(each, inside)) for each in value)]
    if isinstance(value, tuple):  # which NumPy, for one, takes for another thing than a list
        return ["tuple", _told(type(value), inside), [_told(each, inside) for each in value]]
    if isinstance(value, Sequence):
        return ["sequence", [_told(each, inside) for each in value]]
    return _told_code_or_object(value, inside)


def _told_code_or_object(value: Any, inside: tuple[int, ...]) -> Any:
    if isinstance(value, type):
        return ["class", _told_code(value, inside)]
    if isinstance(value, property):
        return ["property", _told([value.fget, value.fset, value.fdel], inside)]
    if isinstance(value, classmethod | staticmethod):
        return [type(value).__name__, _told(value.__func__, inside)]
    if isinstance(value, types.ModuleType):
        return ["module", _told_module(value.__name__)]
    if isinstance(value, functools.partial):
        return ["partial", _told([value.func, value.args, value.keywords], inside)]
    if isinstance(value, types.MethodType):
        return ["method", _told([value.__func__, value.__self__], inside)]
    if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, types.ModuleType | None):
        return ["method", value.__name__, _told(value.__self__, inside)]  # of a dict, say
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        return ["function", _told_code(value, inside)]
    return _told_object(value, inside)


def _told_object(value: Any, inside: tuple[int, ...]) -> Any:
    keras = sys.modules.get("keras")  # what is not imported cannot have made the value
    if keras is not None:
        if isinstance(value, keras.Model):
            return ["model", _told_model(value, inside)]
        if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
            return ["tensor", _told(np.asarray(keras.ops.convert_to_numpy(value)), inside)]
    kind = _told_code(type(value), inside)
    if keras is not None and hasattr(value, "get_config"):
        own = [each for each in vars(value).values() if isinstance(each, keras.Variable)]
        variables = [np.array(each) for each in getattr(value, "variables", own)]
        config = _nameless(_config(value), type(value).__name__, {})
        return ["object", kind, *(_told(part, inside) for part in (config, variables, _unsaid(value)))]
    if hasattr(value, "__dict__"):
        return ["object", kind, _told(vars(value), inside)]
    if dataclasses.is_dataclass(value):  # with slots
        return ["object", kind, _told({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, inside)]
    raise TypeError(f"expected something that can be digested; received {type(value).__name__}: {value!r}")


def _config(value: Any) -> Any:
    try:
        return value.get_config()
    except NotImplementedError as error:
        raise TypeError(f"expected a Keras object that tells its settings; {error}") from error


def _unsaid(value: Any) -> dict[str, Any]:
    """What a Keras object's settings only name, or leave out.

    That is code of ours or of a page, such as an activation; and of a page's class, the attributes that its code names.
    """
    pages = [kind for kind in type(value).__mro__ if not _is_known(kind.__module__)]
    parts = [part for kind in pages for part in vars(kind).values()]
    functions = [getattr(part, "fget", getattr(part, "__func__", part)) for part in parts]
    named = set().union(*(_names(f.__code__, None) for f in functions if isinstance(f, types.FunctionType)))
    return {
        name: each
        for name, each in vars(value).items()
        if (name in named and name != "name")
        or not _is_library(_written_in(each if isinstance(each, types.FunctionType) else type(each)))
    }


def _told_model(model: Any, inside: tuple[int, ...]) -> Any:
    """A model is known by its layers' settings and code, how they are connected, and its weights."""
    layers = list(model._flatten_layers(include_self=False))
    steps = [step for part in (model, *layers) for step in (part, *getattr(part, "operations", ()))]
    names: dict[str, str] = {}
    for step in steps:
        if _is_automatic(step.name, type(step).__name__):
            names.setdefault(step.name, f"layer {len(names)}")
    kinds = sorted({json.dumps(_told_code(type(layer), inside)) for layer in layers})
    unsaid = [_unsaid(layer) for layer in layers]
    weights = [np.array(variable) for variable in model.variables]
    parts = [_nameless(_config(model), type(model).__name__, names), weights, unsaid]
    return [type(model).__name__, kinds, *(_told(part, inside) for part in parts)]


def _is_automatic(name: Any, kind: str) -> bool:
    """Keras numbers the names that nobody gave as they come, in each process anew: ``dense``, ``dense_1``."""
    snake = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W", "", kind))).lower()
    return isinstance(name, str) and re.fullmatch(rf"{snake}(_\d+)?", name) is not None


def _nameless(config: Any, kind: str, names: dict[str, str]) -> Any:
    """Return the settings of an object of this kind, with `names` for the automatic names inside, and without its own.

    How weights were drawn no longer matters once they are there.
    """
    if isinstance(config, list | tuple):
        return [_nameless(each, "", names) for each in config]
    if not isinstance(config, Mapping):
        return names.get(config, config) if isinstance(config, str) else config
    inner = str(config.get("class_name", ""))
    return {
        key: _nameless(each, inner if key == "config" else "", names)
        for key, each in config.items()
        if key not in ("build_config", "shared_object_id")
        and not key.endswith("_initializer")
        and not (key == "name" and each not in names and _is_automatic(each, kind))
    }


def _told_module(name: str) -> list[str]:
    package = name.split(".")[0]
    return [name, of_modules([name]) if package in OWN else _version(package)]


@functools.cache
def _version(package: str) -> str:
    if package in sys.stdlib_module_names:
        return f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    try:
        return version(packages_by_module().get(package, [package])[0])
    except PackageNotFoundError as error:
        raise TypeError(
            f"expected code of a library with a version, or of a page; received module {package!r}"
        ) from error


def _written_in(value: Any) -> str:
    """Return the module of a function or class; what a function says of itself, a decorator may have copied."""
    own = value.__globals__.get("__name__", "__main__") if isinstance(value, types.FunctionType) else None
    return own or getattr(value, "__module__", None) or "builtins"


def _told_code(value: Any, inside: tuple[int, ...]) -> Any:
    written, module = _written_in(value), getattr(value, "__module__", None) or "builtins"
    name = getattr(value, "__qualname__", getattr(value, "__name__", repr(value)))
    # What is defined on a page, in a test or a script has no version: its own code tells.
    if "<" not in name and "(vectorized)" not in name and _is_known(written) and _is_known(module):
        return [*_told_module(module), name, *(_told_module(written) if written != module else [])]
    if isinstance(value, type):
        bases = [_told_code(base, inside) for base in value.__bases__]
        return [name, bases, _told({k: v for k, v in vars(value).items() if _is_own(k, v)}, inside)]
    if isinstance(value, types.FunctionType):
        return [name, _told_function(value, inside)]
    raise TypeError(f"expected a function or class with code in Python; received {value!r}")


# What Python writes into each class. A dataclass' generated methods tell what its fields are.
_OF_EACH_CLASS = ("__doc__", "__dict__", "__weakref__", "__module__", "__annotations__", "__firstlineno__",
                  "__static_attributes__", "__abstractmethods__", "_abc_impl", "__parameters__",
                  "__dataclass_fields__", "__dataclass_params__")  # fmt: skip


def _is_own(name: str, value: Any) -> bool:
    slot = isinstance(value, types.MemberDescriptorType) or type(value).__name__ == "_tuplegetter"
    return not slot and name not in _OF_EACH_CLASS


def _is_known(module: str) -> bool:
    """Say whether a module is of ours or of a library."""
    return module.split(".")[0] in OWN or _is_library(module)


def _is_library(module: str) -> bool:
    package = module.split(".")[0]
    return package not in ("__main__", *OWN) and (package in sys.stdlib_module_names or package in packages_by_module())


@functools.cache
def packages_by_module() -> Mapping[str, list[str]]:
    """Return which distributions hold a module; read once, for it takes a while."""
    return packages_distributions()


def _told_function(function: types.FunctionType, inside: tuple[int, ...]) -> Any:
    """The code, the defaults, the closure, the attributes, and those globals and modules that the code names."""
    code = function.__code__
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    named = sorted(_names(code, ("LOAD_GLOBAL", "LOAD_NAME")))
    read = {name: function.__globals__[name] for name in named if name in function.__globals__}
    attributes = {name: each for name, each in vars(function).items() if name != "__wrapped__"}  # which the closure has
    parts = [function.__defaults__, function.__kwdefaults__, cells, read, attributes]
    imported = [_told_module(name) for name in sorted(_names(code, ("IMPORT_NAME",)))]
    return [_code_text(function), [_told(part, inside) for part in parts], imported]


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _names(code: types.CodeType, by: tuple[str, ...] | None) -> set[str]:
    """The names in code, also in functions inside it: those that these instructions take, or all."""
    own = set(code.co_names) if by is None else {e.argval for e in dis.get_instructions(code) if e.opname in by}
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return own.union(*(_names(each, by) for each in inner))


def _code_text(function: types.FunctionType) -> str:
    if function.__code__.co_name != "<lambda>":  # whose source is whatever stands on its first line
        with suppress(OSError, SyntaxError, TypeError):  # typed at a prompt, say
            # Of the code, for of a decorated function Python gives the source of the one inside.
            return of_code(textwrap.dedent(inspect.getsource(function.__code__)))
    return _bytecode(function.__code__)


def _bytecode(code: types.CodeType) -> str:
    constants = [_bytecode(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return _hexdigest(code.co_code.hex(), repr(code.co_names), repr(code.co_varnames), *constants)


def _hexdigest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} ".encode() + part.encode())
    return digest.hexdigest()
