"""The pictures of the explanation, drawn from the sample data by the steps that judge a release, in
light and in dark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

import anomaly
from anomaly.baseline.regime_start import since_regime_start
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.baseline.transform import back
from anomaly.panel import block, judged_panel
from anomaly.reporting.words import title
from anomaly.scoring.question_kinds import QuestionKind
from anomaly.scoring.questions import ask
from anomaly.scoring.timeline import Timeline, timeline
from anomaly.timing.spans import plan
from docs.builder import floors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RELEASE = anomaly.Release(
    started_at=datetime(2025, 6, 3, 9, tzinfo=UTC),
    finished_at=datetime(2025, 6, 3, 9, 10, tzinfo=UTC),
)
WIDE = 2.576  # standard deviations within which 99 % of normal steps lie
WIDTH, DPI = 8.0, 100
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.hashsalt": "anomaly",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Colours:
    """Colours by what they stand for; those of Okabe and Ito, which people with any colour vision
    tell apart."""

    ink: str
    faint: str
    observed: str
    expected: str
    release: str


SCHEMES = {
    "light": Colours(
        ink="#1f2328", faint="#8c959f", observed="#0072b2", expected="#59636e", release="#d55e00"
    ),
    "dark": Colours(
        ink="#e6e8eb", faint="#7d8590", observed="#56b4e9", expected="#b1bac4", release="#f08a3c"
    ),
}


@dataclass(frozen=True)
class Picture:
    """What is drawn, how high (inches), and what is to be seen in it."""

    draw: Callable[[Figure, Colours, Path], None]
    height: float
    says: str


@dataclass(frozen=True)
class Fitted:
    """A KPI of the sample shop around the release, and what was learned from its past."""

    history: pd.DataFrame
    observation: pd.DataFrame
    base: Baseline
    line: Timeline

    @property
    def index(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.history.index.append(self.observation.index))

    def values(self) -> np.ndarray:
        """What was observed, before and after."""
        return np.asarray(self.line.value[0])

    def expected(self, deviations: float = 0.0) -> np.ndarray:
        """What was expected of each step, so many standard deviations off; of the past, foreseen
        without the step's own day."""
        whole = block(pd.concat([self.history, self.observation]))
        later = pd.DatetimeIndex(self.observation.index)
        usual = np.concatenate(
            [self.base.seasonal + self.base.level[:, None], self.base.location(later)], axis=1
        )
        return np.asarray(
            back(usual + deviations * self.base.width(self.index, whole.volume), self.base.scale)[0]
        )


@cache
def fitted(root: Path, release: str, kpi: str, segment: str = "") -> Fitted:
    """What judging the `release` of the sample data learns about one series."""
    checklist = anomaly.load_checklist(root / "sample_data" / release / "checklist.yaml")
    now = datetime(2025, 6, 3, 16, tzinfo=UTC)
    spans = plan(RELEASE, checklist.windows, now=now)
    collected = anomaly.collect(checklist, RELEASE, now=now, only=[kpi])
    kpis = [each for each in checklist.kpis if each.name == kpi]
    panel = judged_panel(collected.panel, kpis, checklist.windows.step)
    panel = panel.loc[
        :,
        (panel.columns.get_level_values("kpi") == kpi)
        & (panel.columns.get_level_values("segment") == segment),
    ]
    before = panel.loc[: spans.baseline.end - timedelta(seconds=1)]
    history = since_regime_start(before, 72).history
    observation = panel.loc[
        spans.observation.start : spans.observation.end - checklist.windows.step
    ]
    base = SeasonalBaseline().fit(history, kpis, checklist.calendar)
    gap = int((observation.index[0] - history.index[-1]) // checklist.windows.step - 1)
    return Fitted(
        history,
        observation,
        base,
        timeline(base, history, observation, gap),
    )


def draw(name: str, folder: Path, root: Path) -> None:
    """Write the picture `name` as `NAME-light.svg` and `NAME-dark.svg` into `folder`."""
    picture = PICTURES[name]
    for scheme, colours in SCHEMES.items():
        inks = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
        coloured: dict[Any, Any] = {
            **dict.fromkeys(inks, colours.ink),
            "axes.edgecolor": colours.faint,
        }
        with mpl.rc_context(STYLE | coloured):
            figure = Figure(figsize=(WIDTH, picture.height), dpi=DPI, layout="constrained")
            picture.draw(figure, colours, root)
            figure.savefig(
                folder / f"{name}-{scheme}.svg", transparent=True, metadata={"Date": None}
            )


def _baseline(figure: Figure, colours: Colours, root: Path) -> None:
    """A week of requests with what was expected of them."""
    about = fitted(root, "healthy", "requests", "country=DE")
    axes = figure.add_subplot()
    shown = np.asarray(about.index >= pd.Timestamp(RELEASE.started_at - timedelta(days=7)))
    when = about.index[shown]
    low, high = about.expected(-WIDE)[shown], about.expected(WIDE)[shown]
    axes.fill_between(when, low, high, color=colours.faint, alpha=0.3, lw=0, label="99 % band")
    axes.plot(when, about.values()[shown], color=colours.observed, lw=0.6, label="observed")
    axes.plot(when, about.expected()[shown], color=colours.ink, lw=1.2, label="expected")
    _released(axes, colours)
    axes.set_ylabel("requests per 5 minutes")
    axes.set_title("requests (country=DE), the week before a harmless release")
    axes.set_ylim(bottom=0)
    _days(axes)
    axes.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.1))


