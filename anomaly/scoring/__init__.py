"""Scoring: which KPI moved, since when, by how much and how surely."""
