"""What tests of the grader share: the sandbox must be there in CI, and short limits."""

import os
import sys

import pytest

from innerbook.grading import sandbox
from innerbook.grading.sandbox import Limits

MB = 2**20
SHORT = Limits(
    cell_seconds=12, paper_seconds=90, memory=900 * MB, file_size=16 * MB, disk=48 * MB, processes=150, output=2 * MB
)


def need_sandbox() -> None:
    """Skip a test where there is no sandbox, but fail in CI on Linux, which installs bubblewrap."""
    if why := sandbox.refusal():
        if os.environ.get("CI") and sys.platform == "linux":
            pytest.fail(why)
        pytest.skip(why)
