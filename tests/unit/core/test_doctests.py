"""The examples in the core's docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import syncagent.core

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(syncagent.core.__path__, "syncagent.core.")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_core_module_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(found) >= 10
