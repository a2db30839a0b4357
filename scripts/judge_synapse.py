"""Behind `scripts/judge-synapse`: both verdicts on every file of a tree, and where they differ."""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from syncagent.core.dialect import Dialect  # noqa: E402 - found by the line above
from tests.e2e.cluster import free_ports  # noqa: E402
from tests.e2e.synapse import FOLDERS as WATCHED  # noqa: E402
from tests.e2e.synapse import MissingError, SynapseHome, library  # noqa: E402
from tests.e2e.synapse_judge import (  # noqa: E402
    LOG_KB,
    NO_NAMES,
    Cause,
    artifacts_of,
    compare,
    deploy,
    judge,
    our_reasons,
)
from tests.e2e.synapse_mutants import mutants_of  # noqa: E402


def show(title, found, listed):
    total = found.both_take + found.both_refuse + len(found.we_refuse) + len(found.it_refuses)
    print(f"\n{title}: {total}")
    print(f"  {found.both_take:5} both take it")
    print(f"  {found.both_refuse:5} both refuse it")
    print(f"  {len(found.we_refuse):5} we refuse it, Synapse takes it")
    print(f"  {len(found.it_refuses):5} we pass it, Synapse refuses it:")
    for cause, count in sorted(found.causes.items(), key=lambda item: -item[1]):
        print(f"    {count:5} {cause.value}")
    if listed:
        for artifact, reasons in found.we_refuse:
            print(f"  - {what(artifact)}: we say: {reasons[0]}")
        for artifact, verdict, cause in sorted(found.it_refuses, key=lambda item: item[2]):
            print(f"  - {what(artifact)}: {cause.value}: {verdict.reason[:200]}")


def what(artifact):
    return f"{artifact.path} ({artifact.damage})" if hasattr(artifact, "damage") else artifact.path


def by_deployment(folder, artifacts, verdicts):
    """Deploy what no deployer dies of, and compare with what the deployers said one by one."""
    home = SynapseHome(folder / "home", free_ports(1)[0], LOG_KB, options=NO_NAMES)
    safe = [
        (artifact, verdict)
        for artifact, verdict in zip(artifacts, verdicts, strict=True)
        if not verdict.thrown and artifact.folder in WATCHED
    ]
    (home.folder / "hosts").write_text("127.0.0.1 localhost\n")
    try:
        home.start()
        deployed = deploy(home, [artifact for artifact, _ in safe])
    finally:
        home.stop()
    print(f"\nput into a running Synapse: {len(safe)}, of which it deployed {sum(deployed)}")
    print(f"  not tried: nobody looks there, or hot deployment dies: {len(artifacts) - len(safe)}")
    for (artifact, verdict), taken in zip(safe, deployed, strict=True):
        if taken != verdict.taken:
            print(f"  - {artifact.path}: deployed {taken}, alone {verdict.taken} {verdict.reason}")


def main():
    parser = argparse.ArgumentParser(description="compare our verdicts with a real Synapse's")
    parser.add_argument("trees", nargs="+", type=Path, metavar="TREE")
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--deploy", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--runtime", type=Dialect, choices=list(Dialect), default=Dialect.APACHE)
    asked = parser.parse_args()
    try:
        library()
    except MissingError as error:
        print(error, file=sys.stderr)
        return 3
    artifacts = [artifact for tree in asked.trees for artifact in artifacts_of(tree)]
    with tempfile.TemporaryDirectory(prefix="judge-synapse-") as scratch:
        folder = Path(scratch)
        verdicts = judge(folder, artifacts)
        found = [compare(artifacts, verdicts, asked.runtime)]
        show("artifacts", found[0], asked.list)
        if asked.mutants:
            pairs = zip(artifacts, verdicts, strict=True)
            good = [a for a, v in pairs if v.taken and not our_reasons(a, asked.runtime)]
            mutants = list(mutants_of(good))
            (folder / "mutants").mkdir()
            judged = judge(folder / "mutants", mutants)
            found.append(compare(mutants, judged, asked.runtime))
            show("mutants", found[1], asked.list)
        if asked.deploy:
            by_deployment(folder, artifacts, verdicts)
    unexplained = sum(each.causes.get(Cause.UNEXPLAINED, 0) for each in found)
    return 1 if unexplained or found[0].we_refuse else 0


if __name__ == "__main__":
    sys.exit(main())
