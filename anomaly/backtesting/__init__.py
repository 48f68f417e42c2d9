"""What a checklist would have said in the past: placebo releases, injected effects, past releases
with labels."""
