"""What a real Synapse says of artifacts, thousands in one start; and why we may say otherwise.

    verdicts = judge(folder, artifacts)        # by the deployers of Synapse, in one process
    cause_of(verdicts[0], artifacts[0])        # why no look at bytes could have known

`Judge.java` beside this file starts Synapse, hands each artifact to the deployer of its folder, as hot
deployment does with a new file, and takes it back.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from syncagent.core.artifact import FOLDERS
from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Problem, Severity
from syncagent.validation.validator import ArtifactValidator
from tests.e2e.cluster import free_ports
from tests.e2e.synapse import SynapseHome, put
from tests.e2e.synapse_mutants import Artifact

VALIDATORS = {dialect: ArtifactValidator(dialect=dialect) for dialect in Dialect}
NO_NAMES = ("-Djdk.net.hosts.file=hosts",)
"""No name of a host stands for anything, whatever network there is."""

LOG_KB = 1_000_000
"""For a log that must stay in one piece: refusals are long in it."""

SERVER = "org.apache.synapse.SynapseServer"


class Cause(StrEnum):
    """Why Synapse may refuse what we pass."""

    CLASS = "a class that is not there"
    ELSEWHERE = "a file, host or resource that is not there"
    MEDIATOR = "a mediator that Apache Synapse lacks: WSO2's, a connector's, or of no one"
    DIALECT = "WSO2's Synapse reads this, Apache's does not"
    FOLDER = "Apache Synapse does not look into this folder"
    DEPENDENCY = "another artifact that is not there yet"
    PAYLOAD = "a WSDL or a schema inside of it that is none"
    TAKEN = "the runtime has one of that name already"
    UNEXPLAINED = "nothing of that: we should have known"


_CAUSES: tuple[tuple[Cause, str], ...] = (
    (Cause.FOLDER, r"Apache Synapse does not look into this folder"),
    (Cause.MEDIATOR, r"Unknown mediator referenced by configuration element"),
    (
        Cause.CLASS,
        (
            r"ClassNotFoundException|NoClassDefFound|Error while creating Message processor|"
            r"No script engine found|driver class name cannot be found|Error loading class|"
            r"ClassCastException"
        ),
    ),
    (
        Cause.ELSEWHERE,
        (
            r"FileNotFound|ConnectException|UnknownHost|Unable to locate the specified WSDL|"
            r"NoInitialContext|Cannot convert null to a StreamSource|MalformedURL|NoRouteToHost|"
            r"SocketException"
        ),
    ),
    (
        Cause.DIALECT,
        (
            r"json-eval|Unsupported Scope : default|"
            r"Unsupported scope (default|operation|registry|system|analytics|trace)|"
            r"Invalid Fault code value for a SOAP 1.2 fault|versionStrategy|DATA_TYPES.JSON|"
            r"is required for the Callout 'source'|"
            r"Template Endpoint, name attribute is missing|StringIndexOutOfBounds|"
            r"NumberFormatException: For input string: \"\{|Un-expected type : key|"
            r"uri attribute is missing|A fault node does not apply to a SOAP 1.1 fault"
        ),
    ),
    (Cause.DEPENDENCY, r"Can not create .*[Mm]essage [Pp]rocessor|without .* message store"),
    (Cause.PAYLOAD, r"The prefix \w+ is not bound"),
    (Cause.TAKEN, r"Duplicate sequence definition for key : (main|fault)"),
)

_LATER_LANGUAGE = (
    (r"XPath", rb"json-eval\(|\$\{|=\"\$\.?[\w.\[\]]*\""),
    (r"getFirstElement\(\)\" is null", rb"media-type=|template-type=|<format"),
    # The second is the first where no endpoint was made before: what logs it is not there yet.
    (r"Invalid endpoint configuration|EndpointFactory\.log", rb"<(\w+:)?http\b"),
    (r"Invalid or duplicate method", rb"\b(PATCH|HEAD)\b"),
)
"""Reasons that speak of WSO2's dialect if the artifact is written in it."""


@dataclass(frozen=True)
class Verdict:
    """What Synapse said: taken or not; `thrown` is what no deployer expects and none survives."""

    taken: bool
    thrown: bool
    reason: str


def artifacts_of(tree: Path) -> list[Artifact]:
    """Return what lies in the folders of the kinds below `tree`, sorted."""
    return [
        Artifact(str(path.relative_to(tree)), path.read_bytes())
        for path in sorted(tree.glob("*/*.xml"))
        if path.parent.name in FOLDERS
    ]


def _problems(artifact: Artifact, dialect: Dialect) -> tuple[Problem, ...]:
    kind = FOLDERS[artifact.folder]
    return VALIDATORS[dialect].examine(kind, artifact.path, artifact.content).problems


