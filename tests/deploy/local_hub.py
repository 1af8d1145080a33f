"""A real JupyterHub on this machine's loopback address, students who work on it, and what they take of the machine.

`running` starts the hub and leaves nothing behind, `Student` does what a browser would, `Meter` reads ``/proc``.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import jupytext
import nbformat
from filelock import FileLock
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

ROOT = Path(__file__).parents[2]
START = ROOT / "deploy" / "start"
PROXY = ROOT / "deploy" / "proxy"
COURSE = "course"  # the repository's name, and so that of the folder in each home
_TICKS, _MB = 100, 1024.0  # in which Linux tells a process's time, in a second, and its memory
_T = TypeVar("_T")

CONFIG = """\
c = get_config()
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_bind_url = {inner!r}
c.ConfigurableHTTPProxy.api_url = {api!r}
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.db_url = {database!r}
c.JupyterHub.cookie_secret_file = {cookie!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r}
c.Spawner.cmd = ["sh", {start!r}]
c.Spawner.args = {arguments!r}
c.Spawner.environment = {environment!r}
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
"""


# -- the hub


@dataclass(frozen=True)
class Hub:
    """A hub that runs.

    Attributes:
        url: its address, such as ``http://127.0.0.1:45123``.
        password: which everyone has.
        homes: the folder of the students' homes, by their names.
        mark: what the environment of each of its processes holds.
    """

    url: str
    password: str
    homes: Path
    mark: str

    def pids(self, student: str = "") -> list[int]:
        """Return the processes of the hub, or those of one student's server, with its kernels."""
        wanted = {self.mark} | ({f"JUPYTERHUB_USER={student}"} if student else set())
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # a process may end, or be somebody else's
                if wanted <= set((folder / "environ").read_bytes().decode(errors="replace").split("\0")):
                    found.append(int(folder.name))
        return found


@contextmanager
def running(folder: Path, shared: Path, longest: int = 300) -> Iterator[Hub]:
    """Start a hub whose students have their homes in `folder`, and end all of its processes afterwards.

    Args:
        folder: keeps the homes, the hub's files and its log.
        shared: what the course shares, for ``deploy/start``.
        longest: the seconds that the hub lives, whatever happens to whoever started it.

    Raises:
        TimeoutError: the hub does not answer within a minute; its log is in the message.
    """
    public, inner, api = (f"http://127.0.0.1:{port}" for port in _free_ports(3))
    mark, password = f"INNERVIEW_TEST_HUB={uuid.uuid4().hex}", secrets.token_urlsafe(12)
    name, value = mark.split("=")
    (folder / "homes").mkdir(parents=True, exist_ok=True)
    config = folder / "jupyterhub_config.py"
    config.write_text(
        CONFIG.format(
            url=public,
            inner=inner,
            api=api,
            proxy=[shutil.which("node"), str(proxy())],
            database=f"sqlite:///{folder / 'hub.sqlite'}",
            cookie=str(folder / "cookie"),
            password=password,
            homes=str(folder / "homes" / "{username}"),
            start=str(START),
            arguments=["--allow-root"],
            environment={name: value, "INNERVIEW_SHARED": str(shared), "TF_CPP_MIN_LOG_LEVEL": "3"},
        ),
        encoding="utf-8",
    )
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("JUPYTER", "PYTEST", "INNERVIEW", "COVERAGE"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    log = folder / "hub.log"
    # By `timeout`, so that the hub also ends if this process is killed; it then takes its servers and its proxy along.
    command = ["timeout", str(longest), sys.executable, "-m", "jupyterhub", "--config", str(config)]
    hub = Hub(public, password, folder / "homes", mark)
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, cwd=folder, env={**kept, "PATH": path, name: value}, stdout=written, stderr=subprocess.STDOUT
        )
    try:
        try:
            wait_for(lambda: process.poll() is not None or _answers(f"{public}/hub/health"), 60, "the hub")
            if process.poll() is not None:
                raise TimeoutError("the hub ended")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its log:\n{log.read_text(errors='replace')[-4000:]}") from None
        yield hub
    finally:
        _end(process, hub)


def proxy() -> Path:
    """Return npm's configurable-http-proxy, which is fetched once, into ``_build``, as ``deploy/proxy`` locks it.

    Raises:
        FileNotFoundError: there is no npm.
        subprocess.CalledProcessError: npm could not fetch it.
    """
    folder, files = ROOT / "_build" / "proxy", ("package.json", "package-lock.json")
    program = folder / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        fresh = all((folder / n).exists() and (folder / n).read_bytes() == (PROXY / n).read_bytes() for n in files)
        if fresh and program.exists():
            return program
        npm = shutil.which("npm")
        if npm is None:
            raise FileNotFoundError("the npm client is not installed")
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        for name in files:
            shutil.copy(PROXY / name, folder / name)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return program