def _residuals(figure: Figure, colours: Colours, root: Path) -> None:
    """Residuals of two releases of the same shop: a harmless one, and one that harmed."""
    panes = figure.subplots(2, sharex=True, sharey=True)
    for axes, release in zip(panes, ("healthy", "redesign"), strict=True):
        about = fitted(root, release, "engagement")
        shown = np.asarray(about.index >= pd.Timestamp(RELEASE.started_at - timedelta(hours=18)))
        axes.axhspan(-WIDE, WIDE, color=colours.faint, alpha=0.3, lw=0)
        axes.axhline(0, color=colours.ink, lw=0.8)
        axes.plot(
            about.index[shown], about.line.residual[0][shown], ".", color=colours.observed, ms=3.5
        )
        _released(axes, colours)
        axes.set_title(
            f"engagement, {'a harmless release' if release == 'healthy' else 'the redesign'}"
        )
        axes.set_ylabel("standard deviations")
        _days(axes)


def _replay(figure: Figure, colours: Colours, root: Path) -> None:
    """The same question at the release and at the placebo releases."""
    panes = figure.subplots(1, 2, sharey=True, sharex=True)
    for axes, release in zip(panes, ("healthy", "redesign"), strict=True):
        about = fitted(root, release, "engagement")
        (longest,) = [
            each
            for each in ask(about.line)
            if each.kind is QuestionKind.JUMP and each.size == about.line.after
        ]
        placebos, answer = longest.answers[0, :-1], longest.answers[0, -1]
        placebos = placebos[np.isfinite(placebos)]
        axes.hist(
            placebos,
            bins=np.arange(-20, 9, 1),
            color=colours.faint,
            label=f"{len(placebos)} placebo releases",
        )
        axes.axvline(answer, color=colours.release, lw=2, label="the release")
        axes.set_title("a harmless release" if release == "healthy" else "the redesign")
        axes.set_xlabel("answer: did engagement jump and stay?")
    panes[0].set_ylabel("moments of the past")
    figure.legend(*panes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _effects(figure: Figure, colours: Colours, root: Path) -> None:
    """The effects of a release with their intervals, beside what is tolerated."""
    checklist = anomaly.load_checklist(root / "sample_data" / "credential" / "checklist.yaml")
    report = anomaly.check_release(checklist, RELEASE, now=datetime(2025, 6, 3, 16, tzinfo=UTC))
    axes = figure.add_subplot()
    shown = [each for each in report.findings if each.effect is not None][::-1]
    for row, finding in enumerate(shown):
        colour = colours.release if finding.fails else colours.observed
        ends = np.array(finding.effect_interval, float)
        axes.plot(1 + ends, [row, row], color=colour, lw=3, solid_capstyle="butt", alpha=0.55)
        axes.plot(
            1 + (finding.effect or 0.0), row, "D" if finding.fails else "o", color=colour, ms=6
        )
        tolerated = {"up": (1, 1 + finding.tolerance), "down": (1 - finding.tolerance, 1)}[
            str(finding.direction)
        ]
        axes.fill_betweenx(
            [row - 0.35, row + 0.35], *tolerated, color=colours.faint, alpha=0.35, lw=0
        )
    axes.axvline(1, color=colours.ink, lw=0.8)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 4, 7], ["half", "as expected", "×2", "×4", "×7"])
    axes.minorticks_off()
    axes.set_yticks(range(len(shown)), [title(each) for each in shown])
    axes.set_title("observed / expected after the credential release")


def _released(axes: Axes, colours: Colours) -> None:
    when: Any = RELEASE.started_at
    axes.axvline(when, color=colours.release, lw=1.5, ls="--", label="release")


def _days(axes: Axes) -> None:
    locator = AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))


def _floors(figure: Figure, colours: Colours, root: Path) -> None:
    """Every room of the package on its floor."""
    floors.draw(figure, colours.ink, colours.faint, colours.observed, colours.release, root)


PICTURES = {
    "floors": Picture(
        _floors,
        6.4,
        "Every room of the package. A room may import what stands lower, never what stands higher "
        "or beside it. Blue: the stages that data pass. Orange: the three doors.",
    ),
    "baseline": Picture(
        _baseline,
        3.6,
        "The baseline knows the day and the week: what it expected of each step, foreseen from "
        "the other days, and the band that 99 % of "
        "steps lie in.",
    ),
    "residuals": Picture(
        _residuals,
        4.2,
        "Season and level taken out, what is left is noise around zero, each step a dot. After "
        "the redesign it slides away, though no "
        "single step is far out at first.",
    ),
    "replay": Picture(
        _replay,
        3.4,
        "One question, put at hundreds of past moments without a release and at the release. "
        "Among harmless moments the redesign's answer "
        "is like no other.",
    ),
    "effects": Picture(
        _effects,
        4.6,
        "Every KPI's effect with its 95 % interval; grey is what its checklist tolerates. What "
        "lies wholly beyond that, too clearly to be "
        "chance, regressed (diamonds).",
    ),
}
