"""What the table of settings is made of: sections, and their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.settings.shapes import Shape, Value


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section. `default` None: there is none, and the key may be left out."""

    name: str
    shape: Shape
    about: str
    default: Value | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the file; `many`: an array of tables, written `[[name]]`."""

    name: str
    about: str
    keys: tuple[Key, ...] = ()
    many: bool = False

    def key(self, name: str) -> Key | None:
        """Return the key of that name."""
        return next((key for key in self.keys if key.name == name), None)
