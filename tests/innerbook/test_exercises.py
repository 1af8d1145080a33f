import pytest

from innerbook.exercises import refuses


def check(answer: float) -> None:
    assert answer == 4, "expected twice the number"


def test_a_wrong_answer_that_is_refused_with_its_reason_is_fine() -> None:
    refuses(check, "twice", 3)


def test_a_right_answer_and_another_reason_are_told() -> None:
    with pytest.raises(ValueError, match="expected the check to refuse this answer with 'twice'; it passes"):
        refuses(check, "twice", 4)
    with pytest.raises(ValueError, match="expected a message with 'half'; received 'expected twice the number"):
        refuses(check, "half", 3)


def test_another_error_is_not_taken_for_a_refusal() -> None:
    with pytest.raises(TypeError):
        refuses(check, "twice")
