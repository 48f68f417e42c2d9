"""The quick reader of answers says what Python's own says, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.collectors.prometheus_answer import content_of
from anomaly.collectors.prometheus_http import Answer
from anomaly.collectors.prometheus_series import Merged
from anomaly.errors import CollectError

ROWS, START_S, STEP_S = 6, 1_700_000_000, 300

texts = st.one_of(
    st.floats().map(repr),
    st.integers().map(str),
    st.sampled_from(
        ["NaN", "+Inf", "-Inf", "-0", "0", "-0.0", "-0e3", "1e400", "4.9e-324", "1_0", " 1", "01"]
    ),
    st.text(max_size=4),
)
moments = st.one_of(
    st.integers(-1, ROWS).map(lambda row: START_S + row * STEP_S),
    st.sampled_from([START_S + 0.0001, START_S + 150, float("nan"), True, None, str(START_S)]),
)
odd_points = st.one_of(
    st.tuples(moments, texts).map(list),
    st.tuples(moments, st.one_of(st.floats(), st.integers(), st.none(), st.booleans())).map(list),
    st.lists(moments, max_size=3),
    st.none(),
)
labels = st.dictionaries(
    st.text(max_size=6), st.one_of(st.text(max_size=6), st.integers(), st.none()), max_size=2
)
usual_points = st.lists(st.floats(), min_size=ROWS, max_size=ROWS).map(
    lambda values: [[START_S + row * STEP_S, repr(each)] for row, each in enumerate(values)]
)
series = st.fixed_dictionaries(
    {"metric": labels, "values": st.one_of(usual_points, st.lists(odd_points, max_size=ROWS))},
    optional={"histograms": st.just([]), "more": st.text(max_size=3)},
)
answers = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["success", "error", 3]),
        "data": st.fixed_dictionaries(
            {
                "resultType": st.sampled_from(["matrix", "matrix", "vector"]),
                "result": st.lists(st.one_of(series, st.none()), max_size=3),
            }
        ),
    },
    optional={
        "warnings": st.one_of(st.none(), st.text(max_size=3), st.lists(st.text(max_size=3))),
        "isPartial": st.one_of(st.booleans(), st.text(max_size=3)),
    },
)


def bits(content: Any) -> Any:
    """What collecting reads of an answer, or the error it gives."""
    about = {key: content.get(key) or None for key in ("status", "warnings", "infos", "isPartial")}
    if content["status"] != "success" or content["data"]["resultType"] != "matrix":
        return about | {"data": content["data"]}
    merged = Merged(ROWS, 3)
    try:
        merged.add(range(ROWS), START_S, STEP_S, Answer(content["data"]["result"]))
    except CollectError as error:
        return about | {"error": str(error)}
    return about | {
        key: (each.values.tobytes(), each.answered.tobytes()) for key, each in merged.series.items()
    }


@pytest.mark.slow
@given(answer=answers, ascii_only=st.booleans())
def test_an_answer_is_read_as_json_reads_it(answer: Any, ascii_only: bool) -> None:
    body = json.dumps(answer, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(body)
    except ValueError as error:
        with pytest.raises(type(error)):
            content_of(body)
    else:
        assert bits(content_of(body)) == bits(expected)


@pytest.mark.parametrize(
    "value", ["1.5", "-0", "NaN", "+Inf", "-Inf", "1e400", "0.1", "123456789.12345678", "1_0"]
)
def test_each_number_has_the_same_bits(value: str) -> None:
    body = json.dumps(
        {
            "status": "success",
            "data": {
                "resultType": "matrix",
                "result": [{"metric": {}, "values": [[START_S, value], [START_S + STEP_S, "-1"]]}],
            },
        }
    ).encode()
    assert bits(content_of(body)) == bits(json.loads(body))


def test_the_samples_of_a_usual_answer_are_an_array() -> None:
    """Otherwise nothing is gained."""
    body = (
        b'{"status":"success","data":{"resultType":"matrix","result":'
        b'[{"metric":{"a":"}],\\"values\\":[[1,\\"2\\"]]"},"values":[[1,"0.25"],[2,"NaN"]]}]}}'
    )
    (item,) = content_of(body)["data"]["result"]
    assert np.array_equal(item["values"], [[1, 0.25], [2, np.nan]], equal_nan=True)
    assert item["metric"] == {"a": '}],"values":[[1,"2"]]'}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100_000,
        b'{"status":"success"',
        b'{"status":"success","data":{"resultType":"matrix","result":[]},"more":"\xff"}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[]}}]',
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        content_of(body)
