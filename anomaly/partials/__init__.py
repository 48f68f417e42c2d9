"""Partials: what the data of some KPIs contribute to a report, and the report that they make."""
