"""The file and the environment as one sheet of raw cells, each with where it was written.

Reading (`read_text`), understanding TOML (`fill`) and overriding (`override`) happen here; what
the cells mean is judged in `answers`. Mistakes are collected, never thrown one by one.

An override is `SYNCAGENT_SECTION__KEY`; for `[[tree]]` and `[[peer]]` it is `SYNCAGENT_TREE` or
`SYNCAGENT_PEER`, whose value is a TOML array of tables and takes the place of all of the file's.
Other names that start with SYNCAGENT_ are left alone: Kubernetes invents such variables for a
service of that name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.errors import SettingsError
from syncagent.settings.positions import lines_of
from syncagent.settings.table import SECTIONS, section

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from syncagent.settings.positions import Way
    from syncagent.settings.section import Section

FILE_BYTES_MAX = 1024 * 1024
_PREFIX = "SYNCAGENT_"


@dataclass(frozen=True, slots=True)
class Cell:
    """A raw value: `where` is FILE:LINE or the name of a variable; `line` 0 sorts last."""

    raw: object
    where: str
    line: int = 0


Row = dict[str, Cell]
"""The cells of one table, by key."""


@dataclass(slots=True)
class Sheet:
    """All that was written, by section; a section that is no array has one row at most."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    heads: dict[tuple[str, int], Cell] = field(default_factory=dict)

    def head(self, name: str, index: int, fallback: str) -> Cell:
        """Return where a section's table begins, else the file itself."""
        return self.heads.get((name, index)) or Cell(None, fallback)


@dataclass(slots=True)
class Mistakes:
    """What is wrong, in the order of the file."""

    source: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, cell: Cell, what: str) -> None:
        """Remember one mistake at `cell`."""
        self.found.append((cell.line, f"{cell.where}: {what}"))

    def raise_any(self) -> None:
        """Raise SettingsError with all of them, if there are any."""
        if not self.found:
            return
        found = sorted(self.found, key=lambda item: (item[0] == 0, item[0]))
        texts = tuple(dict.fromkeys(text for _, text in found))
        count = "1 mistake" if len(texts) == 1 else f"{len(texts)} mistakes"
        raise SettingsError(
            f"{self.source}: {count} in the settings",
            mistakes=texts,
            hint="mend the settings, then try `syncagent config check`",
        )


def _refuse(where: str, what: str, hint: str) -> SettingsError:
    return SettingsError("the settings can't be read", mistakes=(f"{where}: {what}",), hint=hint)


