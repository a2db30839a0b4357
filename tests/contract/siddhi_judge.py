"""Both judges of a plan's text: ours, and the real compiler of Siddhi (`scripts/siddhi-compiler`)."""

import struct
import subprocess
from functools import cache
from pathlib import Path

import pytest

from syncagent.core.artifact import Kind
from syncagent.validation.validator import ArtifactValidator

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/data/corpus"
PLANS = sorted(CORPUS.glob("*/executionplans/*.siddhiql")) + sorted(
    CORPUS.glob("*/variants/executionplans/*.siddhiql")
)

FEATURES = ROOT / "tests/data/siddhi/features.siddhiql"
"""What the corpus has little or nothing of; the compiler takes it."""


@cache
def compiler() -> Path:
    """Return the folder of the compiler's jars; where it can't be had, skip (or fail)."""
    done = subprocess.run(
        [ROOT / "scripts/siddhi-compiler"], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no Siddhi compiler here: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def theirs(texts: list[str]) -> list[str]:
    """Return what the compiler says of each plan: "ok", or an exception and its text."""
    plans = [text.encode() for text in texts]
    judge = ["java", "-cp", f"{compiler()}/*", str(ROOT / "tests/data/siddhi/Judge.java")]
    given = b"".join(struct.pack(">I", len(plan)) + plan for plan in plans)
    done = subprocess.run(judge, input=given, capture_output=True, timeout=600, check=True)
    verdicts = done.stdout.decode().splitlines()
    assert len(verdicts) == len(plans), done.stderr.decode()
    return [verdict.replace("\t", ": ", 1) for verdict in verdicts]


def statements() -> list[tuple[str, bool]]:
    """Return each line of statements.txt as a plan, and whether the compiler takes it."""
    lines = (ROOT / "tests/data/siddhi/statements.txt").read_text().splitlines()
    return [(f"@Plan:name('plan') {line[2:]}", line.startswith("+")) for line in lines]


def ours(text: str) -> str:
    """Return what we say of a plan: "ok", or the code of the problem and its text."""
    verdict = ArtifactValidator().examine(Kind.PLAN, "plan.siddhiql", text.encode())
    if verdict.valid:
        return "ok"
    return f"{verdict.problems[0].code}: {verdict.problems[0].reason}"
