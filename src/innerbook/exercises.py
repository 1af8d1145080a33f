"""What proves the checks of exercises: each passes the solution, and names what is wrong with other answers."""

from collections.abc import Callable
from typing import Any


def refuses(check: Callable[..., object], hint: str, *answer: Any) -> None:
    """Make sure that a check turns a wrong answer down, and says why.

    Args:
        check: raises `AssertionError`, with a message for the student, unless the answer is right.
        hint: what the message must contain.
        answer: the wrong answer, as `check` takes it.

    Raises:
        ValueError: the check passes the answer, or its message says something else.
    """
    try:
        check(*answer)
    except AssertionError as error:
        if hint not in str(error):
            raise ValueError(f"expected a message with {hint!r}; received {str(error)!r}") from None
    else:
        raise ValueError(f"expected the check to refuse this answer with {hint!r}; it passes")
