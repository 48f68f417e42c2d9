"""What a line of a crontab can hold."""

from __future__ import annotations

from anomaly.errors import UsageError

LONGEST_COMMAND = 998  # characters: cron of Debian cuts off what is longer


def escaped(command: str) -> str:
    """The command as a crontab writes it. Raises UsageError if it has several lines, or is too long
    for cron."""
    if not command.isprintable():
        raise UsageError(
            f"the command {command!r} has line ends or control characters, which a line of cron "
            "can't hold"
        )
    line = command.replace("%", r"\%")
    if len(line) > LONGEST_COMMAND:
        raise UsageError(
            f"the command has {len(line):,} characters; cron takes at most {LONGEST_COMMAND}"
        )
    return line
