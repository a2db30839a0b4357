"""What cannot be known of a runtime is not claimed: neither that it took a file nor that it did not."""

from __future__ import annotations

from syncagent.core.outcome import Deployment
from tests.fakes.agent_bench import Bench, Files, at, sequence
from tests.unit.agent.test_deploying import OLD, bring, following, leading, state_of

D = Deployment
TWO: Files = {**OLD, "sequences/t.xml": sequence("t")}


def put_unseen(bench: Bench, path: str, content: bytes) -> None:
    """Have a person write a file of which this node hears nothing."""
    bench.disk.put(at(path), content)


def refuse_bad(bench: Bench) -> None:
    """Have the runtime refuse what says that it is bad."""
    assert bench.gateway is not None
    bench.gateway.refuses = lambda _path, content: "no class" if b"bad" in content else ""


def stopped(files: Files) -> Bench:
    """Return a worker whose runtime is down, and to which one new good version has come since."""
    bench = following(files)
    refuse_bad(bench)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(1.0)
    bring(bench, {"sequences/t.xml": sequence("t", text="later")})
    return bench


def test_what_failed_at_a_start_may_have_been_overwritten_since() -> None:
    bench = stopped(TWO)
    assert bench.gateway is not None
    put_unseen(bench, "sequences/s.xml", sequence("s", text="bad"))
    bench.gateway.boot()
    bench.pass_(0.3)
    bench.put("sequences/s.xml", sequence("s"))
    bench.pass_(20.0)
    known = bench.node.deploying.here(at("sequences/t.xml"))
    assert known is not None
    assert (known.state, "may be" in known.reason) == (D.UNKNOWN, True)


def test_what_failed_at_a_start_may_be_gone_since() -> None:
    bench = stopped({**TWO, "sequences/u.xml": sequence("u")})
    assert bench.gateway is not None
    put_unseen(bench, "sequences/u.xml", sequence("u", text="bad"))
    bench.gateway.boot()
    bench.pass_(0.3)
    bench.remove("sequences/u.xml")
    bench.pass_(20.0)
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN


def test_what_may_have_failed_at_a_start_is_not_surer_when_the_others_are_gone() -> None:
    bench = leading(TWO)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.put("sequences/t.xml", sequence("t", text="later"))
    bench.put("sequences/z.xml", sequence("s"))
    bench.pass_(5.0)
    assert list(bench.state.refused) == [at("sequences/z.xml")]
    bench.gateway.boot()
    bench.pass_(20.0)
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN
    bench.remove("sequences/z.xml")
    bench.pass_(20.0)
    bench.node.deploying.committed((), None, bench.state.standing.revision.number, bench.at)
    bench.pass_(20.0)
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN
