"""XPath and regular expressions in attributes: what no runtime's compiler takes.

The runtime's compilers are Java's, ours are not; so an expression is refused only for what every
dialect refuses: nothing in it, a bracket or a quote that is never closed, words that stand side by side.
JSONPath, the expressions of later runtimes and whatever may be XPath 2.0 pass unread.
"""

from __future__ import annotations

import re
from functools import lru_cache

from lxml import etree

_READ_MAX = 2_000
"""Characters of an expression that is read; real ones have at most some hundred."""

_OTHER_LANGUAGE = re.compile(
    r"\s*+(?:json-eval\(|\$\{|\{|\$\.)|[,\[]\s*+\d|<<|>>|\|\||!=?\s*+\(|=>|\?"
    r"|\b(?:for|if|some|every|then|else|return|satisfies|eq|ne|lt|le|gt|ge|is|to|union|intersect"
    r"|except|instance|treat|castable|cast|idiv)\b"
)
"""How an expression begins, or what is in it, that is not XPath 1.0 or may be more than that."""

_OPEN = "a bracket is never closed"
_QUOTED = re.compile(r"'[^']*+'|\"[^\"]*+\"")
_JAVA_ONLY = re.compile(r"\\Q|&&|--|~~|\|\||\[\[")
"""Text that is quoted, and sets within sets, which another library reads otherwise."""
_BRACKET = re.compile(r"[()\[]")
_NEVER_CLOSED = re.compile(
    r"missing \)|unbalanced parenthesis|unterminated character set|unterminated subpattern"
)
"""What `re` says of a pattern that no dialect of regular expressions takes."""


@lru_cache(maxsize=4_096)
def xpath_fault(text: str) -> str | None:
    """Tell why `text` is an XPath expression in no dialect; None if it may be one.

    >>> xpath_fault("get-property('transport', 'X')")
    >>> xpath_fault("f(")
    'the expression "f(" is not XPath: a bracket is never closed'
    """
    if not text.strip():
        return "an expression is empty"
    if len(text) > _READ_MAX:
        return None
    fault = _fault(text)
    if fault is None or (fault is not _OPEN and _OTHER_LANGUAGE.search(text)):
        return None
    return f'the expression "{text}" is not XPath: {fault}'


@lru_cache(maxsize=4_096)
def is_xpath(text: str) -> bool:
    """Tell whether `text` is XPath 1.0, which is all that Apache Synapse reads.

    >>> is_xpath("$ctx:a"), is_xpath("json-eval($.a)")
    (True, False)
    """
    return len(text) > _READ_MAX or _fault(text) is None


def _fault(text: str) -> str | None:
    try:
        etree.XPath(text)
    except etree.XPathSyntaxError as error:
        return str(error)
    # The library takes a call that is never closed.
    bare = _QUOTED.sub("", text)
    return _OPEN if bare.count("(") > bare.count(")") else None


@lru_cache(maxsize=512)
def regex_fault(text: str) -> str | None:
    r"""Tell why `text` is a regular expression in no dialect; None if it may be one.

    >>> regex_fault("a(b")
    'the regular expression "a(b" is never closed: missing ), unterminated subpattern at position 1'
    """
    if _BRACKET.search(text) is None:
        # Nothing to close, as in most: compiling was a quarter of judging an artifact.
        return None
    if len(text) > _READ_MAX or _JAVA_ONLY.search(text):
        return None
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        reason = str(error)
        if _NEVER_CLOSED.search(reason):
            return f'the regular expression "{text}" is never closed: {reason}'
    return None
