"""What is plain in an artifact's bytes: a look that saves most artifacts the walk through their tree.

To the parser's library an element costs more than all that its rule asks. So the bytes are gone
through first, by one regular expression (`_plain`), up to the first element that is not plain. An
element is plain if it has no rule and names nothing, or if it is written in one of the common ways that
its rule takes for certain (`_WRITTEN`): attributes of these values, an expression of this simple form,
these children. Elements that name artifacts are collected. Whatever else there is, be it wrong or
merely rare, is left to `inside`; so is all that only some dialects take.

That the bytes can be taken at their word follows from what `document` refuses and from what is asked
here: no DOCTYPE and thus no entities but of characters, one default namespace, no CDATA section. Where
an element stands is not looked at: each is judged as if it were a mediator.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from syncagent.validation.mediators import ELEMENT_RULES, MEDIATOR_RULES
from syncagent.validation.names import FAMILIAR, NS, local_names
from syncagent.validation.references import NAMESPACE, USES, note_uses

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from syncagent.core.verdict import Reference

# --- what is in attributes -------------------------------------------------------------------------

_VALUE = '"[^"]*+"'
_SOME = '"[^"]++"'
_ANY = rf"(?!xmlns[=:])[\w:.-]++={_VALUE}"
_XMLNS = rf'xmlns:[\w.-]++="(?!{re.escape(NAMESPACE)}")[^"&]*+"'
"""A prefix for another namespace than ours; which is the default one, and stays it."""

_NAME = r"[A-Za-z_][\w.-]*+"
_QNAME = rf"{_NAME}(?>(?::{_NAME})?)"
_STEP = rf"(?:@?+{_QNAME}|\*|\.\.?+|text\(\))"
_PATH = rf"(?:\$(?:{_QNAME})/{{0,2}}+(?:(?<=/){_STEP}|(?<!/))|/{{0,2}}+{_STEP})(?>(?:/{{1,2}}+{_STEP})*)"
_ARGUMENT = rf"(?:'[^'\"&]*+'|[0-9]{{1,9}}+(?![\w.])|{_PATH}(?!\())"
_CALL = (
    rf"(?!(?:text|node|comment|processing-instruction)\(){_QNAME}"
    rf"\((?>(?:\s*+{_ARGUMENT}(?>(?:\s*+,\s*+{_ARGUMENT})*))?)\s*+\)"
)
EXPRESSION = rf"(?:\${_QNAME}(?=\")|{_CALL}|{_PATH}|json-eval\([^\"()&]++\)|\$\.[^\"()&]++|\$\{{[^\"()&]++\}})"
"""Paths, calls with simple arguments, JSON paths, and what later runtimes have in braces: no runtime's
compiler is known to refuse one of these."""
PATTERN = r"[^\"&()\[]"
"""What a regular expression consists of in which nothing can be left open."""

_INTEGER = "-?+[0-9]{1,18}+"
_FLOAT = r"[0-9]{1,9}+(?>(?:\.[0-9]{1,9}+)?)"
_CODES = "-?+[0-9]{1,9}+(?>(?:, ?+[0-9]{1,9}+)*)"
_SCOPE = 'scope="(?:default|axis2|axis2-client|transport|operation|registry)"'
_TYPE = 'type="(?:STRING|BOOLEAN|FLOAT|DOUBLE|OM|JSON|XML)"'
_SAID = rf'(?:value={_VALUE}|expression="{EXPRESSION}")'


def _of(*attributes: str) -> str:
    """Match any number of these attributes, in any order."""
    return rf"(?>(?:\s++(?:{'|'.join(attributes)}))*)"


def _both(one: str, other: str, *more: str) -> str:
    """Match an attribute and another one, in either order and among any number of `more`."""
    some = _of(*more)
    any_way = rf"{some}\s++(?:{one}{some}\s++{other}|{other}{some}\s++{one})"
    return rf"(?:\s++{one}\s++{other}|{any_way}){some}"


def _holding(inside: str) -> str:
    """Match an element's end, with nothing but `inside` before it."""
    return rf"\s*+(?:/>|>\s*+(?:{inside})</)"


