"""Did this release move a KPI that matters: which one, since when, by how much, and how sure are we?"""
