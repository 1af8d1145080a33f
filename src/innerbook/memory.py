"""What is kept on disk: results of long computations, descents that were cut off, whole files."""

import functools
import hashlib
import inspect
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from filelock import FileLock
from IPython import get_ipython
from IPython.display import DisplayHandle

from innerbook import fingerprint, settings

Arrays = dict[str, np.ndarray]
_P = ParamSpec("_P")
_T = TypeVar("_T")
# How a page's outputs tell the build what was read from disk.
MIME = "application/vnd.innerview.kept+json"
# A descent's state is written each time that so much time has passed.
PIECE_SECONDS = 60.0


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` if the writing succeeds.

    A reader of `path` sees the old file or the new one, never a half. On an error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The temporary name keeps the ending, which some writers insist on.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Note:
    """A line below the running cell, in place of the one before. Outside a notebook there is nothing to see."""

    def __init__(self) -> None:
        self._handle, self._shown = DisplayHandle(), False

    @property
    def seen(self) -> bool:
        """Whether this runs in a notebook."""
        return hasattr(get_ipython(), "kernel")

    def say(self, text: str, saved: Mapping[str, float] | None = None) -> None:
        """Show a line.

        Args:
            text: the line.
            saved: for the build, of each kept result by its name the seconds that reading it has saved. The build
                leaves a line with it, be it empty, out of the page.
        """
        if self.seen:
            show = self._handle.update if self._shown else self._handle.display
            show({"text/plain": text} | ({} if saved is None else {MIME: dict(saved)}), raw=True)
            self._shown = True


@dataclass(frozen=True)
class Kept:
    """A result that is on disk.

    Attributes:
        name: that of its file, without an ending.
        result: what the function returned, now or before.
        seconds: how long that took.
        read: true if it was read from disk, false if it was computed now.
        waited: for how many seconds another process was computing it meanwhile.
    """

    name: str
    result: Any
    seconds: float
    read: bool
    waited: float = 0.0

    @property
    def saved(self) -> dict[str, float]:
        """The seconds of computing that reading has saved, by the result's name, for `Note.say`."""
        return {self.name: max(0.0, self.seconds - self.waited) if self.read else 0.0}


def cached(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return a function that does what `function` does, or reads from disk what it did before with such arguments.

    What bears on the result is in its key: the arguments, by their values; the function's module with all modules of
    ours that it imports; the versions of Python, Keras and its backend. See `innerbook.fingerprint`.

    Also what the call changed comes back: the weights of Keras models among its arguments (also in lists), and the
    history of callbacks that have a `restore`. If the function takes `callbacks`, it says how far it is, and what it
    had come to when it was cut off is where it goes on.

    Args:
        function: its result is an array, a number, a dataclass of arrays, or a list, tuple or dict of such. It
            prints nothing.

    Raises:
        TypeError: an argument cannot be digested, or the result not be stored.

    Example::

        history = cached(fit_ensemble)(networks, x, y, loss=loss, optimizer=optimizer, steps=1_000, batch_size=50)
    """

    @functools.wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return kept(function, *args, **kwargs).result

    return called


def kept(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Kept:
    """Do what `cached` does, and return beside the result whether it was read, and how long computing it took."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    what = getattr(function, "__name__", type(function).__name__).strip("<>")  # which no file's name may hold
    path = settings.current().data_folder / "results" / f"{what}-{_key(function, bound.arguments)}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    note, asked = Note(), time.monotonic()
    with FileLock(path.with_suffix(".lock")):  # a second process that wants the same waits for the first
        waited = time.monotonic() - asked
        found = read_arrays(path)
        read = found is not None
        if found is None:
            found = _computed(function, bound, path, lambda text: note.say(f"{what}: {text}"))
    _give_back(bound.arguments, found)
    one = Kept(path.stem, _unpacked(found), float(found["seconds"]), read, waited)
    note.say(f"{what}: {'read from disk' if read else 'computed now'}, {one.seconds:.0f} s of computing.", one.saved)
    return one


def _key(function: Any, arguments: dict[str, Any]) -> str:
    keras = sys.modules.get("keras")
    around: list[Any] = [list(sys.version_info[:2]), np.__version__]
    if keras is not None and "keras" in fingerprint.libraries(function):
        backend, config = keras.backend.backend(), keras.config
        around += [backend, sys.modules[backend].__version__, settings.onednn() if backend == "tensorflow" else ""]
        around += [config.floatx(), config.dtype_policy(), config.image_data_format(), config.epsilon()]
    if not fingerprint.is_ours(function):  # a page's function may ask for its scale, its seeds and the data
        around += [settings.current().scale, settings.current().first_seed]
        around += [data.available() for name, data in sys.modules.items() if name == "innerbook.data"]
    return fingerprint.of_values(function, arguments, around)[:24]


def _computed(function: Any, bound: inspect.BoundArguments, path: Path, say: Callable[[str], None]) -> Arrays:
    pieces = path.with_suffix("")
    models, digests = _models(bound.arguments), [_digest(m) for m in _models(bound.arguments)]
    began = time.monotonic()
    if "callbacks" in bound.arguments:
        from innerbook.progress import Progress, Resume

        own = list(bound.arguments["callbacks"] or ())
        bound.arguments["callbacks"] = [*own, Progress(say), Resume(pieces)]
        try:
            result = function(*bound.args, **bound.kwargs)
        finally:
            bound.arguments["callbacks"] = own
    else:
        result = function(*bound.args, **bound.kwargs)
    found = _packed("result", result)
    for i, (model, before) in enumerate(zip(models, digests, strict=True)):
        if _digest(model) != before:
            found |= {f"model {i} {j}": np.array(v) for j, v in enumerate(model.variables)}
    for i, callback in enumerate(_restorable(bound.arguments)):
        found |= {f"callback {i} {name}": values for name, values in callback.history.items()}
    found["seconds"] = np.array(time.monotonic() - began)
    write_arrays(path, found)
    for piece in pieces.parent.glob(f"{pieces.name}.piece-*.npz"):
        piece.unlink(missing_ok=True)
    return found


def _give_back(arguments: dict[str, Any], found: Arrays) -> None:
    for i, model in enumerate(_models(arguments)):
        for j, variable in enumerate(model.variables):
            if f"model {i} {j}" in found:
                variable.assign(found[f"model {i} {j}"])
    for i, callback in enumerate(_restorable(arguments)):
        start = f"callback {i} "
        callback.restore({n[len(start) :]: values for n, values in found.items() if n.startswith(start)})


def _models(arguments: dict[str, Any]) -> list[Any]:
    keras = sys.modules.get("keras")
    if keras is None:  # what is not imported cannot have made a model
        return []
    found: list[Any] = []
    for value in arguments.values():
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        found += [each for each in several if isinstance(each, keras.Model) and not any(each is m for m in found)]
    return found


def _restorable(arguments: dict[str, Any]) -> list[Any]:
    return [each for each in arguments.get("callbacks") or () if hasattr(each, "restore")]


def _digest(model: Any) -> str:
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(np.array(variable)).data)
    return digest.hexdigest()


def _packed(name: str, value: Any) -> Arrays:
    """Lay a result out as named arrays; how it was nested is told by a plan in JSON."""
    arrays: Arrays = {}

    def plan(value: Any) -> Any:
        if value is None:
            return {"none": 0}
        if is_dataclass(value) and not isinstance(value, type):
            kind = f"{type(value).__module__}:{type(value).__qualname__}"
            return {"dataclass": kind, "of": {f.name: plan(getattr(value, f.name)) for f in fields(value)}}
        if isinstance(value, dict):
            return {"dict": {str(k): plan(v) for k, v in value.items()}}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [plan(v) for v in value]}
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError(f"expected a result of arrays and numbers; received {type(value).__name__}")
        arrays[f"{name} {len(arrays)}"] = array
        return f"{name} {len(arrays) - 1}"

    told = json.dumps(plan(value))
    return {**arrays, "plan": np.array(told)}


def _unpacked(found: Arrays) -> Any:
    def made(plan: Any) -> Any:
        if isinstance(plan, str):
            return found[plan]
        ((kind, of), *more) = plan.items()
        if kind == "dataclass":
            module, name = of.split(":")
            return getattr(sys.modules[module], name)(**{k: made(v) for k, v in more[0][1].items()})
        if kind == "dict":
            return {k: made(v) for k, v in of.items()}
        return None if kind == "none" else {"list": list, "tuple": tuple}[kind](made(v) for v in of)

    return made(json.loads(str(found["plan"])))


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write named arrays to an ``.npz`` file, whole or not at all."""
    with atomic_write(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> Arrays | None:
    """Return the named arrays of a file, or None if there is none, or a broken one, of which a line is printed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    with suppress(zipfile.BadZipFile, ValueError, EOFError, KeyError, OSError), np.load(io.BytesIO(content)) as file:
        return {name: file[name] for name in file.files}  # each member has a checksum
    print(f"{path} is broken, and computed anew.")
    return None
