"""Settings come from the environment, are made absolute once, and reach other processes as they are."""

import os
from pathlib import Path

import pytest

from innerbook.settings import Settings, usable_cores


def test_the_folder_is_absolute_and_offline_is_0_or_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for told, folder in (("data", tmp_path / "data"), ("~/x", tmp_path / "home" / "x"), (str(tmp_path), tmp_path)):
        found = Settings.from_environment({"INNERVIEW_DATA": told})
        assert found.data_folder == folder.resolve()
        assert Settings.from_environment(found.to_environment()) == found
    offline = {told: Settings.from_environment({"INNERVIEW_OFFLINE": told}).offline for told in ("", "0", "1")}
    assert offline == {"": False, "0": False, "1": True} and not Settings.from_environment({}).offline


@pytest.mark.parametrize(
    ("name", "value"), [("SCALE", "huge"), ("FIRST_SEED", "-1"), ("FIRST_SEED", "1.5"), ("OFFLINE", "no")]
)
def test_other_values_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"INNERVIEW_{name}.* must be .*; received {value!r}"):
        Settings.from_environment({f"INNERVIEW_{name}": value})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be held to a core here")
def test_cores_are_those_that_one_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= usable_cores() <= len(before)
