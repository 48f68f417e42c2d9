"""How alike two environments are under one checklist, and what each of them could have seen of a
release."""
