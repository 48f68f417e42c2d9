"""Notifications: who is told what, and how it is delivered."""
