"""The files in ``deploy`` agree with one another, with what was measured, and with what their programs document."""

import datetime
import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).parents[2]
DEPLOY, PAGE = ROOT / "deploy", ROOT / "book" / "teaching" / "hub.md"
MEASURED: dict[str, Any] = json.loads((DEPLOY / "measured.json").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8"))
COURSE, SHARED = "/srv/inner-view", "/srv/inner-view-data"

# What Zero to JupyterHub documents (chart 4), of what we set: where, and of which type. A key that its schema does not
# know makes helm refuse the whole file.
DOCUMENTED: dict[str, type | tuple[type, ...]] = {
    "hub.config": dict,
    "hub.concurrentSpawnLimit": int,
    "hub.activeServerLimit": int,
    "hub.db.type": str,
    "hub.db.pvc.storage": str,
    "proxy.https.enabled": bool,
    "proxy.https.hosts": list,
    "proxy.https.letsencrypt.contactEmail": str,
    "singleuser.image.name": str,
    "singleuser.image.tag": str,
    "singleuser.cmd": list,
    "singleuser.defaultUrl": str,
    "singleuser.startTimeout": int,
    "singleuser.memory.guarantee": str,
    "singleuser.memory.limit": str,
    "singleuser.cpu.guarantee": (int, float),
    "singleuser.cpu.limit": (int, float),
    "singleuser.extraEnv": dict,
    "singleuser.storage.capacity": str,
    "singleuser.storage.extraVolumes": list,
    "singleuser.storage.extraVolumeMounts": list,
    "cull.enabled": bool,
    "cull.every": int,
    "cull.timeout": int,
    "cull.maxAge": int,
    "cull.users": bool,
    "prePuller.hook.enabled": bool,
    "prePuller.continuous.enabled": bool,
    "scheduling.userScheduler.enabled": bool,
    "scheduling.podPriority.enabled": bool,
    "scheduling.userPlaceholder.enabled": bool,
    "scheduling.userPlaceholder.replicas": int,
}


def leaves(values: Any, path: str = "") -> dict[str, Any]:
    """What is set, by its dotted path; at a documented path, all that stands below it is one value."""
    if path in DOCUMENTED or not isinstance(values, dict):
        return {path: values}
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= leaves(value, f"{path}.{name}" if path else name)
    return found


def littlest() -> Any:
    """What the snippet for The Littlest JupyterHub sets, as JupyterHub reads it."""
    return PyFileConfigLoader("inner_view.py", str(DEPLOY / "tljh")).load_config().Spawner


def gigabytes(text: str) -> float:
    return float(text.removesuffix("G"))


def row(page: str, students: int, shared: bool) -> dict[str, Any]:
    wanted = {"page": page, "students": students, "results_shared": shared}
    (found,) = (each for each in MEASURED["rows"] if wanted.items() <= each.items())
    return dict(found)


def largest() -> float:
    """The most memory, in MB, of a student who finds what is computed."""
    return float(max(each["peak_mb"] for each in MEASURED["rows"] if each["results_shared"]))


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a page, as rows of cells, without their heads."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    return [[[c.strip() for c in line.strip("|\n").split("|")] for line in b.splitlines()[2:]] for b in blocks]


def test_values_has_only_keys_that_the_chart_documents() -> None:
    found = leaves(VALUES)
    assert {path for path in found if path not in DOCUMENTED} == set()
    assert {path for path, value in found.items() if not isinstance(value, DOCUMENTED[path])} == set()


def test_the_volume_is_one_claim_read_only_where_the_start_looks() -> None:
    storage = VALUES["singleuser"]["storage"]
    (volume,), (mount,) = storage["extraVolumes"], storage["extraVolumeMounts"]
    claim, job = yaml.safe_load_all((DEPLOY / "kubernetes" / "data.yaml").read_text("utf-8"))
    assert volume["name"] == mount["name"] and mount["readOnly"] and volume["persistentVolumeClaim"]["readOnly"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert VALUES["singleuser"]["extraEnv"] == {"INNERVIEW_SHARED": mount["mountPath"]}
    pod = job["spec"]["template"]["spec"]
    (fill,) = pod["containers"]
    image = VALUES["singleuser"]["image"]
    assert fill["image"] == f"{image['name']}:{image['tag']}" and fill["workingDir"] == COURSE
    assert fill["env"] == [{"name": "INNERVIEW_DATA", "value": mount["mountPath"]}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


def test_both_hubs_start_alike_with_the_same_limits() -> None:
    spawner, single = littlest(), VALUES["singleuser"]
    assert spawner.cmd == [f"{COURSE}/deploy/start"] and single["cmd"] == ["sh", f"{COURSE}/deploy/start"]
    assert spawner.environment == single["extraEnv"] == {"INNERVIEW_SHARED": SHARED}
    assert (spawner.mem_limit, spawner.cpu_limit) == (single["memory"]["limit"], single["cpu"]["limit"])
    assert f"${{INNERVIEW_SHARED:-{SHARED}}}" in (DEPLOY / "start").read_text("utf-8")
    assert os.access(DEPLOY / "start", os.X_OK)
    if shutil.which("sh"):
        subprocess.run(["sh", "-n", str(DEPLOY / "start")], check=True)
    assert f"{COURSE} " in (DEPLOY / "tljh" / "README.md").read_text("utf-8")


def test_the_image_is_made_from_the_root_with_what_a_student_needs() -> None:
    # repo2docker looks into a folder of its own first, and then at nothing else.
    assert not (ROOT / "binder").exists() and not (ROOT / ".binder").exists()
    listed = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    pip = next(part["pip"] for part in listed if isinstance(part, dict))
    # A line that names a local file makes it copy the repository before it installs.
    assert pip[0].startswith("--constraint") and pip[-1] == "--editable ."
    assert any(line.startswith("nbgitpuller==") for line in pip)
    head = (DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8").partition("\nhub:")[0]
    assert f"--target-repo-dir {COURSE} " in head


def test_limits_come_from_what_was_measured() -> None:
    memory, rows = VALUES["singleuser"]["memory"], MEASURED["rows"]
    # A second open notebook of the largest chapter brings a second kernel, but no second server.
    assert gigabytes(memory["limit"]) * 1024 >= 2 * largest() - max(each["server_mb"] for each in rows)
    assert max(each["peak_mb"] for each in rows) <= gigabytes(memory["guarantee"]) * 1024 <= 2 * largest()
    for each in MEASURED["rows"]:
        assert each["home_mb"] <= 1024 * gigabytes(VALUES["singleuser"]["storage"]["capacity"].removesuffix("i"))


def test_the_proxy_is_locked_without_the_name_of_a_registry() -> None:
    package = json.loads((DEPLOY / "proxy" / "package.json").read_text("utf-8"))
    text = (DEPLOY / "proxy" / "package-lock.json").read_text("utf-8")
    locked = json.loads(text)["packages"]
    assert locked[""]["dependencies"] == package["dependencies"]
    assert all("version" in each and "integrity" in each for name, each in locked.items() if name)
    assert '"resolved"' not in text and "registry" not in text


def test_the_page_shows_what_was_measured() -> None:
    _, measured, _ = tables(PAGE.read_text("utf-8"))
    shown = {(cells[0], int(cells[1]), cells[2] == "yes"): cells[3:] for cells in measured}
    assert len(shown) == len(MEASURED["rows"])
    for each in MEASURED["rows"]:
        cells = shown[f"{{doc}}`/book/{each['page']}`", each["students"], each["results_shared"]]
        wanted = [each["processor_seconds"], each["server_mb"], each["peak_mb"]]
        assert [int(cell.replace(",", "")) for cell in cells] == [round(value) for value in wanted]
    text = PAGE.read_text("utf-8")
    assert f"{datetime.date.fromisoformat(MEASURED['date']):%B %Y}" in text
    assert f"held at most {max(each['home_mb'] for each in MEASURED['rows']):.0f} MB" in text


def test_the_page_says_what_sharing_saves() -> None:
    alone, found = (
        row("1-first-network/fingerprints", n, shared)["processor_seconds"] for n, shared in ((1, False), (4, True))
    )
    assert "nearly four times the processor" in PAGE.read_text("utf-8") and 3.5 <= alone / found < 4
    minutes = [30 * seconds / 4 / 60 for seconds in (found, alone)]  # thirty students, four processors
    assert "within three minutes" in PAGE.read_text("utf-8") and 2 < minutes[0] <= 3 and 11 <= minutes[1] < 12


def test_the_page_sizes_a_hub_by_its_formula() -> None:
    *_, sizes = tables(PAGE.read_text("utf-8"))
    assert [cells[0].replace(",", "") for cells in sizes] == ["30", "300", "3000"]
    seconds = row("1-first-network/fingerprints", 4, True)["processor_seconds"]
    for cells in sizes:
        students, active, memory, cores, disk = (int(cell.replace(",", "").removesuffix(" GB")) for cell in cells)
        assert memory == math.ceil(1.25 * active * largest() / 1024 + 4)
        assert cores == math.ceil(active * seconds / 180)
        assert disk == students * 2 + 30
