"""Help that starts with examples, and says what each exit code means here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CODES: Mapping[int, str] = {
    0: "done, or in sync",
    1: "it failed, and none of the codes below says how",
    2: "wrong usage, or the settings are wrong",
    3: "differences exist",
    4: "partly done: some nodes are not where they should be",
    5: "held: a person has to approve first",
    6: "rejected, refused or quarantined; `validate`: something is invalid",
    7: "busy: not the manager, already running, or no quorum",
    8: "nothing happened before the deadline",
    9: "the agent, or a node, can't be reached",
    130: "stopped by ^C",
}
"""What every exit code means; the README's table is made from this."""


def _write_examples(examples: Sequence[tuple[str, str]], formatter: click.HelpFormatter) -> None:
    if not examples:
        return
    with formatter.section("Examples"):
        width = max(len(line) for line, _ in examples)
        for line, what in examples:
            formatter.write(f"{'':{formatter.current_indent}}{line:{width}}  {what}\n")
    formatter.write_paragraph()


def _write_exits(exits: Mapping[int, str], formatter: click.HelpFormatter) -> None:
    if exits:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in exits.items()])


class ExampleCommand(click.Command):
    """A command whose help starts with `examples`; `exits` are the codes worth knowing here."""

    def __init__(
        self,
        name: str | None,
        *,
        examples: Sequence[tuple[str, str]] = (),
        exits: Mapping[int, str] | None = None,
        **attributes: object,
    ) -> None:
        super().__init__(name, **attributes)  # type: ignore[arg-type]  # click's own, passed on
        self.examples = examples
        self.exits = exits or {}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, usage, text, options, exit codes."""
        _write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)
        _write_exits(self.exits, formatter)


class ExampleGroup(click.Group):
    """A group whose help starts with `examples`; `exits` as in ExampleCommand."""

    def __init__(
        self,
        name: str | None = None,
        *,
        examples: Sequence[tuple[str, str]] = (),
        exits: Mapping[int, str] | None = None,
        **attributes: object,
    ) -> None:
        super().__init__(name, **attributes)  # type: ignore[arg-type]  # click's own, passed on
        self.examples = examples
        self.exits = exits or {}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, usage, text, options, commands, exit codes."""
        _write_examples(self.examples, formatter)
        super().format_help(ctx, formatter)
        _write_exits(self.exits, formatter)
