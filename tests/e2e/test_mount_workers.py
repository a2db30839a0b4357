"""Whatever befalls the mounts of a worker, nothing is deleted anywhere, and it says what it waits for.

One cluster, one mount for each row, all broken at once and mended at once: first every row is asked
what it shows, then whether it goes on by itself.
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
    with many_trees(tmp_path_factory.mktemp("matrix"), ROWS, on="gw-2") as trees:
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
