"""What a line of a crontab can hold."""

from __future__ import annotations

from anomaly.errors import UsageError

LONGEST_COMMAND = 998  # characters: cron of Debian cuts off what is longer


def escaped(command: str) -> str:
    """The command as a crontab writes it: every cron reads `\\%` as `%`, and some `\\\\` as one
    backslash. Raises UsageError if it has several lines, is too long for cron, or has a backslash
    before one of them outside of single quotes."""
    if not command.isprintable():
        raise UsageError(
            f"the command {command!r} has line ends or control characters, which a line of cron "
            "can't hold"
        )
    line = _apart(command).replace("%", r"\%")
    if len(line) > LONGEST_COMMAND:
        raise UsageError(
            f"the command has {len(line):,} characters; cron takes at most {LONGEST_COMMAND}"
        )
    return line


def _apart(command: str) -> str:
    """The command with an empty pair of quotes between a backslash and what cron would take it
    together with."""
    out, quote = "", ""
    for sign, following in zip(command, f"{command[1:]} ", strict=True):
        if not quote and sign in "'\"":
            quote = sign
        elif sign == quote:
            quote = ""
        out += sign
        if sign == "\\" and following in "\\%":
            if quote != "'":
                raise UsageError(
                    f"the command {command!r} has a backslash before {following}, which not every "
                    "cron reads alike; put it into single quotes"
                )
            out += "''"
    return out
