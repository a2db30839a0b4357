"""The validating process: same verdicts as here, and no trouble when it can't give any."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncagent.core.artifact import Kind
from syncagent.core.dialect import Dialect
from syncagent.core.digest import digest_of
from syncagent.core.entry import Entry
from syncagent.core.wire.packing import compress_batch
from syncagent.core.wire.verdicts import Docket, Exhibit
from syncagent.validation.aside import FAILURES_MAX, ValidatorAside
from syncagent.validation.validator import ArtifactValidator

LIMIT = 100_000
NAMESPACE = 'xmlns="http://ws.apache.org/ns/synapse"'
ARTIFACTS = {
    "sequences/good.xml": f'<sequence {NAMESPACE} name="good"><sequence key="other"/></sequence>'.encode(),
    "sequences/cut.xml": f'<sequence {NAMESPACE} name="cut">'.encode(),
    "sequences/odd.xml": f'<sequence {NAMESPACE} name="another"/>'.encode(),
    "sequences/large.xml": b"x" * (LIMIT + 1),
    "plan.siddhiql": b"@Plan:name('plan')\ndefine stream S (a string);\n",
}
KINDS = {path: Kind.PLAN if path.endswith("ql") else Kind.SEQUENCE for path in ARTIFACTS}


def docket() -> Docket:
    items = [(Entry(digest_of(content), len(content)), content) for content in ARTIFACTS.values()]
    entries, frame = compress_batch(items)
    exhibits = [Exhibit(n, KINDS[path], path) for n, path in enumerate(ARTIFACTS)]
    return Docket(entries, frame, tuple(reversed(exhibits)))


@pytest.fixture
def aside() -> Iterator[ValidatorAside]:
    made = ValidatorAside(LIMIT)
    yield made
    made.end()


def process_of(aside: ValidatorAside) -> int:
    found = [
        int(task.name) for task in Path("/proc").iterdir() if task.name.isdigit() and is_ours(task)
    ]
    assert len(found) == 1, "one process judges"
    return found[0]


def is_ours(task: Path) -> bool:
    try:
        line = (task / "cmdline").read_bytes()
        parent = int((task / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return b"syncagent.validation.child" in line and parent == os.getpid()


def test_its_verdicts_are_those_of_the_validator_here(aside: ValidatorAside) -> None:
    here = ArtifactValidator(LIMIT)
    wanted = [
        here.examine(KINDS[path], path, content) for path, content in reversed(ARTIFACTS.items())
    ]
    assert {one.valid for one in wanted} == {True, False}
    assert aside.judge(docket()) == tuple(wanted)
    assert aside.judge(docket()) == tuple(wanted)


def test_it_judges_for_the_runtime_that_it_was_started_for() -> None:
    content = f'<sequence {NAMESPACE} name="a"><call/></sequence>'.encode()
    entries, frame = compress_batch([(Entry(digest_of(content), len(content)), content)])
    asked = Docket(entries, frame, (Exhibit(0, Kind.SEQUENCE, "sequences/a.xml"),))
    for dialect in Dialect:
        aside = ValidatorAside(LIMIT, dialect)
        try:
            wanted = ArtifactValidator(LIMIT, dialect).examine(
                Kind.SEQUENCE, "sequences/a.xml", content
            )
            assert wanted.valid is (dialect is Dialect.WSO2)
            assert aside.judge(asked) == (wanted,)
        finally:
            aside.end()


def test_one_that_was_killed_is_replaced(aside: ValidatorAside) -> None:
    wanted = aside.judge(docket())
    os.kill(process_of(aside), signal.SIGKILL)
    assert aside.judge(docket()) is None
    assert aside.usable
    assert aside.judge(docket()) == wanted is not None


def test_one_that_hangs_is_put_down() -> None:
    aside = ValidatorAside(LIMIT, answer_s=0.2)
    aside.begin()
    hanging = process_of(aside)
    os.kill(hanging, signal.SIGSTOP)
    assert aside.judge(docket()) is None
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)


def test_it_does_not_end_at_a_ctrl_c_that_is_meant_for_the_agent(aside: ValidatorAside) -> None:
    wanted = aside.judge(docket())
    os.kill(process_of(aside), signal.SIGINT)
    assert aside.judge(docket()) == wanted


def test_bytes_that_are_not_what_they_say_get_no_verdict(aside: ValidatorAside) -> None:
    true = docket()
    lie = Entry(digest_of(b"else"), true.entries[0].size)
    assert aside.judge(true._replace(entries=(lie, *true.entries[1:]))) is None
    assert aside.judge(true) is not None


def test_what_can_never_start_is_left_alone(tmp_path: Path) -> None:
    nothing, sys.executable = sys.executable, str(tmp_path / "no-python")
    try:
        aside = ValidatorAside(LIMIT)
        for _ in range(FAILURES_MAX):
            assert aside.usable
            assert aside.judge(docket()) is None
        assert not aside.usable
    finally:
        sys.executable = nothing


def test_it_is_gone_when_it_is_ended() -> None:
    aside = ValidatorAside(LIMIT)
    aside.judge(docket())
    pid = process_of(aside)
    aside.end()
    aside.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
