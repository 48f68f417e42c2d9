from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anomaly.checklist.registry import COLLECTORS, SINKS, Plugin, collector, sink, types_of
from anomaly.errors import ChecklistError
from tests.checklist.conftest import Complain

PARROT = """
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from enum import StrEnum
    from pathlib import Path
    from typing import ClassVar, Literal

    class Colour(StrEnum):
        GREEN = "green"
        BLUE = "blue"

    class Parrot:
        outside: ClassVar[frozenset[str]] = frozenset({"clock"})

        def __init__(
            self,
            *,
            word: str,
            times: int = 1,
            volume: float = 0.5,
            loud: bool = False,
            wait: timedelta = timedelta(0),
            cage: Path = Path("cage"),
            names: Mapping[str, str] | None = None,
            friends: tuple[str, ...] = (),
            colour: Colour = Colour.GREEN,
            mood: Literal["good", "bad"] = "good",
            tone: str | float = 1.0,
            clock: Callable[[], float] | None = None,
        ) -> None:
            if word == "crash":
                raise ValueError("can't say crash")
            self.got = {name: value for name, value in locals().items() if name != "self"}

        def send(self, message, /):
            raise NotImplementedError

        collect = send

    class Mute:
        pass

    VALUE = 5
"""
FLOCK = """
    from typing import TypedDict, Unpack

    class Home(TypedDict):
        pond: str

    class Shared(Home, total=False):
        feed: str | None

    class Goose:
        def __init__(self, *, loud: bool = False, **shared: Unpack[Shared]) -> None:
            self.loud, self.shared = loud, shared

        def send(self, message, /):
            raise NotImplementedError
"""
KEYS = "type, word, times, volume, loud, wait, cage, names, friends, colour, mood, tone"
POINTS = {
    "anomaly.sinks": {
        "parrot": "aviary:Parrot",
        "mute": "aviary:Mute",
        "value": "aviary:VALUE",
        "gone": "aviary:Gone",
        "nowhere": "no_such_module:X",
        "webhook": "aviary:Parrot",
    },
    "anomaly.collectors": {"parrot": "aviary:Parrot"},
}


@pytest.fixture
def aviary(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "aviary", raising=False)
    install("aviary", PARROT, POINTS)


def plugin(kind: str, **settings: object) -> Plugin:
    return Plugin(
        type=kind, settings=settings, where="checklist.yaml:9: sinks[0]", folder=Path("/etc/shop")
    )


def refusal(asked: Plugin) -> str:
    with pytest.raises(ChecklistError) as caught:
        sink(asked)
    return str(caught.value)


def test_the_built_in_types_are_known() -> None:
    assert types_of(COLLECTORS)[0] == "prometheus"
    assert types_of(SINKS)[0] == "console"


@pytest.mark.usefixtures("aviary")
def test_settings_arrive_in_the_types_that_the_class_asks_for() -> None:
    made = sink(
        plugin(
            "parrot",
            word="hello",
            times=3,
            volume=1,
            loud=True,
            wait="1m30s",
            cage="big",
            names={"a": "b"},
            friends=["x", "y"],
            colour="blue",
            mood="bad",
            tone="high",
        )
    )
    got = made.got  # type: ignore[attr-defined]  # the parrot tells what it was given
    assert repr(got["wait"]) == "datetime.timedelta(seconds=90)"
    assert got["cage"] == Path("/etc/shop/big")
    assert (got["names"], got["friends"], got["colour"].name, got["mood"], got["tone"]) == (
        {"a": "b"},
        ("x", "y"),
        "BLUE",
        "bad",
        "high",
    )
    assert isinstance(got["volume"], float)
    assert got["clock"] is None


@pytest.mark.usefixtures("aviary")
def test_the_outside_world_is_handed_to_those_who_ask_for_it() -> None:
    made = collector(
        plugin("parrot", word="hello"), clock=test_the_built_in_types_are_known, sleep=None
    )
    # # as above
    assert made.got["clock"] is test_the_built_in_types_are_known  # type: ignore[attr-defined]


@pytest.mark.usefixtures("aviary")
def test_standard_input_is_not_a_file_in_the_folder() -> None:
    made = sink(plugin("parrot", word="a", cage="-"))
    assert made.got["cage"] == Path("-")  # type: ignore[attr-defined]  # as above


@pytest.mark.usefixtures("aviary")
@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("word", 5, "is a number; it must be text; put it in quotes"),
        ("times", 1.5, "is a number; it must be a whole number"),
        ("times", True, "is true; it must be a whole number"),
        ("volume", "loud", "is text; it must be a number"),
        ("volume", float("nan"), "is a number; it must be a number"),
        ("loud", "yes", "is text; use one of true, false"),
        ("wait", 5, "is a number; it must be a duration like 30s, 5m or 1h30m"),
        ("wait", "soon", "is text; it must be a duration like 30s, 5m or 1h30m"),
        ("cage", "", "is text; it must be a path"),
        (
            "names",
            {"a": 1},
            "is a mapping; it must be a mapping of names to text; put numbers in quotes",
        ),
        ("friends", "x", "is text; it must be a list of texts, like [a, b]"),
        ("colour", "grean", "is text; use one of green, blue (did you mean green?)"),
        ("mood", "sad", "is text; use one of good, bad"),
        ("tone", [], "is an empty list; it must be text; put it in quotes or it must be a number"),
        ("words", "x", f"is an unknown key (did you mean word?); use one of {KEYS}"),
        ("clock", 5, f"is an unknown key; use one of {KEYS}"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: object, text: str) -> None:
    assert (
        refusal(plugin("parrot", **{"word": "a", key: value}))
        == f"checklist.yaml:9: sinks[0].{key} {text}"
    )


