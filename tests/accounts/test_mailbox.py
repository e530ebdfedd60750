"""What the mailbox makes of the files it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.filebased import EmailBackend

from config import mailbox


def test_umlauts_and_dashes_arrive_as_they_were_written(tmp_path: Path) -> None:
    text = "Schöne Grüße – “Ada”, 20 €"
    message = EmailMultiAlternatives("Grüße", text, to=["ada@example.com"])
    message.attach_alternative(f"<p>{text}</p>", "text/html")
    EmailBackend(file_path=str(tmp_path)).send_messages([message])

    (mail,) = mailbox.read(tmp_path)

    assert mail.subject == "Grüße"
    assert mail.text.strip() == text
    assert text in mail.html


@pytest.mark.parametrize(
    "source",
    [
        b"Subject: cut off in the mid",
        b"",
        b"\xff\xfe\x00",
        b"Subject: x\nContent-Type: text/plain; charset=no-such-charset\n\nHello\n",
        b"Subject: x\nDate: yesterday\n\nHello\n",
    ],
)
def test_a_damaged_file_does_not_hide_the_others(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "broken.log").write_bytes(source)
    message = EmailMultiAlternatives("Whole", "Text", to=["ada@example.com"])
    EmailBackend(file_path=str(tmp_path)).send_messages([message])

    assert "Whole" in [mail.subject for mail in mailbox.read(tmp_path)]
