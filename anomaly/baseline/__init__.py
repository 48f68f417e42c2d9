"""The baseline: what each point should have been, learned from the pre-release data."""
