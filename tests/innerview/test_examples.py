import doctest
import importlib

import keras
import numpy as np
import pytest

import innerview

MODULES = sorted({value.__module__ for name, value in vars(innerview).items() if hasattr(value, "__qualname__")})
NAMES = {name: value for name, value in vars(innerview).items() if not name.startswith("_")}
EXAMPLES = [
    example
    for module in MODULES
    for example in doctest.DocTestFinder().find(
        importlib.import_module(module), globs={**NAMES, "keras": keras, "np": np}
    )
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_shows_what_it_says(example: doctest.DocTest) -> None:
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=told.append)
    assert not told, "".join(told)


def test_the_main_functions_have_an_example() -> None:
    shown = {example.name.rpartition(".")[2] for example in EXAMPLES}
    main = {"Monitor", "feature_extractor", "fit_ensemble", "fit_inputs", "get_activations", "invert", "invert_layer"}
    assert main <= shown
