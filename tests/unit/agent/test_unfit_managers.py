"""Who can't do a manager's work is not made one by a person's word alone."""

import pytest

from syncagent.agent.node.state import Role
from syncagent.core.errors import BusyError, RefusedError
from syncagent.core.manifest import EMPTY
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.wire.messages import Survey, Surveyed
from tests.fakes.agent_bench import PEER, PLANS, Bench, T


def test_a_node_that_only_observes_is_not_promoted() -> None:
    bench = Bench(manager=PEER, apply=False).start()
    with pytest.raises(RefusedError, match="apply = false"):
        bench.answer("promote", force=True)
    assert bench.state.role is Role.WORKER


@pytest.mark.parametrize("force", [False, True])
def test_a_node_that_lacks_a_tree_is_promoted_by_force_only(force: bool) -> None:
    bench = Bench(manager=PEER).start()
    request = bench.ask("promote", force=force)
    link = bench.link(PEER)
    assert bench.said(Survey, link)
    bench.hear(link, Surveyed(None, REVISION_ZERO, EMPTY.digest, (T, PLANS)))
    if force:
        assert bench.state.token is not None
    else:
        error = bench.replies[request].error
        assert isinstance(error, BusyError)
        assert PLANS in str(error)
        assert bench.state.role is Role.WORKER
