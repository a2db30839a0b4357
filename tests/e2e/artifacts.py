"""Small valid artifacts, made by the dozen."""

from pathlib import Path

SYNAPSE = "http://ws.apache.org/ns/synapse"


def api(name: str, *, context: str = "", note: str = "") -> bytes:
    """Return an API; `note` is a comment that makes its bytes differ."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<api xmlns="{SYNAPSE}" name="{name}" context="{context or "/" + name.lower()}">\n'
        f'  <resource methods="GET"><inSequence><respond/></inSequence></resource>\n'
        f"  <!-- {note} -->\n</api>\n"
    ).encode()


def sequence(name: str, note: str = "") -> bytes:
    """Return a sequence."""
    return (
        f'<sequence xmlns="{SYNAPSE}" name="{name}">\n  <log/>\n  <!-- {note} -->\n</sequence>\n'
    ).encode()


def plan(name: str, note: str = "") -> bytes:
    """Return a Siddhi plan."""
    return (
        f"@Plan:name('{name}')\n/* {note} */\ndefine stream Src (a int);\n"
        "define stream Out (a int);\nfrom Src select a insert into Out;\n"
    ).encode()


def fill(tree: Path, apis: int, sequences: int) -> None:
    """Put `apis` APIs and `sequences` sequences into a tree."""
    for folder, count, make in (("api", apis, api), ("sequences", sequences, sequence)):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = f"{folder.title()}{number:03}"
            (tree / folder / f"{name}.xml").write_bytes(make(name))
