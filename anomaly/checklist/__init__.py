"""The checklist: what is judged, read from YAML, with its plug-ins."""
