"""Sinks: who is told, and how."""
