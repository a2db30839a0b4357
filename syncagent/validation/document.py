"""Bytes to an XML tree that is safe to look at, or the problem that keeps it from being one.

The limits come first and the parser reads bytes that are already in memory: nothing named
inside a document is ever opened. The parser's flags keep hostile input from costing anything
here, but they would let an external entity pass unexpanded, and the runtime's Java parser would
then expand it: so every DOCTYPE is refused, as are the forms that two parsers may read
differently (XML 1.1, rare encodings, a byte order mark against the declaration).
"""

from __future__ import annotations

import codecs
import re
import threading
from typing import TYPE_CHECKING

from lxml import etree

from syncagent.core.verdict import Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

ELEMENTS_MAX = 200_000
"""Elements in one document; memory while parsing is about 15 times the file (measured)."""

ENCODINGS = frozenset(
    {"UTF-8", "UTF8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ASCII", "ISO-8859-1"}
)
"""Encodings that pass, upper case; API Manager's own files declare UTF-8 and ISO-8859-1."""

_BLANK = re.compile(rb"[ \t\r\n]*+\Z")
_MARKED = re.compile(re.escape(codecs.BOM_UTF8) + rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([^\"']+)")
"""A declaration with an encoding after a UTF-8 byte order mark."""


def _hard_parser() -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        collect_ids=False,
        remove_comments=False,
        strip_cdata=False,
    )


class _Parsers(threading.local):
    """One parser per thread: making one takes as long as a sixth of a document of 7 KB.

    The names that it has met are its thread's (measured): a new one would keep no fewer.
    """

    def __init__(self) -> None:
        self.hard = _hard_parser()


_PARSERS = _Parsers()


def parse(content: bytes) -> Element | Problem:
    """Return the root element of `content`, or why it is refused. Never raises for what it is."""
    if _BLANK.match(content):
        return Problem("empty", "the file is empty")
    # Every element costs at least one `<`, in whatever encoding.
    if len(content) > ELEMENTS_MAX and content.count(b"<") > ELEMENTS_MAX:
        return Problem("too-many-elements", f"more than {ELEMENTS_MAX} elements or other markup")
    try:
        root = etree.fromstring(content, _PARSERS.hard)
    except etree.XMLSyntaxError as error:
        return _syntax_problem(error, content)
    return _document_problem(root, content) or root


def _syntax_problem(error: etree.XMLSyntaxError, content: bytes) -> Problem:
    """Say in one line what the parser found, and where; 1 where it could not say."""
    message = (error.msg or "no reason given").partition(", line ")[0]
    code = "not-well-formed"
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        code = "doctype"
        message = f"a DOCTYPE is not allowed, and reading on fails: {message}"
        return Problem(code, message, max(error.lineno or 0, 1))
    return Problem(code, f"not well-formed XML: {message}", max(error.lineno or 0, 1))


def _document_problem(root: Element, content: bytes) -> Problem | None:
    """Tell what in the prolog of a well-formed document is refused, None if nothing is."""
    prolog = root.getroottree().docinfo
    if prolog.internalDTD is not None:
        return Problem(
            "doctype", "a DOCTYPE is not allowed: the runtime would read what it names", 1
        )
    if prolog.xml_version != "1.0":
        return Problem("xml-version", f"XML {prolog.xml_version} is not allowed, only 1.0", 1)
    encoding = (prolog.encoding or "UTF-8").upper()
    if encoding not in ENCODINGS:
        return Problem("encoding", f"the encoding {prolog.encoding} is not allowed", 1)
    # The parser believes the mark and forgets the declaration; the runtime's may not.
    declared = _MARKED.match(content)
    if declared is not None and declared[1].upper() not in {b"UTF-8", b"UTF8"}:
        name = declared[1].decode("ascii", "replace")
        return Problem("encoding", f"a UTF-8 byte order mark in a file that declares {name}", 1)
    return None
