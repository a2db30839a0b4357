"""What ends with the `with` block that it was entered in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Ends(ABC):
    """Whatever a test makes and has to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @abstractmethod
    def end(self) -> None:
        """End it for good; quiet if it has ended or never began."""