def read_text(path: Path) -> str:
    """Return the file's text; raises SettingsError that says why it can't be read."""
    where = str(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise _refuse(
            where, "there is no such file", "name it with --config, or make it: syncagent init"
        ) from error
    except IsADirectoryError as error:
        raise _refuse(where, "this is a folder", "name the file in it with --config") from error
    except PermissionError as error:
        raise _refuse(
            where, "this user may not read it", "run as the gateway's user, or mend its mode"
        ) from error
    except OSError as error:
        raise _refuse(where, f"it can't be read: {error.strerror}", "look at the disk") from error
    if len(content) > FILE_BYTES_MAX:
        raise _refuse(where, "it has more than 1 MiB: these are no settings", "name another file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refuse(
            f"{where}:{line}",
            f"byte 0x{content[error.start]:02x} is not UTF-8, and TOML is always UTF-8",
            "save the file as UTF-8",
        ) from error


def parse(text: str, source: str) -> tuple[Mapping[str, object], Mapping[Way, int]]:
    """Return the document and the lines of its keys; raises SettingsError where it is no TOML."""
    try:
        return tomllib.loads(text), lines_of(text)
    except tomllib.TOMLDecodeError as error:
        what, line = _syntax(str(error), text)
        raise _refuse(
            f"{source}:{line}", f"this is not TOML: {what}", 'text needs quotes: name = "gw-1"'
        ) from error
    except RecursionError as error:
        raise _refuse(source, "lists are nested too deep", "mend the file") from error


def _syntax(message: str, text: str) -> tuple[str, int]:
    """Split tomllib's message into what and the line."""
    match = re.fullmatch(
        r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL
    )
    if match is None:
        return message, 1
    if match[2] is None:
        return f"{match[1]} at the end of the file", text.rstrip("\n").count("\n") + 1
    return f"{match[1]} (column {match[3]})", int(match[2])


def fill(document: Mapping[str, object], lines: Mapping[Way, int], mistakes: Mistakes) -> Sheet:
    """Return the sheet of a parsed document; unknown sections and wrong forms are mistakes."""
    sheet = Sheet()

    def cell(raw: object, *way: str | int) -> Cell:
        line = lines.get(way, 0)
        return Cell(raw, f"{mistakes.source}:{line}" if line else mistakes.source, line)

    for name, content in document.items():
        head = cell(content, name)
        known = _known(name, head, mistakes)
        if known is None:
            continue
        tables = _tables(known, content, head, mistakes)
        sheet.rows[name] = []
        for index, table in enumerate(tables):
            way = (name, index) if known.many else (name,)
            sheet.heads[name, index] = cell(None, *way)
            sheet.rows[name].append({key: cell(raw, *way, key) for key, raw in table.items()})
    return sheet


def _known(name: str, head: Cell, mistakes: Mistakes) -> Section | None:
    """Return the section of that name; what is unknown is a mistake."""
    known = section(name)
    if known is None:
        if isinstance(head.raw, dict | list):
            what = f"there is no section [{name}]{guess(name, [each.name for each in SECTIONS])}"
        else:
            what = f"{name} stands outside of every section; move it below its [section]"
        mistakes.add(head, what)
    return known


def _tables(
    known: Section, content: object, head: Cell, mistakes: Mistakes
) -> list[dict[str, object]]:
    """Return the tables of a section, whichever way they were written."""
    name = known.name
    if known.many:
        if isinstance(content, list) and all(isinstance(table, dict) for table in content):
            return list(content)
        mistakes.add(head, f"there may be several of these: write [[{name}]] with two brackets")
    elif isinstance(content, dict):
        return [content]
    else:
        mistakes.add(head, f"this is a section: write [{name}] with its keys below")
    return []


def guess(word: str, words: Iterable[str]) -> str:
    """Return `; did you mean X?` for the nearest of `words`, or which there are."""
    words = list(words)
    near = difflib.get_close_matches(word.lower(), words, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are {', '.join(words)}" if words else ""


def override(sheet: Sheet, environ: Mapping[str, str], mistakes: Mistakes) -> None:
    """Lay the environment's overrides over the sheet."""
    many = {f"{_PREFIX}{each.name.upper()}": each for each in SECTIONS if each.many}
    for variable, text in sorted(environ.items()):
        if variable in many:
            _replace_all(sheet, many[variable], Cell(text, variable), mistakes)
        elif variable.startswith(_PREFIX) and "__" in variable:
            _override_key(sheet, Cell(text, variable), mistakes)


def _override_key(sheet: Sheet, cell: Cell, mistakes: Mistakes) -> None:
    name, _, key_name = cell.where.removeprefix(_PREFIX).lower().partition("__")
    known = section(name)
    if known is None or known.many:
        mistakes.add(cell, _no_section(name, known))
        return
    key = known.key(key_name)
    if key is None:
        names = [each.name for each in known.keys]
        mistakes.add(cell, f"[{name}] has no key {key_name}{guess(key_name, names)}")
        return
    raw: object = cell.raw
    if not key.shape.bare:
        raw = _toml_value(str(cell.raw))
    rows = sheet.rows.setdefault(name, []) or [{}]
    rows[0][key_name] = Cell(raw, cell.where)
    sheet.rows[name] = rows


def _no_section(name: str, known: Section | None) -> str:
    if known is None:
        names = [each.name for each in SECTIONS if not each.many]
        return f"there is no section [{name}] to override{guess(name, names)}"
    return f"there may be several [[{name}]]: override all of them with {_PREFIX}{name.upper()}"


def _toml_value(text: str) -> object:
    """Return the TOML value that `text` spells; the text itself if it spells none."""
    try:
        document = tomllib.loads(f"x = {text}\n")
    except tomllib.TOMLDecodeError:
        return text
    return document["x"] if len(document) == 1 else text


def _replace_all(sheet: Sheet, known: Section, cell: Cell, mistakes: Mistakes) -> None:
    content = _toml_value(str(cell.raw))
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        mistakes.add(cell, 'write a TOML array of tables: [{name = "...", ...}]')
        return
    sheet.rows[known.name] = [
        {key: Cell(raw, cell.where) for key, raw in table.items()} for table in content
    ]
    for index in range(len(content)):
        sheet.heads[known.name, index] = Cell(None, cell.where)
