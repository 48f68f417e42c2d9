"""The unattended watch: looks at releases, one after the other."""
