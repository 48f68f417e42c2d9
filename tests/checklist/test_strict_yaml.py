from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.checklist.checklist import load
from anomaly.checklist.strict_yaml import MOST_BYTES, parse, shown
from anomaly.errors import ChecklistError

ALIAS_BOMB = (
    "a: &a [x, x]\n"
    + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "\n"
)


def problems(text: str | bytes) -> list[str]:
    document = parse(text.encode() if isinstance(text, str) else text)
    return [f"{problem.line}: {problem.text}" for problem in document.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("5:30", "5:30"),
        ("2025-06-03", "2025-06-03"),
        ("0644", 644),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("5%", "5%"),
        ("'5'", "5"),
        ('"true"', "true"),
        ("9" * 400, float("inf")),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_plain_words_mean_what_they_look_like(text: str, value: object) -> None:
    document = parse(f"key: {text}".encode())
    assert document.problems == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_every_value_has_its_line() -> None:
    document = parse(b"a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n")
    assert [
        document.line(path) for path in [(), ("a",), ("b",), ("b", 0), ("b", 1, "c"), ("b", 1, "d")]
    ] == [1, 1, 2, 3, 4, 5]
    assert document.line(("b", 1, "missing", "deeper")) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: &x 1\n",
            (
                "1: column 4: an anchor (&name) is not allowed; write the value out, or quote text "
                "that starts with &"
            ),
        ),
        (
            "a: 1\nb: *x\n",
            (
                "2: column 4: an alias (*name) is not allowed; write the value out, or quote text "
                "that starts with *"
            ),
        ),
        (
            "a: !!python/object:os.system x\n",
            (
                "1: column 4: a tag (!name) is not allowed; write plain values, or quote text that "
                "starts with !"
            ),
        ),
        (
            "a: !!str x\n",
            (
                "1: column 4: a tag (!name) is not allowed; write plain values, or quote text that "
                "starts with !"
            ),
        ),
        (
            "a: !!set {}\n",
            (
                "1: column 4: a tag (!name) is not allowed; write plain values, or quote text that "
                "starts with !"
            ),
        ),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "4: column 3: a.b is given twice (first on line 2)"),
        (
            "a:\n  <<: {b: 1}\n",
            "2: column 3: merge key << in a is not allowed; write the values out",
        ),
        ("a:\nb: 1\n", "1: column 3: a is empty; write a value or leave the key out"),
        ("a: [~]\n", "1: column 5: a[0] is empty; write a value or leave the key out"),
        ("[a]: 1\n", "1: column 1: a key at the top is not plain text"),
        ("a: {'': 1}\n", "1: column 5: a key in a is empty or holds control characters"),
        (
            "a: 1\n---\nb: 2\n",
            "2: column 1: a second document starts here; a checklist is one document",
        ),
        ("a: [1\nb: 2\n", "2: column 2: not valid YAML: did not find expected ',' or ']'"),
        (
            "a: 1\nb: {url: ${URL}}\n",
            "2: column 11: not valid YAML: did not find expected ',' or '}'; put ${NAME} in quotes",
        ),
        (
            "a: b: c\n",
            "1: column 5: not valid YAML: mapping values are not allowed in this context",
        ),
        ("\ta: b\n", "1: column 1: not valid YAML: found character that cannot start any token"),
        ("a: 1\nb: x\x00\n", "2: holds the control character U+0000; is it a text file?"),
        ('a: "\\0"\n', "1: column 4: a holds a control character"),
        (
            b"\xef\xbb\xbfa: 1\n",
            "1: starts with a byte order mark; save the file as UTF-8 without BOM",
        ),
        (b"a: 1\nb: \xff\n", "2: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), "1: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("%YAML 3.0\n---\na: 1\n", "1: column 1: not valid YAML: found incompatible YAML document"),
        ("a: '" + "x" * 10 + "\n", "2: column 1: not valid YAML: found unexpected end of stream"),
    ],
)
def test_what_is_refused_is_named_with_line_and_column(text: str | bytes, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: [1\nb: 2\n", "; close each { and [, and put text that holds one of them or a comma"),
        (
            "a: {q: x{l='m'}}\n",
            "; close each { and [, and put text that holds one of them or a com",
        ),
        ("a: {url: ${URL}}\n", "; put ${NAME} in quotes"),
        ("a: b: c\n", "; align the keys, and put text that holds a colon and a space in quotes"),
        ("a:\n\t- b\n", "; indent with spaces, not with tabs"),
        (
            "a:\n\u00a0\u00a0b: c: d\n",
            "; the line holds no-break spaces (U+00A0), write plain ones",
        ),
        ("a: %b\n", "; put text that starts with % in quotes"),
        ("a: @b\n", "; put text that starts with @ in quotes"),
        ("a: b\n c: d\n", "; align the keys, and put text"),
        ("a: 1\nb:\n  - c\n   - d: e\n", "; align the keys, and put text"),
        ("a:\n  - b\n  c: d\n", "; align the items of a list"),
        ("a: 'b\n", "; close the quotation mark"),
    ],
)
def test_what_is_no_yaml_is_told_what_to_change(text: str, hint: str) -> None:
    assert any(hint in problem for problem in problems(text))


def test_several_problems_are_told_at_once() -> None:
    assert [line[0] for line in problems("a: *x\nb: !t 1\na: 2\nc:\n")] == ["1", "2", "3", "4"]


def test_an_alias_bomb_is_refused_without_growing() -> None:
    document = parse(ALIAS_BOMB.encode())
    assert document.problems
    assert len(document.lines) < 100


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "{a: " * 10_000, "- " * 10_000, "[" * 10_000 + "]" * 10_000]
)
def test_great_depth_is_refused(text: str) -> None:
    assert "nested more than 32 levels deep" in problems(text)[0]


@pytest.mark.slow
def test_very_many_values_are_refused() -> None:
    assert "more than 50000 values" in problems("a: [" + "1," * 60_000 + "]")[0]


@pytest.mark.slow
def test_ten_mebibytes_are_refused_without_reading_them_all(write: Callable[[str], Path]) -> None:
    path = write("a: " + "x" * 10 * MOST_BYTES)
    with pytest.raises(
        ChecklistError,
        match=r"^checklist\.yaml is larger than 1 MiB, the most that a checklist may have$",
    ):
        load(path)


@pytest.mark.timeout(5)
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "checklist.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ChecklistError, match="is not a regular file"):
        load(pipe)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChecklistError, match="is not a regular file"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["missing.yaml", "x" * 300 + ".yaml", "a\0b"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ChecklistError, match="can't be read: "):
        load(tmp_path / name)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_document_or_problems(data: bytes) -> None:
    parse(data)


@given(st.text(alphabet="ab:{}[],&*!|>-?#'\"%@` \n\t<1.~", max_size=60))
def test_any_yaml_like_text_gives_a_document_or_problems(text: str) -> None:
    parse(text.encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("x" * 100, "'" + "x" * 59 + "…"),
        ([1], "a list"),
        ({}, "an empty mapping"),
        (True, "true"),
        (1.5, "1.5"),
        ("\x1b[31m\u202e", r"'\x1b[31m\u202e'"),
    ],
)
def test_a_found_value_is_shown_escaped_and_short(value: object, text: str) -> None:
    assert shown(value) == text
