"""`manage.py demo`: a demo administrator."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...fields import normalise_email
from ...models import User


class Command(BaseCommand):
    help = "Makes a demo administrator and prints the password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", default="admin@bonfire.example")
        parser.add_argument(
            "--password",
            help="for a new administrator or one there is already; "
            "default: a random one, printed once, or the one there is",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email, password = normalise_email(options["email"]), options["password"]
        if "@" not in email:
            raise CommandError(f"--email {options['email']!r} is not an address.")
        user = User.objects.filter(email=email).first()
        if user is None:
            password = password or secrets.token_urlsafe(9)
            User.objects.create_superuser(email, password, name="Demo administrator")
        elif not (user.is_superuser and user.is_staff and user.is_active):
            said = f"{email} is a user but no administrator; choose another --email."
            if password:
                raise CommandError(said)
            self.stderr.write(said)
            return
        elif password:
            user.set_password(password)
            user.save(update_fields=["password"])
        said = password or "as printed at first; --password sets a new one"
        self.stdout.write(f"Administrator: {email}\nPassword:      {said}")
