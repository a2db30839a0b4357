"""Entry point: `syncagent` and `python -m syncagent`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Refuses `python -O`: assertions guard the state and stay on."""
    if not __debug__:
        sys.stderr.write("syncagent: refuses to run under python -O: its assertions are wanted\n")
        raise SystemExit(2)
    try:
        from syncagent.cli.main import run  # noqa: PLC0415 - not before the check above

        code = run()
    except KeyboardInterrupt:  # ^C while modules still load
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
