"""Where a node stands, and small values whose invariants others rely on."""

from dataclasses import replace

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, NodeName, TreeKind, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, ExitCode, FencedError, SettingsError, SyncagentError
from syncagent.core.lease import Leadership
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import EMPTY, Entry, Manifest
from syncagent.core.revision import REVISION_ZERO, Revision, RevisionId, Token
from syncagent.core.settings import Settings, TreeSettings
from syncagent.core.verdict import Examined, Facts, Problem, Severity

T = TreeName("synapse")
P = ArtifactPath(T, "api/a.xml")
X = Entry(digest_of(b"x"), 1)
ONE = Manifest.of([(P, X)])
FIRST = RevisionId(1, 1, ONE.digest)


def test_a_revision_is_entered_by_its_changes_or_whole() -> None:
    by_changes = Standing().after(StandingChange(FIRST, (Change(P, None, X),), txid=3))
    whole = Standing().after(StandingChange(FIRST, manifest=ONE, txid=3))
    assert by_changes == whole
    assert (whole.revision, whole.manifest, whole.txid) == (FIRST, ONE, 3)


def test_a_revision_with_another_digest_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="digest"):
        Standing().after(StandingChange(replace_digest(FIRST), manifest=ONE))


def replace_digest(revision: RevisionId) -> RevisionId:
    return revision._replace(digest=EMPTY.digest)


def test_small_facts_leave_the_revision_as_it_is() -> None:
    standing = Standing().after(StandingChange(FIRST, manifest=ONE, txid=7))
    noted = standing.after(StandingChange(identities={T: "7:2"}, notes={"pause": "1", "x": "2"}))
    assert (noted.revision, noted.manifest, noted.txid) == (FIRST, ONE, 7)
    assert (noted.identities, noted.notes) == ({T: "7:2"}, {"pause": "1", "x": "2"})
    cleared = noted.after(StandingChange(notes={"x": "", "never there": ""}))
    assert (cleared.notes, cleared.identities) == ({"pause": "1"}, {T: "7:2"})


def test_txids_never_fall() -> None:
    assert Standing(txid=9).after(StandingChange(txid=4)).txid == 9


def test_of_two_revisions_the_later_epoch_is_the_newer() -> None:
    assert RevisionId(2, 1, X.digest) > RevisionId(1, 9, X.digest) > REVISION_ZERO
    assert str(RevisionId(2, 7, X.digest)) == "7 (epoch 2)"


@pytest.mark.parametrize(
    "mine",
    [
        pytest.param(RevisionId(3, 5, X.digest), id="a number is left out"),
        pytest.param(RevisionId(3, 4, X.digest), id="the parent's own number"),
        pytest.param(RevisionId(2, 5, X.digest), id="an older epoch"),
    ],
)
def test_a_revision_follows_its_parent(mine: RevisionId) -> None:
    parent = RevisionId(3, 4, EMPTY.digest) if mine.epoch < 3 or mine.number < 5 else REVISION_ZERO
    with pytest.raises(AssertionError):
        Revision(mine, parent, (Change(P, None, X),), NodeName("gw-1"))


def test_a_new_epoch_goes_on_counting() -> None:
    revision = Revision(
        RevisionId(4, 5, ONE.digest),
        RevisionId(3, 4, EMPTY.digest),
        (Change(P, None, X),),
        NodeName("gw-1"),
    )
    assert (revision.note, revision.released) == ("", ())


ERROR, WARNING = Problem("a", "bad"), Problem("b", "odd", severity=Severity.WARNING)


@pytest.mark.parametrize(
    ("problems", "valid"),
    [
        pytest.param((), True, id="nothing is wrong"),
        pytest.param((WARNING,), True, id="warnings do no harm"),
        pytest.param((ERROR,), False, id="an error"),
        pytest.param((ERROR, WARNING), False, id="errors come first"),
    ],
)
def test_an_artifact_is_valid_without_an_error(problems: tuple[Problem, ...], valid: bool) -> None:
    assert Examined(Facts(), problems).valid is valid


def test_a_belief_in_leading_ends_at_its_instant() -> None:
    belief = Leadership(Token("c", 1, NodeName("a"), "1"), 10.0)
    assert belief.holds(9.999)
    assert not belief.holds(10.0)


def test_errors_say_what_to_do_and_how_to_exit() -> None:
    error = DiskError("no room", errno_name="ENOSPC", hint="make room")
    assert (str(error), error.hint, error.errno_name) == ("no room", "make room", "ENOSPC")
    assert error.exit_code is ExitCode.ERROR
    assert FencedError("x").exit_code is ExitCode.BUSY
    mistakes = SettingsError("two mistakes", mistakes=("line 1", "line 2"))
    assert (mistakes.mistakes, mistakes.exit_code) == (("line 1", "line 2"), ExitCode.USAGE)
    assert issubclass(SettingsError, SyncagentError)


def test_every_kind_of_failure_has_an_exit_code_of_its_list() -> None:
    def below(kind: type[SyncagentError]) -> list[type[SyncagentError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    codes = {kind.__name__: kind.exit_code for kind in below(SyncagentError)}
    assert codes["UnreachableError"] is ExitCode.UNREACHABLE
    assert codes["DeadlineError"] is ExitCode.TIMEOUT
    assert codes["HeldError"] is ExitCode.HELD
    assert codes["ProtocolError"] is ExitCode.REJECTED
    assert ExitCode.DONE not in codes.values()


def test_settings_know_their_trees() -> None:
    tree = TreeSettings(T, TreeKind.SYNAPSE, "/t")
    settings = Settings("c", NodeName("a"), "/s", (tree,))
    assert settings.tree_names == (T,)
    assert settings.tree_kinds == {T: TreeKind.SYNAPSE}
    assert replace(settings, trees=()).tree_names == ()
    assert Kind.API == "api"
