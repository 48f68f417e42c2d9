"""Sinks: where reports and messages go."""
