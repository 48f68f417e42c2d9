"""How alike two environments are under one checklist, and which changes each of them can detect."""
