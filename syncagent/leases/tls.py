"""TLS towards a lease store: whom to trust there, and who we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Protocol

from syncagent.core.errors import SettingsError
from syncagent.core.secrecy import check_private


class PemFiles(Protocol):
    """Paths of PEM files, as `[election]` has them; empty where none is named."""

    @property
    def authority(self) -> str:
        """Who vouches for the store; empty: whom the machine trusts."""

    @property
    def certificate(self) -> str:
        """What the store knows us by."""

    @property
    def key(self) -> str:
        """Its private key, if that is in a file of its own."""


def tls_context(store: str, files: PemFiles) -> ssl.SSLContext:
    """Return a client's context; `store` is its name for people. Raises SettingsError."""
    try:
        if files.certificate:
            key = files.key or files.certificate
            check_private(key, Path(key).stat().st_mode)
        context = ssl.create_default_context(cafile=files.authority or None)
        if files.certificate:
            context.load_cert_chain(files.certificate, files.key or None)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"{store}'s certificates can't be used: {error}",
            hint="election.authority, .certificate and .certificate_key are PEM files that the agent "
            "may read",
        ) from error
    return context
