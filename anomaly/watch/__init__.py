"""The unattended watch of releases."""
