"""Grades a folder of submissions: several papers at once, each in a sandbox, resumable, with tables and feedback.

Nothing is written into the folder of submissions. Beside it, in the folder of results: ``journal.jsonl`` (a line a
paper, by which a run that was cut off goes on), the tables of `innerbook.grading.tables`, and ``feedback``.
"""

import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from innerbook.grading import feedback, marking, sandbox, tables
from innerbook.grading.handed_in import Submission, content_of, file_name, find
from innerbook.grading.marking import Homework
from innerbook.grading.release import is_check
from innerbook.grading.repair import read, repair
from innerbook.grading.sandbox import Limits
from innerbook.grading.tables import Record
from innerbook.memory import atomic_write

_REFUSED = {"link": "it is a link, which is not followed", "no notebook": "no notebook (.ipynb) was handed in"}


@dataclass(frozen=True)
class Options:
    """How to grade.

    Attributes:
        limits: what a paper may use.
        workers: how many papers are run at once.
        sandboxed: False runs papers unprotected: only on a machine on which nothing matters.
        outputs: whether a paper that lost points is run again without hidden tests, for the outputs of its page.
        data_folder: the course's data.
        regrade: students, or files, that are graded again whatever the journal says.
        compiled: by `sandbox.compile_maps`, if the papers draw maps.
    """

    limits: Limits = field(default_factory=Limits)
    workers: int = 1
    sandboxed: bool = True
    outputs: bool = True
    data_folder: Path | None = None
    regrade: Sequence[str] = ()
    compiled: Path | None = None


def grade(
    folder: Path,
    homework: Homework,
    out: Path,
    options: Options,
    *,
    roster: Sequence[Mapping[str, str]] | None = None,
    column: str = "",
    say: Callable[[str], None] = print,
) -> list[Record]:
    """Grade a folder of submissions, go on where an earlier run was cut off, and write tables and feedback.

    Args:
        folder: the submissions. Nothing is changed in it.
        homework: what they are to be of.
        out: the folder for what comes of it, outside of `folder`.
        options: how to grade.
        roster: see `innerbook.grading.tables`.
        column: the name of the homework's column in tables for other systems, by default the homework's.
        say: takes each line of progress.

    Raises:
        ValueError: `out` lies in `folder`, or there is nothing to grade.
        OSError: the sandbox does not start.
    """
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"expected a folder for the results outside of {folder}; received {out}")
    submissions = find(folder)
    if not submissions:
        raise ValueError(f"there is nothing to grade in {folder}")
    done = _journal(out)
    records: dict[str, Record] = {}
    left = []
    for each in submissions:
        file = file_name(folder, each)
        known, again = done.get(file), {each.student, file, each.path.name} & set(options.regrade)
        same = known and known.key == _key(each, homework, options) and _page(out, each.student, file).exists()
        if known and same and not again:
            records[file] = known
        else:
            left.append(each)
    say(f"{homework.name}: {len(submissions)} papers, {len(records)} of them graded before.")
    began = time.monotonic()
    with _prepared(homework, options, left) as ready, closing(_grade_all(folder, left, homework, ready)) as grading:
        for count, (record, html) in enumerate(grading, start=1):
            with atomic_write(_page(out, record.student, record.file)) as temporary:
                temporary.write_text(html, encoding="utf-8")
            _remember(out, record)
            records[record.file] = record
            seconds = (time.monotonic() - began) / count * (len(left) - count)
            say(
                f"[{len(records)}/{len(submissions)}] {record.file}: {record.total:g} of "
                f"{sum(homework.questions.values()):g}, {record.status} ({record.seconds:.0f} s, "
                f"{record.megabytes:.0f} MB); {_duration(seconds)} left"
            )
    found = [records[file_name(folder, each)] for each in submissions]
    found = _with_hand_marks(found, tables.by_hand(out, found, homework.questions))
    for note in tables.write(out, found, homework.questions, roster, column or homework.name):
        say(note)
    return found


def grade_one(
    content: bytes, homework: Homework, options: Options, stop: Callable[[], bool] = lambda: False
) -> tuple[Record, str]:
    """Grade one notebook; return what came of it, for no student and file yet, and its page's HTML.

    Raises:
        InterruptedError: `stop` said so.
        OSError: the sandbox does not start.
    """
    try:
        handed = read(content)
    except ValueError as error:
        return _ungraded("unreadable", str(error))
    if handed.homework and handed.homework != homework.name:
        return _ungraded("other homework", f"this is a notebook of {handed.homework}")
    paper = repair(homework.master, homework.released, handed)
    if not paper.found:
        return _ungraded("other homework", "no answer of this homework is in it")
    notes = list(paper.notes)
    if handed.release and handed.release != homework.mark:
        notes.append(f"made from the older release {handed.release}: graded by {homework.mark}")
    canaries = homework.canaries()
    places = [i for i, cell in enumerate(paper.graded.cells) if cell.cell_type == "code"]
    cells = [*(paper.graded.cells[i].source for i in places), *(source for _, source in canaries)]
    run = _run(cells, options, stop)
    outputs, late = marking.outputs_of_run(run)
    points, odd = marking.marks(paper, {i: outputs[at] for at, i in enumerate(places) if at in outputs})
    judged = [outputs.get(len(places) + at) for at in range(len(canaries))]
    flags = odd + marking.flags(homework, canaries, judged, points)
    status, why = marking.status(run, any(at < len(places) for at in late), flags, bool(paper.notes))
    if status == "kernel died" and len(outputs) > len(places):
        status = "flagged"  # it died in a canary
    if status == "kernel died":
        why.append(f"the checks before that gave {sum(each or 0 for each in points.values()):g} points")
        points = {name: None if each is None else 0.0 for name, each in points.items()}
    elif len(outputs) < len(cells):
        why.append("it ended before the canaries: its points are not proven")
    record = Record("", "", "", status, points, [*flags, *why, *notes], run.seconds, run.memory / 1e6, 0.0)
    shown: dict[int, Any] = {}
    lost = [i for i, cell in enumerate(paper.shown.cells) if is_check(cell) and marking.lost(cell, points)]
    if options.outputs and lost and status in ("ok", "rebuilt"):
        places = [i for i in places if i <= lost[-1]]
        second = _run([paper.shown.cells[i].source for i in places], options, stop)
        again, _ = marking.outputs_of_run(second)
        record = replace(record, seconds=record.seconds + second.seconds)
        shown = {i: again[at] for at, i in enumerate(places) if at in again}
    html = feedback.page(paper.shown, shown, points, title=homework.name, status=status, notes=[*why, *notes])
    return record, html


