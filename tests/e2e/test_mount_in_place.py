"""The matrix in place: whatever befalls the mounts, nothing is written or declared, and it says why.

The trees of both nodes are the shares: the manager sees them through the mounts, the worker on the spot. All
are broken at once and mended at once: first every row is asked what it shows, then whether it goes on by
itself, and what was written meanwhile is declared.
"""

from collections.abc import Iterator

import pytest

from tests.e2e.mount_rows import ROWS
from tests.e2e.mounted_trees import (
    Trees,
    check_broken,
    check_mended,
    check_nothing_was_lost,
    edit,
    many_trees,
)

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    with many_trees(tmp_path_factory.mktemp("matrix"), ROWS, on="gw-1", in_place=True) as trees:
        yield trees


@pytest.fixture(scope="module")
def broken(whole: Trees) -> Trees:
    whole.breaks()
    return whole


@pytest.fixture(scope="module")
def mended(broken: Trees) -> Trees:
    for name in ROWS:
        edit(broken, name)
    broken.mends()
    return broken


@pytest.mark.parametrize("name", ROWS)
def test_nothing_is_deleted_and_it_says_what_it_waits_for(broken: Trees, name: str) -> None:
    check_broken(broken, name)


def test_nothing_is_declared_while_all_are_broken(broken: Trees) -> None:
    assert broken.revision() == broken.revision_at_first
    assert broken.quarantined() == []


@pytest.mark.parametrize("name", ROWS)
def test_it_goes_on_by_itself(mended: Trees, name: str) -> None:
    check_mended(mended, name)


def test_nothing_was_taken_away_in_all_this(mended: Trees) -> None:
    check_nothing_was_lost(mended)
