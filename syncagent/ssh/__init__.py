"""Connections between agents; the home of paramiko.

paramiko loads `invoke`, where that is installed, to run commands that OpenSSH's settings files may
name. Nothing here reads such files, and with what it loads in turn it would cost each agent 6 MB.
"""

import sys

if "invoke" not in sys.modules:
    sys.modules["invoke"] = None  # type: ignore[assignment]  # how an import is made to fail
    import paramiko  # noqa: F401 - loaded here, without it

    del sys.modules["invoke"]