def _texts(**texts: str) -> str:
    """Match any number of children that hold these texts."""
    each = "|".join(f"{name}>{text}</{name}" for name, text in texts.items())
    return rf"(?>(?:<(?:{each})>\s*+)*)"


_COMMENT = "!--[^-]*+(?>(?:-(?!->)[^-]*+)*)-->"

# --- elements --------------------------------------------------------------------------------------

_END = r"\s*+/?+>"
_SOURCE = f'source="{EXPRESSION}"'
_REGEX = f'regex="{PATTERN}++"'
_READER = 'evaluator="(?:xml|json)"'
_DESCRIBED = f"description={_VALUE}"
_CLONE = 'clone="(?:true|false)"'
_ACTION = 'action="[a-z]*+"'
_XML = 'media-type="xml"'
_REMOVED = 'action="remove"'
_LANGUAGE = _of(_DESCRIBED, _XMLNS)
_SET = _both(f"name={_SOME}", _SAID, _SCOPE, _TYPE, _DESCRIBED, _XMLNS) + _END
_ENRICHED = (
    rf'{_of(_CLONE, _ACTION, _XMLNS)}\s++(?:type="(?:body|envelope)"|xpath="{EXPRESSION}"'
    rf'|type="custom"\s++xpath="{EXPRESSION}"|type="property"\s++property={_SOME}'
    rf'|property={_SOME}\s++type="property"){_of(_CLONE, _ACTION, _XMLNS)}\s*+/>\s*+'
)
_BLAMED = rf"{_of(_XMLNS)}\s++{_SAID}{_of(_XMLNS)}\s*+/>\s*+"

_WRITTEN = {
    # A property of a log can't be removed.
    "property": f"(?:{_SET}|{_both(f'name={_SOME}', _REMOVED, _SCOPE, _DESCRIBED)}{_END})",
    "log": _of(
        rf"(?:level|separator|description)={_VALUE}",
        'category="(?:INFO|TRACE|DEBUG|WARN|ERROR|FATAL)"',
    )
    + rf"\s*+(?:/>|>(?>(?:[^<]*+<(?:{_COMMENT}|property{_SET}|/property>))*)[^<]*+</log>)",
    "filter": rf"(?:{_both(_SOURCE, _REGEX, _DESCRIBED, _XMLNS)}"
    rf'|{_LANGUAGE}\s++xpath="{EXPRESSION}"){_END}',
    "switch": rf"{_LANGUAGE}\s++{_SOURCE}{_of(_XMLNS)}\s*+>",
    "case": rf'\s++regex="{PATTERN}*+"\s*+/?+>',
    "header": _both(
        'name="[^\\":&]++"',
        rf"(?:{_SAID}|{_REMOVED})",
        'scope="(?:default|transport)"',
        _DESCRIBED,
    )
    + _END,
    "payloadFactory": rf'{_of(_DESCRIBED)}(?:\s++media-type="(?:json|text)"{_of(_DESCRIBED)}\s*+>'
    rf"\s*+(?=<format[\s>])|{_of(_XML, _DESCRIBED)}\s*+>\s*+(?=<format>\s*+<[\w:]))",
    "args": _holding(rf"(?>(?:<arg{_of(_READER, _XMLNS)}\s++{_SAID}{_of(_READER)}\s*+/>\s*+)*)"),
    "enrich": rf"{_of(_DESCRIBED)}\s*+>\s*+<source{_ENRICHED}<target{_ENRICHED}</",
    "makefault": _of('version="soap1[12]"', 'response="(?:true|false)"', _DESCRIBED)
    + rf"\s*+>\s*+<code{_BLAMED}<reason{_BLAMED}(?>(?:<(?:node|role|detail)(?:/|>[^<]*+</\w++)>\s*+)*)</",
    "class": rf"{_of(_DESCRIBED)}\s++name={_SOME}{_END}",
    "endpoint": rf"{_of(f'name={_VALUE}')}\s*+>\s*+(?=<(?:address|default|http|wsdl)[\s/>])",
    "timeout": _holding(_texts(duration=_INTEGER, responseAction="(?:discard|fault)")),
    "markForSuspension": _holding(
        _texts(errorCodes=_CODES, retriesBeforeSuspension=_INTEGER, retryDelay=_INTEGER)
    ),
    "suspendOnFailure": _holding(
        _texts(
            errorCodes=_CODES,
            initialDuration=_INTEGER,
            progressionFactor=_FLOAT,
            maximumDuration=_INTEGER,
        )
    ),
}
"""By name: the common ways in which an element is written that has a rule, or a part in its parent's.

The most frequent come first."""

