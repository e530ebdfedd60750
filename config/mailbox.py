"""The mails that development wrote to a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_string, policy
from email.utils import parsedate_to_datetime
from pathlib import Path

_SEPARATOR = re.compile(r"^-{79}\n", re.MULTILINE)
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
        parts = _SEPARATOR.split(file.read_text(encoding="utf-8", errors="replace"))
        mails += [_parse(f"{file.stem}.{i}", part) for i, part in enumerate(parts) if part.strip()]
    return sorted(mails, key=lambda mail: mail.date, reverse=True)[:LIMIT]


def find(folder: Path, key: str) -> Mail | None:
    """Return the mail with `key`; the key is compared, never used as a path."""
    return next((mail for mail in read(folder) if mail.key == key), None)


def _parse(key: str, source: str) -> Mail:
    message = message_from_string(source, policy=policy.default)

    def body(kind: str) -> str:
        part = message.get_body((kind,))
        return part.get_content() if part else ""

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
