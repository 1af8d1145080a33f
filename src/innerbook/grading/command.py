"""The command that grades a folder of submissions: ``innerbook grade FOLDER``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from innerbook import settings
from innerbook.grading import sandbox, tables
from innerbook.grading.sandbox import Limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` needs to a parser of arguments."""
    limits = Limits()
    parser.add_argument("folder", type=Path, help="the submissions: a folder a student, or one with all notebooks")
    parser.add_argument("--homework", default="", help="such as 2-probes; by default, what most of the papers say")
    parser.add_argument("--masters", type=Path, default=Path("homework"), help="the folder of masters")
    parser.add_argument("--out", type=Path, help="for tables and feedback; by default FOLDER-graded")
    parser.add_argument("--students", type=Path, help="a roster, for moodle.csv and canvas.csv")
    parser.add_argument("--column", default="", help="the homework's column in them; by default its name")
    parser.add_argument("--jobs", type=int, help="papers at once; by default half of the cores")
    parser.add_argument("--regrade", nargs="+", default=[], metavar="STUDENT", help="grade these again")
    parser.add_argument("--cell-seconds", type=int, default=limits.cell_seconds, help="time limit of a cell")
    parser.add_argument("--paper-seconds", type=int, default=limits.paper_seconds, help="time limit of a paper")
    parser.add_argument("--memory", type=float, default=limits.memory / 2**30, help="GiB of memory for a paper")
    parser.add_argument("--points-only", action="store_true", help="feedback without outputs: half the time")
    parser.add_argument("--without-sandbox", action="store_true", help="run the papers unprotected: see the warning")


def run(asked: argparse.Namespace) -> int:
    """Grade as the arguments say, and return the exit status."""
    refused = "" if asked.without_sandbox else sandbox.refusal()
    if refused:
        print(
            f"Nothing was graded: {refused}. Papers are programs that others wrote. With --without-sandbox they run "
            "as you: each can read and delete your files and ask the network. Do so only on a machine on which "
            "nothing matters."
        )
        return 1
    if asked.without_sandbox:
        print("WARNING: papers run without a sandbox, as you. They can read and delete what you can.")
    out = asked.out or asked.folder.resolve().with_name(f"{asked.folder.resolve().name}-graded")
    try:
        records = _grade(asked, out)
    except ModuleNotFoundError as missing:
        print(f"Nothing was graded: {missing.name} is missing. It comes with: pip install '.[grading]'")
        return 1
    except (ValueError, OSError) as error:
        print(f"Grading ended early: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nGrading was interrupted. The same command goes on: papers that were done are not run again.")
        return 130
    odd = [each for each in records if each.status not in ("ok", "rebuilt")]
    print(f"{len(records)} papers are graded; look at {len(odd)} that are not ok. See {out / 'marks.csv'}.")
    return 0


def _grade(asked: argparse.Namespace, out: Path) -> list[tables.Record]:
    # Here, for nbgrader comes with an extra, and the command line knows this command without it.
    from innerbook.grading.grade import Options, grade
    from innerbook.grading.handed_in import find, which_homework
    from innerbook.grading.marking import Homework

    name = asked.homework or which_homework(find(asked.folder))
    master = asked.masters / name / "master.md"
    if not name or not master.exists():
        known = ", ".join(path.parent.name for path in sorted(asked.masters.glob("*/master.md")))
        raise ValueError(f"expected --homework of {known or 'none in ' + str(asked.masters)}; received {name!r}")
    memory = int(asked.memory * 2**30)
    options = Options(
        Limits(cell_seconds=asked.cell_seconds, paper_seconds=asked.paper_seconds, memory=memory),
        workers=asked.jobs or max(1, settings.usable_cores() // 2),
        sandboxed=not asked.without_sandbox,
        outputs=not asked.points_only,
        data_folder=settings.current().data_folder,
        regrade=asked.regrade,
    )
    roster = tables.read_roster(asked.students) if asked.students else None
    return grade(asked.folder, Homework.read(master), out, options, roster=roster, column=asked.column)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, by default with the arguments of the process, and return the exit status."""
    parser = argparse.ArgumentParser(prog="innerbook grade", description="Grades a folder of submissions.")
    add_arguments(parser)
    return run(parser.parse_args(arguments))