@contextmanager
def _prepared(homework: Homework, options: Options, left: Sequence[Submission]) -> Iterator[Options]:
    """Compile what each of these papers would compile anew, for as long as this run lasts."""
    with tempfile.TemporaryDirectory() as folder:
        if len(left) > 1 and options.sandboxed and homework.draws_maps:  # it takes longer than one paper gains
            sandbox.compile_maps(Path(folder))
            options = replace(options, compiled=Path(folder))
        yield options


def _grade_all(
    folder: Path, left: Sequence[Submission], homework: Homework, options: Options
) -> Generator[tuple[Record, str], None, None]:
    """Grade several at once, and give each as it is done. Whatever ends this ends the papers that are running."""
    waiting, stop = iter(left), threading.Event()
    with ThreadPoolExecutor(options.workers) as pool:
        running: set[Future[tuple[Record, str]]] = set()
        try:
            while True:
                for each in waiting:
                    running.add(pool.submit(_grade_submission, folder, each, homework, options, stop))
                    if len(running) >= options.workers:
                        break
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for one in finished:
                    yield one.result()
        finally:
            stop.set()


def _grade_submission(
    folder: Path, each: Submission, homework: Homework, options: Options, stop: threading.Event
) -> tuple[Record, str]:
    key, changed = _key(each, homework, options), each.path.lstat().st_mtime
    if each.refused:
        record, html = _ungraded(each.refused, _REFUSED[each.refused])
    else:
        try:
            content = content_of(each.path)
        except (OSError, ValueError) as error:
            record, html = _ungraded("unreadable", str(error))
        else:
            try:
                record, html = grade_one(content, homework, options, stop.is_set)
            except OSError:  # which would meet every paper
                raise
            except Exception as error:  # one odd notebook must not end the run
                record, html = _ungraded("unreadable", f"the grader failed on it: {error!r}")
    return replace(record, key=key, student=each.student, file=file_name(folder, each), changed=changed), html


def _run(cells: Sequence[str], options: Options, stop: Callable[[], bool]) -> sandbox.Run:
    run = sandbox.run(
        cells,
        options.limits,
        sandboxed=options.sandboxed,
        data_folder=options.data_folder,
        compiled=options.compiled,
        stop=stop,
    )
    if run.stopped == "interrupted":
        raise InterruptedError("grading was interrupted")
    return run


def _ungraded(status: str, note: str) -> tuple[Record, str]:
    empty = NotebookNode(cells=[], metadata=NotebookNode())
    html = feedback.page(empty, {}, {}, title="Not graded", status=status, notes=[note])
    return Record("", "", "", status, {}, [note], 0.0, 0.0, 0.0), html


def _with_hand_marks(records: Sequence[Record], given: Mapping[tuple[str, str], float]) -> list[Record]:
    return [
        replace(
            each,
            points={
                name: given.get((each.file, name)) if points is None else points for name, points in each.points.items()
            },
        )
        for each in records
    ]


def _key(each: Submission, homework: Homework, options: Options) -> str:
    try:
        content = b"" if each.refused else content_of(each.path)
    except (OSError, ValueError):
        content = b""
    told = [homework.key, asdict(options.limits), options.sandboxed, options.outputs, each.refused]
    return hashlib.sha256(content + json.dumps(told).encode()).hexdigest()[:24]


def _page(out: Path, student: str, file: str) -> Path:
    inner = file.removeprefix(f"{student}/").removesuffix(".ipynb").replace("/", "-")
    return out / "feedback" / student / f"{inner}.html"


def _journal(out: Path) -> dict[str, Record]:
    """Read what was graded before, by file, and write the journal anew without what is half or old."""
    path, found = out / "journal.jsonl", dict[str, Record]()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            record = Record(**json.loads(line))
        except (ValueError, TypeError):  # the line at which a run was cut off, or of another version
            continue
        found[record.file] = record
    with atomic_write(path) as temporary:
        temporary.write_text("".join(_line(each) for each in found.values()), encoding="utf-8")
    return found


def _line(record: Record) -> str:
    return json.dumps(asdict(record)) + "\n"


def _remember(out: Path, record: Record) -> None:
    with (out / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write(_line(record))
        file.flush()
        os.fsync(file.fileno())


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds > 90 else f"about {seconds:.0f} s"
