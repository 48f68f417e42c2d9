"""Quantiles of Student's t. SciPy has them, too, but loading it is a fifth of what a small check
costs, and nothing else that every verdict needs is in it."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from statistics import NormalDist

import numpy as np

from anomaly.baseline.robust import Floats

NORMAL = NormalDist()
NODES, STEPS = 64, 5
TRIES = 12
HALF, TINY = 0.5, 1e-12
CLOSE = 1e-13  # relative, of a quantile
NEARLY_NORMAL = 1e10  # degrees of freedom
LARGE = 50.0  # argument from which on the series of the gamma function is exact


@lru_cache(maxsize=10_000)
def t_quantile(freedom: float, p: float) -> float:
    """The value that Student's t with `freedom` degrees of freedom does not exceed with probability
    `p`.

    Newton's method on the integral of the density, from Wallace's approximation (1959); exact but
    for the far tails (1 in 10,000) of fewer than 2 degrees of freedom. NaN for what is no
    probability or no freedom.
    """
    if not (freedom > 0 and 0 <= p <= 1):
        return math.nan
    if p < HALF:  # the law is symmetric
        return -t_quantile(freedom, 1 - p)
    if p == 1:
        return math.inf
    z = NORMAL.inv_cdf(p)
    if freedom > NEARLY_NORMAL or z == 0:
        return z
    z *= (8 * freedom + 3) / (8 * freedom + 1)
    t = math.sqrt(freedom * math.expm1(min(z * z / freedom, 600.0)))
    nodes, weights = _quadrature()
    root = math.sqrt(freedom)
    scale = math.exp(_gamma_step(freedom / 2)) / math.sqrt(math.pi)
    for _ in range(TRIES):
        # with t = √freedom · tan(angle) the density is a power of a cosine
        angle = math.atan2(t, root)
        part = scale * angle * float(weights @ np.exp((freedom - 1) * _log_cosine(angle * nodes)))
        density = scale / root * math.exp((freedom + 1) * float(_log_cosine(np.array(angle))))
        step = (part - (p - HALF)) / density
        t = max(t - step, t / 2)
        if abs(step) <= CLOSE * t:
            break
    return t


def _log_cosine(angle: Floats) -> Floats:
    """log cos, exact for small angles, too, whose cosine is nearly 1."""
    square = np.minimum(np.sin(angle) ** 2, 1 - TINY)
    return np.asarray(np.where(square < HALF, np.log1p(-square) / 2, np.log(np.cos(angle))))


def _gamma_step(x: float) -> float:
    """log Γ(x + ½) − log Γ(x)."""
    if x < LARGE:
        return math.lgamma(x + 0.5) - math.lgamma(x)
    return 0.5 * math.log(x) - 1 / (8 * x) + 1 / (192 * x**3) - 1 / (640 * x**5)


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss and Legendre between 0 and 1, by Newton's method."""
    node = np.cos(np.pi * (np.arange(NODES) + 0.75) / (NODES + 0.5))
    for _ in range(STEPS):
        before, value = np.ones(NODES), node
        for k in range(2, NODES + 1):
            before, value = value, ((2 * k - 1) * node * value - (k - 1) * before) / k
        slope = NODES * (before - node * value) / (1 - node**2)
        node = node - value / slope
    return (node + 1) / 2, 1 / ((1 - node**2) * slope**2)
