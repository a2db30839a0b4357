"""Artifacts with one thing wrong, made out of good ones: by rule, not by chance.

Every name of an element, and every attribute of one, that the given artifacts use gets each kind of
damage, on the first few artifacts where it is found; so what is made grows with what is used and not
with how many files there are.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

NAMESPACE = "{http://ws.apache.org/ns/synapse}"
EACH = 2
"""How many artifacts get the same damage at the same element or attribute."""


@dataclass(frozen=True)
class Artifact:
    """A file of a tree: `folder/base`, and its bytes."""

    path: str
    content: bytes

    @property
    def folder(self) -> str:
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The name that it gives itself; empty if none."""
        root = etree.fromstring(self.content)
        return root.get("name") or root.get("key") or ""


@dataclass(frozen=True)
class Mutant(Artifact):
    """An artifact with one thing wrong: `damage` says what, and where."""

    damage: str


def _drop(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _double(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.insert(parent.index(element), copy.deepcopy(element))


def _rename(element: etree._Element) -> None:
    element.tag = f"{NAMESPACE}bogus"


def _unname(element: etree._Element) -> None:
    element.tag = etree.QName(element).localname


def _empty(element: etree._Element) -> None:
    for child in list(element):
        element.remove(child)
    element.text = None


def _strange_child(element: etree._Element) -> None:
    element.insert(0, element.makeelement(f"{NAMESPACE}bogus", None, None))


ELEMENT_DAMAGE: Mapping[str, Callable[[etree._Element], None]] = {
    "drop": _drop,
    "double": _double,
    "rename": _rename,
    "no namespace": _unname,
    "empty": _empty,
    "strange child": _strange_child,
}
ATTRIBUTE_DAMAGE: Mapping[str, str | None] = {
    "drop": None,
    "blank": "",
    "bogus": "bogus value",
    "not closed": "f(",
    "minus": "-1",
}


def mutants_of(artifacts: Sequence[Artifact]) -> Iterator[Mutant]:
    """Yield mutants of `artifacts`, in an order that depends on them alone."""
    made: Counter[tuple[str, ...]] = Counter()
    for artifact in artifacts:
        root = etree.fromstring(artifact.content)
        places = list(root.iter(f"{NAMESPACE}*"))
        for number, element in enumerate(places):
            yield from _damaged(artifact, root, number, element, made)


def _damaged(
    artifact: Artifact,
    root: etree._Element,
    number: int,
    element: etree._Element,
    made: Counter[tuple[str, ...]],
) -> Iterator[Mutant]:
    local = etree.QName(element).localname
    parent = element.getparent()
    above = "" if parent is None else etree.QName(parent).localname
    for damage, do in ELEMENT_DAMAGE.items():
        if (parent is None and damage in {"drop", "double"}) or (
            damage == "empty" and len(element) == 0 and not element.text
        ):
            continue
        key = (artifact.folder if parent is None else "", above, local, damage)
        if made[key] < EACH:
            made[key] += 1
            twin, place = _twin(root, number)
            do(place)
            yield _mutant(artifact, twin, f"{damage} <{local}>", made.total())
    for attribute in element.attrib:
        for damage, value in ATTRIBUTE_DAMAGE.items():
            key = (artifact.folder if parent is None else "", local, str(attribute), damage)
            if made[key] < EACH:
                made[key] += 1
                twin, place = _twin(root, number)
                if value is None:
                    del place.attrib[attribute]
                else:
                    place.set(attribute, value)
                yield _mutant(artifact, twin, f"{damage} {local}/@{attribute}", made.total())


def _twin(root: etree._Element, number: int) -> tuple[etree._Element, etree._Element]:
    """Return a copy of the document, and the element of that number in it."""
    twin = copy.deepcopy(root)
    return twin, list(twin.iter(f"{NAMESPACE}*"))[number]


def _mutant(artifact: Artifact, root: etree._Element, damage: str, number: int) -> Mutant:
    """Return the mutant, under a name of its own where its damage is not in the name."""
    stem = artifact.path.removesuffix(".xml")
    for attribute in ("name", "key"):
        if root.get(attribute) == artifact.name:
            root.set(attribute, f"{artifact.name}.{number}")
    return Mutant(f"{stem}.{number}.xml", etree.tostring(root), damage)
