"""Tests of a checklist: `anomaly test`."""
