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
        parser.add_argument("--password", help="default: a random one, printed once")

    def handle(self, *args: Any, **options: Any) -> None:
        email = normalise_email(options["email"])
        if "@" not in email:
            raise CommandError(f"--email {options['email']!r} is not an address.")
        if User.objects.filter(email=email).exists():
            self.stdout.write(f"Administrator: {email}, with the password printed at first.")
            return
        password = options["password"] or secrets.token_urlsafe(9)
        User.objects.create_superuser(email, password, name="Demo administrator")
        self.stdout.write(f"Administrator: {email}\nPassword:      {password}")
