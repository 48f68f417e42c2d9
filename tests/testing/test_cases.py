"""`anomaly test`: a team's own checklist, held against releases that are made up; nobody is asked,
nobody is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.checklist.checklist import Checklist
from anomaly.checklist.checklist import load as load_checklist
from anomaly.cli.ending import run as main
from anomaly.model import Release
from anomaly.testing.cases import load, run, synthetic_data
from anomaly.testing.form import CaseForm
from tests.support.places import ROOT

CHECKLIST = """
service: shop
sources:
  prom: {type: prometheus, url: "${NO_SUCH_URL}", bearer_token: "${NO_SUCH_TOKEN}"}
windows: {history: 7d, warmup: 5m, watch: 6h, step: 15m}
kpis:
  - name: errors
    query: errors
    denominator: requests
    direction: up
    tolerance: 20%
    critical: true
  - {name: orders, query: orders, by: [country], direction: down, tolerance: 5%}
  - {name: latency, query: latency, direction: up, tolerance: 10%}
sinks:
  - {type: slack, url: "${NO_SUCH_HOOK}"}
  - {type: jsonl, path: told.jsonl}
on:
  fire: [{type: command, run: [touch, ran]}]
  resolve: [{type: command, run: [touch, ran]}]
"""
Try = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checklist.yaml").write_text(CHECKLIST, encoding="utf-8")
    return tmp_path


@pytest.fixture
def attempt(folder: Path, capsys: pytest.CaptureFixture[str]) -> Try:
    """Runs `anomaly test` over the text of a file of cases."""

    def tried(cases: str, *options: str) -> tuple[int, str, str]:
        (folder / "cases.yaml").write_text(dedent(cases), encoding="utf-8")
        code = main(["test", "checklist.yaml", "cases.yaml", *options])
        out, err = capsys.readouterr()
        return code, out, err

    return tried


def checklist_of(folder: Path) -> Checklist:
    return load_checklist(folder / "checklist.yaml", environ=None)


@pytest.mark.slow
def test_the_cases_of_the_sample_shop_come_out_as_expected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(
        [
            "test",
            str(ROOT / "sample_data" / "healthy" / "checklist.yaml"),
            str(ROOT / "sample_data" / "cases.yaml"),
        ]
    )

    assert code == 0
    assert capsys.readouterr().out.endswith("5 passed, 0 failed\n")


@pytest.mark.slow
def test_the_example_of_the_page_comes_out_as_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    checklist = (ROOT / "sample_data" / "healthy" / "checklist.yaml").read_text(encoding="utf-8")
    (tmp_path / "checklist.yaml").write_text(
        checklist.replace("sinks: []", 'sinks: [{type: slack, url: "${HOOK}"}]'), encoding="utf-8"
    )
    (tmp_path / "cases.yaml").write_text(
        page.split("```yaml\n")[1].split("```")[0], encoding="utf-8"
    )

    code = main(["test", str(tmp_path / "checklist.yaml"), str(tmp_path / "cases.yaml")])

    assert code == 0, capsys.readouterr().out


@pytest.mark.slow
def test_a_failure_is_fired_once_and_resolved_and_nobody_is_really_told(
    attempt: Try, folder: Path
) -> None:
    code, out, err = attempt("""
        cases:
          - name: fires, then is over
            series:
              errors: {level: 0.01, volume: 4000, after: {change: "+300%", until: 2h}}
            looks: [1h, 2h, 4h, 6h]
            expect:
              kpis: {errors: recovered}
              told:
                slack: [fire, resolve, inform]
                jsonl: [fire, fire, resolve, inform]
                on fire: [fire]
                on resolve: [resolve]
    """)

    assert (code, err) == (0, ""), out
    assert not (folder / "ran").exists()
    assert not (folder / "told.jsonl").exists()


@pytest.mark.slow
def test_a_case_that_fails_says_what_came_instead_and_why(attempt: Try) -> None:
    code, out, _ = attempt("""
        cases:
          - name: a step
            series: {latency: {level: 200, after: {change: "+50%"}}}
            expect: {verdict: pass, kpis: {latency: ok}, told: {slack: []}}
          - name: quiet
            expect: {verdict: pass}
    """)

    assert code == 1
    assert (
        "FAIL  a step\n      expected the release to be pass\n           got FAIL  latency +" in out
    )
    assert "      expected latency to be ok\n           got latency regressed: +" in out
    assert "      expected slack to be told nothing\n           got fire\n" in out
    assert out.endswith("ok  quiet\n1 passed, 1 failed\n")


@pytest.mark.slow
def test_one_case_can_be_run_alone(attempt: Try) -> None:
    cases = "cases: [{name: one, expect: {verdict: pass}}, {name: other, expect: {verdict: fail}}]"

    assert attempt(cases, "--case", "one")[:2] == (0, "ok  one\n1 passed, 0 failed\n")
    code, _, err = attempt(cases, "--case", "onne")
    assert code == 2
    assert "no case is called 'onne'; use one of one, other (did you mean one?)" in err


@pytest.mark.slow
def test_segments_and_their_labels(attempt: Try) -> None:
    code, out, _ = attempt("""
        cases:
          - name: one country
            series:
              orders:
                - segment: {country: DE}
                  level: 500
                  daily: 40%
                  after: {change: "-30%", ramp: true}
                - {segment: {country: FR}, level: 300, daily: 40%}
            expect: {verdict: fail, kpis: {orders (country=DE): regressed, orders (country=FR): ok}}
    """)

    assert code == 0, out


@pytest.mark.slow
def test_a_kpi_is_ok_only_if_all_of_its_segments_are(attempt: Try) -> None:
    code, out, _ = attempt("""
        cases:
          - name: one country
            series:
              orders:
                - {segment: {country: DE}, level: 500, after: {change: "-30%"}}
                - {segment: {country: FR}, level: 300}
            expect: {kpis: {orders: ok}}
    """)

    assert code == 1
    assert "expected orders to be ok\n           got orders (country=DE) regressed: -" in out
    assert "orders (country=FR) ok" not in out


@pytest.mark.slow
def test_a_release_in_stages_is_looked_at_from_its_first_stage_on(attempt: Try) -> None:
    code, out, _ = attempt("""
        cases:
          - name: five percent of the users are enough to see it
            stages: [{after: 0m, share: 5%}, {after: 3h, share: 100%}]
            series: {errors: {level: 0.01, volume: 4000, after: {change: "+300%"}}}
            looks: [2h, 8h]
            expect: {verdict: fail, told: {slack: [fire]}}
          - name: until the first stage nothing is watched
            stages: [{after: 1h, share: 50%}, {after: 2h, share: 100%}]
            series: {errors: {level: 0.01, volume: 4000, after: {change: "+300%", until: 1h}}}
            expect: {verdict: pass}
    """)

    assert code == 0, out


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("cases: []", "cases.yaml:1: cases is empty; list at least one"),
        (
            "cases: [{name: a, expect: {verdikt: pass}}]",
            "cases[0].expect.verdikt is an unknown key (did you mean verdict?); use one of "
            "verdict, kpis, told",
        ),
        (
            "cases: [{name: a, expect: {verdict: good}}]",
            "cases[0].expect.verdict is 'good'; use one of pass, fail, hold, inconclusive, error",
        ),
        ("cases: [{name: a, expect: {}}]", "cases[0].expect expects nothing"),
        (
            "cases: [{name: a, expect: {told: {slak: []}}}]",
            "cases[0].expect.told.slak is not a sink; use one of slack, jsonl, on fire, "
            "on resolve (did you mean slack?)",
        ),
        (
            "cases: [{name: a, series: {latncy: {level: 1}}, expect: {verdict: pass}}]",
            (
                "cases[0].series.latncy is not a KPI; use one of errors, orders, latency (did you "
                "mean "
                "latency?)"
            ),
        ),
        (
            "cases: [{name: a, expect: {kpis: {latncy: ok}}}]",
            (
                "cases[0].expect.kpis.latncy is not a KPI; use one of errors, orders, latency (did "
                "you "
                "mean latency?)"
            ),
        ),
        (
            "cases: [{name: a, finished_at: 2025-06-02T09:00Z, expect: {verdict: pass}}]",
            (
                "cases[0].finished_at can't be: release ends 2025-06-02T09:00:00+00:00 before it "
                "starts"
            ),
        ),
        (
            (
                "cases: [{name: a, stages: [{after: 1h, share: 50%}, {after: 30m, share: 80%}], "
                "expect: {verdict: pass}}]"
            ),
            "cases[0].stages can't be: stage 2 is at",
        ),
        (
            "cases: [{name: a, stages: [{after: 1h}], expect: {verdict: pass}}]",
            "cases[0].stages[0].share is missing",
        ),
        (
            "cases: [{name: a, series: {errors: {level: 1}}, expect: {verdict: pass}}]",
            "volume is missing; the KPI is a ratio",
        ),
        (
            "cases: [{name: a, series: {latency: {level: 1, volume: 2}}, expect: {verdict: pass}}]",
            "volume has no meaning; the KPI is not a ratio",
        ),
        (
            "cases: [{name: a, series: {orders: {level: 1}}, expect: {verdict: pass}}]",
            "segment is missing; its labels must be country",
        ),
        (
            (
                "cases: [{name: a, series: {latency: {level: 1, after: {change: 30}}}, expect: "
                "{verdict: pass}}]"
            ),
            'after[0].change is 30; it must be a percentage like "+30%" or "-10%"',
        ),
        (
            (
                "cases: [{name: a, series: {latency: {level: 1, after: {since: 1h}}}, expect: "
                "{verdict: pass}}]"
            ),
            "needs either a change or missing: true",
        ),
        (
            (
                'cases: [{name: a, series: {latency: {level: 1, after: {change: "+1%", changed: '
                "1}}}, expect: {verdict: pass}}]"
            ),
            (
                "after[0].changed is an unknown key (did you mean change?); use one of change, "
                "ramp, missing, since, until"
            ),
        ),
    ],
)
def test_a_slip_in_the_cases_is_said_with_its_line(attempt: Try, cases: str, said: str) -> None:
    code, out, err = attempt(cases)

    assert (code, out) == (2, "")
    assert "cases.yaml:1: " in err
    assert said in err


def test_a_missing_file_of_cases_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "checklist.yaml", "nothing.yaml"]) == 2
    assert (
        "nothing.yaml: the file of cases can't be read: No such file or directory"
        in capsys.readouterr().err
    )


def test_a_slip_in_the_checklist_is_said_though_variables_are_not_set(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "checklist.yaml").write_text(
        CHECKLIST.replace("direction: up, tolerance: 10%", "direction: upp"), encoding="utf-8"
    )
    (folder / "cases.yaml").write_text(
        "cases: [{name: a, expect: {verdict: pass}}]", encoding="utf-8"
    )

    assert main(["test", "checklist.yaml", "cases.yaml"]) == 2
    assert "kpis[2].direction is 'upp'; use one of up, down, either" in capsys.readouterr().err


@pytest.mark.slow
@settings(max_examples=20)
@given(seed=st.integers(0, 5), change=st.floats(-0.9, 3), since=st.integers(0, 300))
def test_the_same_case_makes_the_same_series_and_a_change_only_what_follows_it(
    seed: int, change: float, since: int
) -> None:
    checklist = load_checklist(ROOT / "sample_data" / "healthy" / "checklist.yaml", environ=None)

    def panel(after: list[dict[str, object]]) -> np.ndarray:
        case = CaseForm.model_validate(
            {
                "name": "a",
                "seed": seed,
                "series": {"p95 latency": {"level": 100, "after": after}},
                "expect": {"verdict": "pass"},
            }
        )
        end = datetime(2025, 6, 3, 15, 5, tzinfo=UTC)
        return np.asarray(
            synthetic_data(case, checklist, Release(case.released_at), end)
            .panel["p95 latency"]
            .to_numpy()[:, 0]
        )

    plain, changed = panel([]), panel([{"change": f"{100 * change:.3f}%", "since": f"{since}m"}])
    differs = np.flatnonzero(plain != changed)

    assert np.array_equal(plain, panel([]))
    first = len(plain) - (6 * 60 + 5) // 5 + -(-since // 5)
    assert abs(change) < 1e-5 or (len(differs) and differs[0] == first)


@pytest.mark.slow
def test_a_case_in_python(folder: Path) -> None:
    (folder / "cases.yaml").write_text(
        "cases: [{name: a, expect: {verdict: fail}}]", encoding="utf-8"
    )
    checklist = checklist_of(folder)

    (case,) = load(folder / "cases.yaml", checklist)
    outcome = run(case, checklist)

    assert outcome.report.verdict == "pass"
    assert [miss.expected for miss in outcome.misses] == ["the release to be fail"]
