"""The sample shop in production, and a staging environment beside it: some of it like production,
some not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.shop import FOLDER, generate

Frames = dict[str, pd.DataFrame]

CHECKLIST = (FOLDER / "healthy" / "checklist.yaml").read_text(encoding="utf-8")
SOURCES = CHECKLIST[CHECKLIST.index("environment:") : CHECKLIST.index("windows:")]
ENVIRONMENTS = """\
environment: production
environments:
  production:
    sources:
      traffic: {type: files, path: production/traffic.csv}
      shop: {type: files, path: production/shop.csv}
      signups: {type: files, path: production/signups.csv, layout: long}
  staging:
    sources:
      traffic: {type: files, path: staging/traffic.csv}
      shop: {type: files, path: staging/shop.csv}
      signups: {type: files, path: staging/signups.csv, layout: long}
"""
SHARE = 0.1  # of production's traffic
BUYS_LESS = 0.5  # of production's conversion
STEADY_MS = 120.0  # latency under no load worth the name


def write(folder: Path, *, staging: str = "healthy", production: str = "healthy") -> Path:
    """Both environments as files, and the checklist over them, with a release of each as named by
    `generate.VERSIONS`."""
    for name, frames in (
        ("production", generate.scenario(production, 2025)),
        ("staging", rehearsed(generate.scenario(staging, 7))),
    ):
        (folder / name).mkdir()
        for file, frame in frames.items():
            frame.to_csv(folder / name / f"{file}.csv", index=False, date_format="%Y-%m-%dT%H:%MZ")
    checklist = folder / "checklist.yaml"
    checklist.write_text(CHECKLIST.replace(SOURCES, ENVIRONMENTS), encoding="utf-8")
    return checklist


def rehearsed(frames: Frames) -> Frames:
    """A shop as staging has it: a share of the visitors, who buy less, a steady latency, sign-ups
    in one country alone."""
    rng = np.random.default_rng(7)
    traffic, shop, signups = (frames[name].copy() for name in ("traffic", "shop", "signups"))
    failed = rng.binomial(traffic["errors"], SHARE)
    traffic["requests"] = failed + rng.binomial(traffic["requests"] - traffic["errors"], SHARE)
    traffic["errors"] = failed
    whole = shop["sessions"].to_numpy()
    shop["sessions"] = rng.binomial(whole, SHARE)
    part = shop["sessions"] / np.maximum(whole, 1)
    shop["product_views"] = rng.poisson(shop["product_views"] * part)
    shop["orders"] = rng.poisson(shop["orders"] * part * BUYS_LESS)
    shop["revenue_eur"] = np.round(shop["orders"] * rng.uniform(40, 80, len(shop)), 2)
    shop["p95_latency_ms"] = np.round(STEADY_MS * np.exp(rng.normal(0, 0.05, len(shop))), 1)
    return {"traffic": traffic, "shop": shop, "signups": signups[signups["country"] == "DE"]}
