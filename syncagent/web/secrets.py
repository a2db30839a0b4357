"""The secrets of the TCP door: its bearer token and its certificate's key, from files.

Both files are looked at anew when the settings are. Others than the owner's group must not be able
to read them: who reads the token may do everything.
"""

from __future__ import annotations

import hmac
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.errors import SettingsError
from syncagent.core.secrecy import check_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.settings import HttpSettings
    from syncagent.fsio import OsFS

TOKEN_VARIABLE = "SYNCAGENT_HTTP_TOKEN"  # noqa: S105 - the name of a variable
"""Where the token may be instead of in a file."""

TOKEN_BYTES_MIN = 16
TOKEN_BYTES_MAX = 1024
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Token:
    """What a request has to carry. Never shown, compared in constant time."""

    _secret: bytes

    def opens(self, authorization: str) -> bool:
        """Tell whether an Authorization header carries it."""
        scheme, given = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
        same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._secret)
        return scheme.lower() == _SCHEME and same

    def __repr__(self) -> str:
        return "Token(...)"


def read_token(fs: OsFS, settings: HttpSettings, environ: Mapping[str, str]) -> Token | None:
    """Return the token; None if none is set. Raises SettingsError that never quotes it."""
    given = environ.get(TOKEN_VARIABLE, "")
    if not settings.token_file:
        return _token(given.encode(), TOKEN_VARIABLE) if given else None
    if given:
        raise SettingsError(
            f"the token is in {TOKEN_VARIABLE} and in http.token_file",
            hint="take one of them out",
        )
    return _token(_read_private(fs, settings.token_file, "http.token_file"), settings.token_file)


def _token(raw: bytes, where: str) -> Token:
    secret = raw.strip()
    if not TOKEN_BYTES_MIN <= len(secret) <= TOKEN_BYTES_MAX or not _printable(secret):
        raise SettingsError(
            f"the token in {where} is not {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII "
            "characters without a blank",
            hint="make one: (umask 077; openssl rand -hex 32 > FILE)",
        )
    return Token(secret)


def _printable(secret: bytes) -> bool:
    return all(0x21 <= byte <= 0x7E for byte in secret)  # noqa: PLR2004 - '!' to '~'


def make_context(fs: OsFS, settings: HttpSettings) -> ssl.SSLContext | None:
    """Return the TLS context with the certificate; None if there is none. Raises SettingsError."""
    if not settings.certificate:
        return None
    key = settings.certificate_key or settings.certificate
    _check_private(fs, key, "http.certificate_key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # A password would be asked for at the terminal that a daemon has not got.
        context.load_cert_chain(settings.certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the certificate {settings.certificate} with the key {key} can't be used: "
            f"{_why(error)}",
            hint="both have to be PEM, belong together, and be readable by this user; the key has "
            "no password",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)


def _check_private(fs: OsFS, path: str, key: str) -> None:
    try:
        mode = fs.stat(path).st_mode
    except OSError as error:
        raise SettingsError(f"{key}: {path} can't be read: {error.strerror}") from error
    check_private(path, mode)


def _read_private(fs: OsFS, path: str, key: str) -> bytes:
    try:
        file = fs.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = fs.fstat(file).st_mode
            content = fs.read_all(file, TOKEN_BYTES_MAX + 2)
        finally:
            fs.close(file)
    except OSError as error:
        raise SettingsError(f"{key}: {path} can't be read: {error.strerror}") from error
    check_private(path, mode)
    return content
