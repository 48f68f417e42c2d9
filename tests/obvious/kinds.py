"""Every kind of the catalogue, group by group, in the order in which each group adds its own."""

from __future__ import annotations

from tests.obvious import catalogue, edges, expected, falls, harmless, plain, scarce, sensitivity
from tests.obvious.catalogue import Kind

GROUPS = tuple(
    module.GROUP for module in (edges, expected, falls, harmless, scarce, sensitivity, plain)
)
KINDS: tuple[Kind, ...] = tuple(
    sorted(catalogue.KINDS.values(), key=lambda each: GROUPS.index(each.group))
)


def named(name: str) -> Kind:
    """The kind of this name; raises KeyError."""
    return catalogue.KINDS[name]
