"""The mails that development wrote to a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from pathlib import Path

_SEPARATOR = re.compile(rb"^-{79}\r?\n", re.MULTILINE)
#: So many are shown.
LIMIT = 50


@dataclass(frozen=True)
class Mail:
    """A mail as the mailbox shows it."""

    key: str
    subject: str
    sender: str
    to: str
    date: datetime
    text: str
    html: str


def read(folder: Path) -> list[Mail]:
    """Return the newest mails in `folder`, newest first."""
    mails: list[Mail] = []
    files = sorted(folder.glob("*.log"), key=lambda p: p.stat().st_mtime, reverse=True)
    for file in files[:LIMIT]:
        parts = _SEPARATOR.split(file.read_bytes())
        mails += [_parse(f"{file.stem}.{i}", part) for i, part in enumerate(parts) if part.strip()]
    return sorted(mails, key=lambda mail: mail.date, reverse=True)[:LIMIT]


def find(folder: Path, key: str) -> Mail | None:
    """Return the mail with `key`; the key is compared, never used as a path."""
    return next((mail for mail in read(folder) if mail.key == key), None)


def _parse(key: str, source: bytes) -> Mail:
    # Bytes, because a text body of 8 bits has the encoding that its own header names.
    message = message_from_bytes(source, policy=policy.default)

    def body(kind: str) -> str:
        part = message.get_body((kind,))
        try:
            return str(part.get_content()) if part else ""
        except (LookupError, ValueError):  # an encoding that nobody knows
            return ""

    try:
        date = parsedate_to_datetime(str(message["Date"]))
    except ValueError:
        date = datetime.fromtimestamp(0, UTC)
    return Mail(
        key,
        str(message["Subject"]),
        str(message["From"]),
        str(message["To"]),
        date if date.tzinfo else date.replace(tzinfo=UTC),
        body("plain"),
        body("html"),
    )
