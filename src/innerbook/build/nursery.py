"""Kernels as copies of one process that has imported what the pages import: six seconds less a page.

Importing Keras with TensorFlow takes longer than some pages do. It starts no threads, so a process can be copied after
it (`os.fork`), on Linux. Elsewhere each kernel imports for itself.
"""

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from innerbook import fingerprint

_SERVE = "from innerbook.build import nursery; nursery.serve()"


def shared_imports(codes: Iterable[str]) -> list[str]:
    """Return the modules that more than one of these pieces of Python code imports, by name, in alphabetical order."""
    counts: Counter[str] = Counter()
    for code in codes:
        found = fingerprint.imports(code)
        # Of a package also what may be its modules: from innerbook import zoo.
        counts.update({module for module, _ in found} | {f"{module}.{name}" for module, name in found if name})
    return sorted(name for name, count in counts.items() if count > 1)


@dataclass
class Kernels:
    """How the pages' kernels are started.

    Attributes:
        manager: the class of their managers, for `nbclient.NotebookClient`.
        seconds: how long the imports took that no kernel repeats.
        warned: what Python warned of while it imported, a line each.
    """

    manager: type[AsyncKernelManager] = AsyncKernelManager
    seconds: float = 0
    warned: list[str] = field(default_factory=list)


@contextmanager
def opened(codes: Iterable[str]) -> Iterator[Kernels]:
    """Give what starts kernels for pages with these pieces of code; no kernel outlives the context."""
    if sys.platform != "linux":
        yield Kernels()
        return
    nursery = _Nursery()
    try:
        seconds, warned = nursery.ask(shared_imports(codes))
        yield Kernels(nursery.manager, seconds, warned)
    finally:
        nursery.close()


class _Nursery:
    """The process that has imported modules, and makes kernels by copying itself."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-c", _SERVE]
        self._server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # TensorFlow's remarks
            text=True,
            start_new_session=True,  # Ctrl+C is the build's business
        )

    def close(self) -> None:
        """End the process, and with it what kernels are left."""
        self._server.communicate()

    def ask(self, request: Any) -> Any:
        """Send the process a line, and return its answer.

        Raises:
            RuntimeError: it has ended.
        """
        assert self._server.stdin is not None and self._server.stdout is not None
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self._server.stdin, flush=True)
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError("the process that starts the pages' kernels has ended")
        return json.loads(answer)

    def kernel(self, command: list[str], folder: str, environment: dict[str, str]) -> "_Copy":
        """Start a kernel by its usual command in a folder, and return its process."""
        return _Copy(self.ask([command, folder, environment]))

    @property
    def manager(self) -> type[AsyncKernelManager]:
        """The class of managers whose kernels this process starts."""
        nursery = self

        class Manager(AsyncKernelManager):
            async def _async_pre_start_kernel(self, **options: Any) -> Any:
                self.provisioner = _Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
                self.provisioner.nursery = nursery
                return await super()._async_pre_start_kernel(**options)

            pre_start_kernel = _async_pre_start_kernel

        return Manager


class _Provisioner(LocalProvisioner):
    nursery: _Nursery

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        copy = self.nursery.kernel(cmd, str(options["cwd"]), dict(options["env"]))
        self.process = cast("subprocess.Popen[Any]", copy)
        self.pid = self.pgid = copy.pid
        return self.connection_info


class _Copy:
    """A kernel's process, as `subprocess.Popen` describes one; the nursery is its parent."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int):
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0  # how it ended only its parent could know
        return None

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.02)
        return 0

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def serve() -> None:
    """Import what the first line of the standard input names, then start a kernel for each line that follows.

    The first answer, on the standard output, holds the seconds and the warnings of the imports; each later one the
    kernel's process.
    """
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # kernels end when this process does; read while importing
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernels that ended leave nothing behind
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what imports print is no answer
    start = time.perf_counter()
    warned: list[str] = []
    show = warnings.showwarning  # the filters that a library sets stay
    warnings.showwarning = lambda message, kind, *place: warned.append(f"{kind.__name__}: {message}")
    _import(["ipykernel.kernelapp", *json.loads(sys.stdin.readline())])
    warnings.showwarning = show
    print(json.dumps([time.perf_counter() - start, warned]), file=answers, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _become_kernel(*json.loads(line))
        with suppress(OSError):  # the kernel may have done so itself
            os.setpgid(pid, pid)
        print(pid, file=answers, flush=True)


def _import(names: list[str]) -> None:
    for name in names:
        with suppress(Exception):  # no module, or one that fails: then it fails on its page, and is told there
            if importlib.util.find_spec(name):
                importlib.import_module(name)


def _become_kernel(command: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    with suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(folder)
    os.environ.update(environment, JPY_PARENT_PID=str(os.getppid()))
    from ipykernel import kernelapp

    try:
        sys.argv = command[command.index("-f") - 1 :]
        kernelapp.launch_new_instance(argv=sys.argv[1:])
    finally:
        os._exit(0)
