"""What a document must be before anybody looks at what it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Examined
from syncagent.validation.document import ELEMENTS_MAX
from syncagent.validation.validator import SIZE_MAX_BYTES, ArtifactValidator

NS = "http://ws.apache.org/ns/synapse"
SEQUENCE = f'<sequence xmlns="{NS}" name="s"><log/></sequence>'


def examine(content: bytes, kind: Kind = Kind.SEQUENCE, path: str = "sequences/s.xml") -> Examined:
    return ArtifactValidator().examine(kind, path, content)


def refusal(content: bytes) -> tuple[str, int]:
    verdict = examine(content)
    assert not verdict.valid, content[:200]
    assert verdict.problems[0].reason
    return verdict.problems[0].code, verdict.problems[0].line


def test_a_plain_artifact_is_valid_and_without_warnings() -> None:
    assert examine(SEQUENCE.encode()).problems == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "us-ascii", "iso-8859-1", "utf-16"])
def test_the_four_encodings_pass(encoding: str) -> None:
    declared = {"utf-8-sig": "UTF-8"}.get(encoding, encoding)
    content = f'<?xml version="1.0" encoding="{declared}"?>{SEQUENCE}'.encode(encoding)
    assert examine(content).problems == ()


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_utf_16_of_either_byte_order_passes(order: str) -> None:
    mark = b"\xff\xfe" if order == "utf-16-le" else b"\xfe\xff"
    content = mark + f'<?xml version="1.0" encoding="UTF-16"?>{SEQUENCE}'.encode(order)
    assert examine(content).problems == ()


@pytest.mark.parametrize(
    "encoding", ["UTF-7", "EBCDIC-CP-US", "windows-1252", "ISO-8859-15", "GBK"]
)
def test_an_encoding_that_parsers_may_read_differently_is_refused(encoding: str) -> None:
    content = f'<?xml version="1.0" encoding="{encoding}"?>{SEQUENCE}'.encode()
    code, line = refusal(content)
    assert (code in {"encoding", "not-well-formed"}, line) == (True, 1)


def test_real_utf_7_is_refused() -> None:
    assert refusal(f'<?xml version="1.0" encoding="UTF-7"?>{SEQUENCE}'.encode("utf-7"))


def test_a_byte_order_mark_against_the_declaration_is_refused() -> None:
    content = b"\xef\xbb\xbf" + f'<?xml version="1.0" encoding="ISO-8859-1"?>{SEQUENCE}'.encode()
    assert refusal(content) == ("encoding", 1)


def test_xml_1_1_is_refused() -> None:
    assert refusal(f'<?xml version="1.1"?>{SEQUENCE}'.encode()) == ("xml-version", 1)


@pytest.mark.parametrize("content", [b"", b" \r\n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(content: bytes) -> None:
    assert refusal(content)[0] in {"empty", "not-well-formed"}


def test_a_block_of_zeros_as_crashes_leave_it_is_refused() -> None:
    assert refusal(b"\0" * 4096) == ("not-well-formed", 1)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param(SEQUENCE + "x", 1, id="text after the root"),
        pytest.param(SEQUENCE + "\n" + SEQUENCE, 2, id="a second root"),
        pytest.param(" <?xml version='1.0'?>" + SEQUENCE, 1, id="space before the declaration"),
        pytest.param(
            f"<sequence xmlns='{NS}'\nname='s'>\n<log>\n</sequence>", 4, id="wrong end tag"
        ),
        pytest.param(SEQUENCE.replace("<log/>", "\n\n<m:log/>"), 3, id="undeclared prefix"),
        pytest.param(SEQUENCE.replace("<log/>", "<log a='1' a='2'/>"), 1, id="attribute twice"),
        pytest.param(SEQUENCE.replace("<log/>", "&nothing;"), 1, id="undeclared entity"),
        pytest.param(SEQUENCE.replace("<log/>", "\0"), 1, id="NUL"),
        pytest.param(SEQUENCE.replace("<log/>", "\n\x01"), 2, id="control character"),
        pytest.param(SEQUENCE.replace("<log/>", "&#1;"), 1, id="reference to a control character"),
        pytest.param("just text", 1, id="no markup"),
        pytest.param("<" * 100, 1, id="only markup signs"),
        pytest.param(
            '<?xml version="1.0" encoding="UTF-16"?>' + SEQUENCE, 1, id="not what it says"
        ),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_line(content: str, line: int) -> None:
    assert refusal(content.encode()) == ("not-well-formed", line)


def test_a_bad_utf_8_byte_is_refused() -> None:
    assert refusal(SEQUENCE.encode().replace(b"<log/>", b"\n\xff"))[0] == "not-well-formed"


HOSTILE = {
    "a plain DOCTYPE": f"<!DOCTYPE sequence>{SEQUENCE}",
    "an external DTD": f'<!DOCTYPE sequence SYSTEM "http://127.0.0.1:1/x.dtd">{SEQUENCE}',
    "a public identifier": f'<!DOCTYPE sequence PUBLIC "-//X//Y" "x.dtd">{SEQUENCE}',
    "an external entity": '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + SEQUENCE.replace("<log/>", "&x;"),
    "a parameter entity": '<!DOCTYPE s [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>' + SEQUENCE,
    "an entity that is not used": '<!DOCTYPE s [<!ENTITY x "y">]>' + SEQUENCE,
    "billion laughs": "<!DOCTYPE s [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))
    + f"]>{SEQUENCE.replace('<log/>', '&a9;')}",
    "quadratic blow-up": f"<!DOCTYPE s [<!ENTITY a '{'x' * 50_000}'>]>"
    + SEQUENCE.replace("<log/>", "&a;" * 5_000),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_doctype_is_refused(text: str) -> None:
    code, line = refusal(text.encode())
    assert code == "doctype"
    assert line >= 1


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_every_doctype_is_refused_in_utf_16_too(text: str) -> None:
    assert refusal(text.encode("utf-16"))[0] in {"doctype", "not-well-formed"}


def test_a_doctype_inside_text_is_only_text() -> None:
    content = SEQUENCE.replace("<log/>", "<![CDATA[<!DOCTYPE x [<!ENTITY a 'b'>]>]]>").encode()
    assert examine(content).valid


def test_an_xinclude_is_not_followed() -> None:
    include = '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="/etc/passwd"/>'
    assert examine(SEQUENCE.replace("<log/>", include).encode()).valid


class Untouchable(bytes):
    """Bytes that fail the test if anybody looks at them."""

    def __getitem__(self, key: object) -> bytes:  # type: ignore[override]
        raise AssertionError("the content was looked at")

    strip = count = startswith = __iter__ = __getitem__  # type: ignore[assignment]


def test_50_mb_are_refused_before_anybody_looks_at_them() -> None:
    huge = Untouchable(50 * 1024 * 1024)
    verdict = ArtifactValidator().examine(Kind.API, "api/x.xml", huge)
    assert [problem.code for problem in verdict.problems] == ["too-large"]


@pytest.mark.parametrize("kind", [Kind.API, Kind.PLAN, Kind.FILE, Kind.ROOT])
def test_the_size_limit_is_for_every_kind_and_its_boundary_passes(kind: Kind) -> None:
    validator = ArtifactValidator(size_max_bytes=10)
    assert validator.examine(kind, "x", b"x" * 11).problems[0].code == "too-large"
    codes = {problem.code for problem in validator.examine(kind, "x", b"x" * 10).problems}
    assert "too-large" not in codes


def test_the_default_limit_is_5_mib() -> None:
    assert SIZE_MAX_BYTES == 5 * 1024 * 1024


def test_a_million_levels_are_refused() -> None:
    assert refusal(b"<a>" * 1_000_000)[0] in {"too-many-elements", "not-well-formed"}


def test_nesting_beyond_the_parsers_depth_is_refused() -> None:
    deep = SEQUENCE.replace("<log/>", "<filter>" * 300 + "</filter>" * 300)
    assert refusal(deep.encode())[0] == "not-well-formed"


def test_more_elements_than_the_limit_are_refused() -> None:
    many = SEQUENCE.replace("<log/>", "<log/>" * ELEMENTS_MAX)
    assert refusal(many.encode()) == ("too-many-elements", 0)
    fewer = SEQUENCE.replace("<log/>", "<log/>" * 1_000)
    assert examine(fewer.encode()).valid


def test_elements_are_counted_in_utf_16_too() -> None:
    many = SEQUENCE.replace("<log/>", "<log/>" * ELEMENTS_MAX)
    assert refusal(many.encode("utf-16")) == ("too-many-elements", 0)


def test_a_file_of_no_kind_passes_whatever_its_bytes_are() -> None:
    assert examine(b"\0<<<", Kind.FILE, "api/notes.txt") == Examined(
        examine(SEQUENCE.encode()).facts.__class__()
    )


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.sampled_from(sorted(Kind)))
def test_no_bytes_make_the_validator_raise(content: bytes, kind: Kind) -> None:
    verdict = examine(content, kind, "api/x.xml")
    assert verdict.valid or verdict.problems[0].reason


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="<>/!?-[]&;'\"=%{}xmlnsaDOCTYPE \n", max_size=200))
def test_no_markup_makes_the_validator_raise(text: str) -> None:
    for content in (text.encode(), text.encode("utf-16"), f"<a>{text}</a>".encode()):
        examine(content, Kind.API, "api/x.xml")
