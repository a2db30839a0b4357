"""Small artifacts of all tree kinds, good and bad, each version with bytes of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName

if TYPE_CHECKING:
    import random

NS = "http://ws.apache.org/ns/synapse"
SYNAPSE, PLANS, FILES = TreeName("synapse"), TreeName("plans"), TreeName("files")
KINDS = {SYNAPSE: TreeKind.SYNAPSE, PLANS: TreeKind.SIDDHI, FILES: TreeKind.GENERIC}

PATHS = {
    SYNAPSE: (
        *(f"sequences/S{n}.xml" for n in range(5)),
        *(f"endpoints/E{n}.xml" for n in range(4)),
        *(f"api/A{n}.xml" for n in range(4)),
        "templates/T0.xml",
    ),
    PLANS: tuple(f"P{n}.siddhiql" for n in range(4)),
    FILES: tuple(f"d/f{n}.txt" for n in range(4)),
}
"""Every path that anybody uses, by tree."""


def all_paths(tree: TreeName) -> list[ArtifactPath]:
    """Return the paths of a tree."""
    return [ArtifactPath(tree, path) for path in PATHS[tree]]


def good(path: ArtifactPath, version: int, rng: random.Random) -> bytes:
    """Return valid bytes of an artifact; another version has other bytes."""
    name = path.path.rpartition("/")[2].partition(".")[0]
    if path.tree == PLANS:
        return f"@Plan:name('{name}')\ndefine stream V{version} (a string);\n".encode()
    if path.tree == FILES:
        return f"file {name} version {version}\n".encode()
    folder = path.path.partition("/")[0]
    note = f'<!-- {version} --><log><property name="v" value="{version}"/></log>'
    if folder == "sequences":
        return f'<sequence xmlns="{NS}" name="{name}">{note}</sequence>'.encode()
    if folder == "templates":
        body = f"<sequence>{note}</sequence>"
        return f'<template xmlns="{NS}" name="{name}">{body}</template>'.encode()
    if folder == "endpoints":
        where = f'<http method="get" uri-template="http://h/{version}"/>'
        return f'<endpoint xmlns="{NS}" name="{name}">{where}</endpoint>'.encode()
    calls = f'<sequence key="S{rng.randrange(5)}"/>' if rng.random() < 0.5 else note
    resource = f'<resource methods="GET"><inSequence>{calls}</inSequence></resource>'
    head = f'xmlns="{NS}" name="{name}" context="/{name.lower()}"'
    return f"<api {head}><!-- {version} -->{resource}</api>".encode()


def bad(path: ArtifactPath, version: int, rng: random.Random) -> bytes:
    """Return bytes that validation refuses; generic files can't be invalid."""
    whole = good(path, version, rng)
    if path.tree == PLANS:
        return whole.replace(b";", b"").replace(b")", b"")
    return whole[: len(whole) * 2 // 3]
