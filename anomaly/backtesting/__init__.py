"""Backtesting: what a checklist would have said in the past, at placebo releases, with injected
effects, and at past releases with labels."""