def _end(process: "subprocess.Popen[bytes]", hub: Hub) -> None:
    """Ask the hub to end, which ends its servers and its proxy; after 20 seconds, end each process that is left."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for left in hub.pids():
        with suppress(ProcessLookupError):
            os.kill(left, 9)
    process.wait(10)
    wait_for(lambda: not hub.pids(), 10, "the end of the hub's processes")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url, timeout=5).status_code == 200
    return False


def wait_for(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not, after so many seconds.
    """
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.3)


# -- a student


class Student:
    """What a student does in a browser, over HTTP: log in, start a server, pull the course, run cells, save."""

    def __init__(self, hub: Hub, name: str):
        self.hub, self.name = hub, name
        self.browser = httpx.Client(base_url=hub.url, follow_redirects=True, timeout=180)  # keeps cookies
        self.api = httpx.Client(base_url=hub.url, timeout=180)

    def close(self) -> None:
        """Close the connections."""
        self.browser.close()
        self.api.close()

    def log_in(self, password: str) -> bool:
        """Log in by the form, and say whether the hub let the student in; then get a token for the rest."""
        self.browser.get("/hub/login")
        form = {"username": self.name, "password": password, "_xsrf": self._xsrf()}
        answer = self.browser.post("/hub/login", data=form, follow_redirects=False)
        if answer.status_code != 302:
            return False
        self.browser.get("/hub/token")  # whose cookie against forged requests goes with the login
        made = self.browser.post(
            f"/hub/api/users/{self.name}/tokens", json={"note": "test"}, headers={"X-XSRFToken": self._xsrf()}
        ).raise_for_status()
        self.api.headers["Authorization"] = f"token {made.json()['token']}"
        return True

    def _xsrf(self) -> str:
        return [c.value or "" for c in self.browser.cookies.jar if c.name == "_xsrf" and c.path.startswith("/hub")][-1]

    def start(self) -> None:
        """Start the student's server, and wait until it is ready."""
        self.api.post(f"/hub/api/users/{self.name}/server").raise_for_status()
        wait_for(lambda: bool(self._server().get("ready")), 180, f"the server of {self.name}")

    def stop(self) -> None:
        """Stop the server, and wait until none of its processes is left."""
        self.api.delete(f"/hub/api/users/{self.name}/server").raise_for_status()
        wait_for(lambda: not self._server() and not self.hub.pids(self.name), 60, f"the end of {self.name}'s server")

    def _server(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/hub/api/users/{self.name}").raise_for_status().json()
        return dict(found["servers"].get("", {}))

    def follow(self, link: str) -> httpx.Response:
        """Follow a link as a browser does, through the hub's logins."""
        return self.browser.get(link)

    def pull(self, repository: Path) -> str:
        """Pull the course with nbgitpuller, and return what git said.

        Raises:
            RuntimeError: nbgitpuller reports an error.
        """
        query = urlencode({"repo": repository.as_uri(), "branch": "main", "targetpath": COURSE})
        said = []
        with self.api.stream("GET", f"/user/{self.name}/git-pull/api?{query}") as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                told = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                said.append(told.get("output", "") or told.get("message", ""))
                if told.get("phase") == "error":
                    raise RuntimeError("\n".join(said))
        return "".join(said)

    def read(self, path: str) -> nbformat.NotebookNode:
        """Return a notebook of the course, through the contents API."""
        model = self.api.get(f"/user/{self.name}/api/contents/{COURSE}/{path}").raise_for_status().json()
        return nbformat.from_dict(model["content"])

    def save(self, path: str, notebook: nbformat.NotebookNode) -> None:
        """Save a notebook of the course, through the contents API."""
        model = {"type": "notebook", "format": "json", "content": notebook}
        self.api.put(f"/user/{self.name}/api/contents/{COURSE}/{path}", json=model).raise_for_status()

    def exists(self, path: str) -> bool:
        """Say whether the student has a file of the course."""
        return self.api.get(f"/user/{self.name}/api/contents/{COURSE}/{path}?content=0").status_code == 200

    def run(self, path: str, cells: Sequence[str], seconds: float = 120) -> list[str]:
        """Run code in a new kernel of a notebook, as JupyterLab does, and return the text that each cell gave.

        Args:
            path: of the notebook.
            cells: their code.
            seconds: the longest that one may take.

        Raises:
            RuntimeError: a cell raised; its traceback is in the message.
            TimeoutError: a cell took longer.
        """
        asked = {"path": f"{COURSE}/{path}", "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        answer = self.api.post(f"/user/{self.name}/api/sessions", json=asked).raise_for_status().json()
        kernel = f"{self.hub.url.replace('http', 'ws', 1)}/user/{self.name}/api/kernels/{answer['kernel']['id']}"
        return asyncio.run(self._run(f"{kernel}/channels", cells, seconds))

    async def _run(self, address: str, cells: Sequence[str], seconds: float) -> list[str]:
        request = HTTPRequest(address, headers=dict(self.api.headers), connect_timeout=60)
        channel, told = await websocket_connect(request), []

        async def hear() -> dict[str, Any]:
            heard = await channel.read_message()
            if heard is None:
                raise RuntimeError("the kernel's channel was closed")
            return dict(json.loads(heard))

        try:
            for code in cells:
                number, said = uuid.uuid4().hex, []
                await channel.write_message(json.dumps(_request(number, code)))
                async with asyncio.timeout(seconds):
                    while True:
                        message = await hear()
                        kind, content = message["header"]["msg_type"], message["content"]
                        if message["parent_header"].get("msg_id") != number:
                            continue
                        if kind == "error":
                            raise RuntimeError("\n".join(content["traceback"]))
                        said.append(str(content.get("text", "") or content.get("data", {}).get("text/plain", "")))
                        if kind == "status" and content["execution_state"] == "idle":
                            break
                told.append("".join(said))
        finally:
            channel.close()
            with suppress(TimeoutError):  # the server says goodbye, too, and only then is the socket closed
                async with asyncio.timeout(10):
                    while await channel.read_message() is not None:
                        pass
        return told


def _request(number: str, code: str) -> dict[str, Any]:
    header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    empty: dict[str, Any] = {"parent_header": {}, "metadata": {}, "buffers": []}
    return {"header": {**header, "date": ""}, "content": content, "channel": "shell", **empty}


def at_once(students: Sequence[Student], does: Callable[[Student], _T]) -> tuple[list[_T], list[float]]:
    """Let all students do something at the same time; return what each got, and the seconds that each took."""

    def timed(student: Student) -> tuple[_T, float]:
        began = time.monotonic()
        return does(student), time.monotonic() - began

    with ThreadPoolExecutor(len(students)) as pool:
        found = list(pool.map(timed, students))
    return [result for result, _ in found], [seconds for _, seconds in found]


# -- the course


def chapter(page: str, count: int | None = None) -> nbformat.NotebookNode:
    """Return a page of the book as a notebook, with its code up to the exercises, or only its first cells of code.

    Args:
        page: such as ``"5-inversion/undone"``.
        count: how many cells of code; all by default.
    """
    read = jupytext.read(ROOT / "book" / f"{page}.md")
    made = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for cell in read.cells:
        if cell.source.startswith("## Exercises") or (count is not None and len(codes(made)) == count):
            break
        made.cells.append(
            {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}.get(
                cell.cell_type, nbformat.v4.new_raw_cell
            )(cell.source, id=f"cell-{len(made.cells)}")
        )
    return made


def codes(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the code of a notebook's cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def publish(repository: Path, files: dict[str, nbformat.NotebookNode], message: str) -> None:
    """Commit notebooks to a bare git repository, which is made if there is none, as a teacher does.

    Args:
        repository: its folder, such as ``course.git``.
        files: the notebooks, by their paths in it.
        message: of the commit.
    """
    work = repository.with_name(f"{repository.name}-work")
    if not repository.exists():
        git(repository.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(repository))
        git(repository.parent, "init", "--quiet", "--initial-branch=main", str(work))
        git(work, "remote", "add", "origin", str(repository))
    for name, notebook in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, work / name)
    git(work, "add", "--all")
    git(work, "-c", "user.name=Teacher", "-c", "user.email=teacher@localhost", "commit", "--quiet", "-m", message)
    git(work, "push", "--quiet", "origin", "main")


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, without the settings of whoever runs this."""
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **own})


# -- what they take of the machine


@dataclass
class Meter(threading.Thread):
    """Watches the processes of a hub's students while it is in a ``with``.

    Attributes:
        peak: the most memory that each student's processes held together, in MB, pages shared with others counted in
            shares (PSS).
        processor: the seconds of processor that they used.
    """

    hub: Hub
    names: Sequence[str]
    every: float = 1.0
    peak: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._over, self._used = threading.Event(), {name: dict[int, float]() for name in self.names}

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self) -> "Meter":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self.join(30)

    def run(self) -> None:
        """Look at the processes, again and again, until the ``with`` is left."""
        while True:
            for name in self.names:
                pids = self.hub.pids(name)
                self.peak[name] = max(self.peak.get(name, 0.0), sum(map(memory, pids)))
                self._used[name] |= {pid: processor(pid) for pid in pids}
            if self._over.wait(self.every):
                return

    @property
    def processor(self) -> dict[str, float]:
        """The seconds of processor, by student."""
        return {name: sum(used.values()) for name, used in self._used.items()}


def memory(pid: int) -> float:
    """Return a process's memory in MB, with its share of pages that several hold (PSS); 0 if it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / _MB
    return 0.0


def processor(pid: int) -> float:
    """Return the seconds of processor that a process has used; 0 if it is gone."""
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / _TICKS
    return 0.0


def size(folder: Path) -> float:
    """Return the MB of a folder's own files; links do not count."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink()) / 1e6
