"""Collectors: how series are pulled from where they live."""