@pytest.mark.usefixtures("aviary")
def test_a_missing_setting_is_named() -> None:
    said = "checklist.yaml:9: sinks[0].word is missing; the type parrot needs it"
    assert refusal(plugin("parrot")) == said


@pytest.mark.usefixtures("aviary")
def test_an_unknown_type_lists_the_known_ones_of_all_packages() -> None:
    told = (
        f"is 'parot'; use one of {', '.join(SINKS.built_in)}, gone, mute, nowhere, parrot, "
        "value (did you mean parrot?)"
    )
    assert refusal(plugin("parot")) == f"checklist.yaml:9: sinks[0].type {told}"


@pytest.mark.usefixtures("aviary")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("mute", "is 'mute', which is not a sink: it has no send()"),
        ("value", "is 'value', which is not a sink: it has no send()"),
        ("gone", "is 'gone', a plug-in that fails to load: AttributeError: "),
        ("nowhere", "is 'nowhere', which can't be loaded: No module named 'no_such_module'"),
    ],
)
def test_a_broken_plug_in_is_explained(kind: str, text: str) -> None:
    assert refusal(plugin(kind)).startswith(f"checklist.yaml:9: sinks[0].type {text}")


@pytest.mark.parametrize(
    ("key", "meant"), [("ulr", "url"), ("bearertoken", "bearer_token"), ("x", "")]
)
def test_a_misspelt_key_is_told_which_one_it_may_be(key: str, meant: str) -> None:
    with pytest.raises(ChecklistError) as caught:
        collector(plugin("graphite", **{key: "http://graphite.example"}))
    assert (f"(did you mean {meant}?)" in str(caught.value)) is bool(meant)


@pytest.mark.usefixtures("aviary")
def test_a_plug_in_that_refuses_its_settings_is_explained() -> None:
    assert (
        refusal(plugin("parrot", word="crash"))
        == "checklist.yaml:9: sinks[0] can't be set up: can't say crash"
    )


@pytest.mark.usefixtures("aviary")
def test_a_built_in_type_can_not_be_taken_over() -> None:
    assert (
        type(sink(plugin("webhook", url="http://127.0.0.1/"))).__module__ == "anomaly.sinks.webhook"
    )


@pytest.mark.usefixtures("aviary")
def test_two_packages_with_the_same_type_are_refused(install: Callable[..., None]) -> None:
    install("zoo", "class Parrot: ...", {"anomaly.sinks": {"parrot": "zoo:Parrot"}})
    told = "is 'parrot', provided by several packages: aviary, zoo; uninstall all but one"
    assert refusal(plugin("parrot")) == f"checklist.yaml:9: sinks[0].type {told}"


def test_a_plug_in_that_crashes_when_imported_is_explained(install: Callable[..., None]) -> None:
    install("bomb", "raise RuntimeError('boom')", {"anomaly.sinks": {"bomb": "bomb:X"}})
    assert refusal(plugin("bomb")) == (
        "checklist.yaml:9: sinks[0].type is 'bomb', a plug-in that fails to load: "
        "RuntimeError: boom"
    )


@pytest.mark.parametrize(
    "module",
    [
        "import pyarrow.nothing_of_this_name",
        (
            "class X:\n    send = 1.0.__add__\n    def __init__(self): import "
            "pyarrow.nothing_of_this_name"
        ),
    ],
)
def test_a_missing_extra_says_how_to_install_it(install: Callable[..., None], module: str) -> None:
    name = f"needy{len(module)}"
    install(name, module, {"anomaly.sinks": {"needy": f"{name}:X"}})
    told = "is 'needy', which needs an extra: pip install 'release-anomaly[parquet]'"
    assert refusal(plugin("needy")) == f"checklist.yaml:9: sinks[0].type {told}"


@pytest.mark.usefixtures("aviary")
def test_a_plug_in_is_checked_when_the_checklist_is_loaded(complaints: Complain) -> None:
    text = "service: a\nsources: {d: {type: files, path: x}}\nkpis: [{name: a, query: b}]\n"
    text += "sinks:\n  - type: parrot\n    word: hi\n    wait: ${A}\n"
    assert complaints(text, environ={"A": "soon"}) == [
        "checklist.yaml:7: sinks[0].wait is '${A}'; it must be a duration like 30s, 5m or 1h30m"
    ]


def test_a_plug_in_without_a_place_is_still_explained() -> None:
    assert (
        refusal(Plugin("consolx"))
        == f"type is 'consolx'; use one of {', '.join(SINKS.built_in)} (did you mean console?)"
    )


def test_the_repr_of_a_plug_in_shows_no_setting() -> None:
    assert "hunter2" not in repr(
        Plugin("webhook", {"secret": "hunter2"}, secrets=frozenset({"hunter2"}))
    )


@pytest.mark.slow
def test_nothing_is_imported_until_it_is_used() -> None:
    code = (
        "import sys, anomaly.checklist.registry; print([name for name in sys.modules if "
        "name.startswith(('anomaly.sinks.', 'anomaly.collectors.'))])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


def test_settings_that_plug_ins_share_are_unpacked_from_a_typed_dict(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "flock", raising=False)
    install("flock", FLOCK, {"anomaly.sinks": {"goose": "flock:Goose"}})

    made = sink(Plugin("goose", {"pond": "north", "loud": True}))

    assert vars(made) == {"loud": True, "shared": {"pond": "north"}}
    with pytest.raises(ChecklistError, match="pond is missing"):
        sink(Plugin("goose", {"feed": "corn"}))
    with pytest.raises(ChecklistError, match="use one of type, pond, feed, loud"):
        sink(Plugin("goose", {"pond": "north", "fed": "corn"}))
