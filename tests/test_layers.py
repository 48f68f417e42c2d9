"""Imports point one way: what `make layers` checks of rooms, checked of modules."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp

# A report loads its own forms when asked, a step of a notebook its own plots.
LOAD_THEIR_FORMS = {
    "anomaly.reporting.report",
    "anomaly.notebook.exploring",
}


def test_no_modules_import_each_other_but_values_that_load_their_own_forms() -> None:
    """Imports inside functions and for type checking count."""
    graph = grimp.build_graph("anomaly", cache_dir=None)
    sorter = TopologicalSorter(
        {
            module: graph.find_modules_directly_imported_by(module)
            for module in graph.modules - LOAD_THEIR_FORMS
        }
    )
    try:
        sorter.prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(error.args[1])) from None


def test_values_load_their_forms_from_their_own_room() -> None:
    graph = grimp.build_graph("anomaly", cache_dir=None)
    for module in LOAD_THEIR_FORMS:
        room = module.rpartition(".")[0]
        users = graph.find_downstream_modules(module)
        forms = graph.find_modules_directly_imported_by(module) & users
        assert forms
        assert {form.rpartition(".")[0] for form in forms} == {room}