def our_reasons(artifact: Artifact, dialect: Dialect = Dialect.WSO2) -> list[str]:
    """Return why our validator refuses an artifact; nothing if it passes."""
    problems = _problems(artifact, dialect)
    return [problem.reason for problem in problems if problem.severity is Severity.ERROR]


def our_warnings(artifact: Artifact, dialect: Dialect = Dialect.WSO2) -> list[str]:
    """Return the codes of what our validator warns of in an artifact."""
    problems = _problems(artifact, dialect)
    return [problem.code for problem in problems if problem.severity is Severity.WARNING]


def judge(folder: Path, artifacts: Sequence[Artifact]) -> list[Verdict]:
    """Ask a real Synapse in `folder` (made here) for its verdict on each artifact."""
    home = SynapseHome(folder / "judge", free_ports(1)[0], options=NO_NAMES)
    (home.folder / "hosts").write_text("127.0.0.1 localhost\n")
    questions = []
    for number, artifact in enumerate(artifacts):
        file = folder / f"{number}.xml"
        file.write_bytes(artifact.content)
        questions.append(f"{artifact.folder}\t{file}\t{artifact.name}\n")
    command = home.command()
    command[command.index(SERVER)] = str(Path(__file__).with_name("Judge.java"))
    done = subprocess.run(
        command,
        cwd=home.folder,
        input="".join(questions),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = done.stdout.splitlines()
    assert len(answers) == len(artifacts), f"{len(answers)} answers; {done.stderr[-4000:]}"
    return [_verdict(answer) for answer in answers]


def _verdict(answer: str) -> Verdict:
    word, _, reason = answer.partition("\t")
    return Verdict(word == "taken", word == "thrown", reason)


def cause_of(verdict: Verdict, artifact: Artifact) -> Cause:
    """Tell why Synapse refused an artifact that we passed."""
    for cause, pattern in _CAUSES:
        if re.search(pattern, verdict.reason):
            return cause
    for reason, content in _LATER_LANGUAGE:
        if re.search(reason, verdict.reason) and re.search(content, artifact.content):
            return Cause.DIALECT
    return Cause.UNEXPLAINED


# --- the comparison -----------------------------------------------------------------------------


@dataclass
class Comparison:
    """Both verdicts on the same artifacts, and where they differ."""

    both_take: int = 0
    both_refuse: int = 0
    we_refuse: list[tuple[Artifact, list[str]]] = field(default_factory=list)
    """What Synapse takes and we refuse, with our reasons."""
    it_refuses: list[tuple[Artifact, Verdict, Cause]] = field(default_factory=list)
    """What we pass and Synapse refuses, with the cause: the dangerous direction."""

    @property
    def causes(self) -> dict[Cause, int]:
        """How many artifacts there are in the dangerous direction, by cause."""
        return dict(Counter(cause for _, _, cause in self.it_refuses))


def compare(
    artifacts: Sequence[Artifact], verdicts: Sequence[Verdict], dialect: Dialect = Dialect.WSO2
) -> Comparison:
    """Put our verdicts, as beside a runtime of that dialect, beside those of Synapse."""
    found = Comparison()
    for artifact, verdict in zip(artifacts, verdicts, strict=True):
        reasons = our_reasons(artifact, dialect)
        if reasons and verdict.taken:
            found.we_refuse.append((artifact, reasons))
        elif reasons:
            found.both_refuse += 1
        elif verdict.taken:
            found.both_take += 1
        else:
            found.it_refuses.append((artifact, verdict, cause_of(verdict, artifact)))
    return found


# --- by deploying -------------------------------------------------------------------------------


def deploy(home: SynapseHome, artifacts: Sequence[Artifact]) -> list[bool]:
    """Put the artifacts into a running home, all in one look; tell which it deployed.

    None of them may be one that no deployer survives (`Verdict.thrown`). What is deployed says so in the
    log, by its file; the last look is known by a file that is put when the first is over.
    """
    since = home.log_size()
    for artifact in artifacts:
        put(home.config / artifact.path, artifact.content)
    _marked(home, "zz-first", since)
    _marked(home, "zz-last", since)
    text = home.log_text(since)
    deployed = set(re.findall(r"has been deployed from file : (\S+\.xml)$", text, re.MULTILINE))
    root = home.config.resolve()
    return [str(root / artifact.path) in deployed for artifact in artifacts]


def _marked(home: SynapseHome, name: str, since: int) -> None:
    proxy = (
        f'<proxy xmlns="http://ws.apache.org/ns/synapse" name="{name}">'
        "<target><inSequence><drop/></inSequence></target></proxy>"
    )
    put(home.config / f"proxy-services/{name}.xml", proxy.encode())
    home.wait_log(f"ProxyService named '{name}' has been deployed", since, 120)
