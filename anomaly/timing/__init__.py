"""Spans, durations, schedules and special days."""