_AT_ONCE = 1_000
"""So many elements are passed in one step: each costs 300 bytes meanwhile."""

_NEEDED = {
    "endpoint": "key",
    "enqueue": "sequence",
    "sequence": "key",
    "store": "messageStore",
}
"""Elements whose rule passes them for this attribute, if there is something in it."""


def _not_naming(name: str) -> str:
    """Match an element that may name artifacts, and does not."""
    uses = "|".join(attribute for attribute, _ in USES[NS + name])
    return "(?:>|" + _of(f"(?!(?:{uses})=){_ANY}") + _END + ")"


@cache
def _plain() -> re.Pattern[bytes]:
    """Make what matches all up to the first element that is not plain; it takes 40 ms."""
    ruled = ELEMENT_RULES.keys() | MEDIATOR_RULES.keys()
    free = local_names(FAMILIAR - ruled - USES.keys() - {NS + name for name in _WRITTEN})
    ways = {
        **_WRITTEN,
        **{name: _not_naming(name) for name in local_names(USES.keys() - ruled)},
        **dict.fromkeys(free, "(?:>|" + _of(_ANY, _XMLNS) + _END + ")"),
    }
    # What begins with the same letter is passed over at once.
    letters: dict[str, list[str]] = {}
    for name, way in ways.items():
        letters.setdefault(name[0], []).append(re.escape(name[1:]) + way)
    plain = [f"{letter}(?:{'|'.join(rest)})" for letter, rest in letters.items()]
    prefixed = rf"[\w.-]++:[\w.-]++{_of(_ANY, _XMLNS)}{_END}"
    return re.compile(
        f"(?:[^<]*+<(?:/|{_COMMENT}|{'|'.join(plain)}|{prefixed})){{0,{_AT_ONCE}}}".encode()
    )


_ATTRIBUTE = rb"\s++([\w:.-]++)=\"([^\"&\t\r\n\x80-\xff]*+)\""
_NAMING = re.compile(
    rb"[^<]*+<(%b)((?>(?:%b)*))\s*+/?+>" % ("|".join(local_names(USES)).encode(), _ATTRIBUTE)
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_HEAD = re.compile(
    rb"(?>(?:\xef\xbb\xbf)?(?:<\?xml[^>]*+>)?(?:\s*+<%b)*)\s*+"
    rb"<\w++(?>(?:\s++(?:%b|xmlns=\"%b\"|%b))*)\s*+>"
    % (_COMMENT.encode(), _XMLNS.encode(), re.escape(NAMESPACE).encode(), _ANY.encode())
)
"""All of a document up to what is in its root element, which is in our namespace."""


def note_plain(content: bytes, root: Element, names: dict[Reference, None]) -> bool:
    """Tell whether nothing below `root` is a problem for certain, and note the names used there.

    `content` is well-formed and `root` its root element. Where it says no, `names` may hold some.
    """
    head = _HEAD.match(content)
    if head is None or not str(root.tag).startswith(NS):
        return False
    at, last, pass_over = head.end(), content.rindex(b"<"), _plain().match
    while at <= last:
        plain = pass_over(content, at)
        if plain is None or plain.end() == at:
            plain = _NAMING.match(content, at)
            if plain is None or not _noted(plain, names):
                return False
        at = plain.end()
    return True


def _noted(naming: re.Match[bytes], names: dict[Reference, None]) -> bool:
    """Note what an element names; tell whether that is all there is to it."""
    name = naming[1].decode()
    said = {key.decode(): value.decode() for key, value in _ATTRIBUTES.findall(naming[2])}
    if any(key.startswith("xmlns") for key in said):
        return False
    tag = NS + name
    if (tag in ELEMENT_RULES or tag in MEDIATOR_RULES) and not said.get(_NEEDED.get(name, "")):
        return False
    note_uses(USES[tag], said.get, names)
    return True
