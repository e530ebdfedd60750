"""The call of a job as Python."""

import ast
import re
from html import unescape

import pytest
from django.utils.html import strip_tags

from jobs.dashboard import snippet
from jobs.functions import resolve
from jobs.masking import MASK
from jobs.models import Job

HERE = "tests.dashboard.secretive"


def job(func=f"{HERE}.charge", *args, queue="default", options=None, **kwargs):
    arguments = {"args": list(args), "kwargs": kwargs}
    return Job(pk=1042, func=func, arguments=arguments, queue=queue, options=options or {})


def test_a_call_is_written_with_ids_import_and_arguments():
    assert snippet.source(job(invoice=7)) == (
        "# id: 1042\n# queue: default\nfrom tests.dashboard.secretive import charge\n\n"
        "charge(invoice=7)\n"
    )


def test_positional_arguments_get_the_names_of_the_function():
    found = job(f"{HERE}.charge", 7, "tok-123")
    text = snippet.source(found, resolve(found.func))
    assert f'charge(invoice=7, token="{MASK}")' in text
    assert "tok-123" not in text


def test_those_that_can_have_no_name_keep_their_place():
    found = job(f"{HERE}.positional_only", 7, "pw-123")
    assert f'positional_only(7, "{MASK}")' in snippet.source(found, resolve(found.func))


def test_options_are_part_of_the_call():
    text = snippet.source(job(invoice=7, queue="mail", options={"max_retries": 3}))
    assert "from jobs import using" in text
    assert 'using(charge, queue="mail", max_retries=3).enqueue(invoice=7)' in text


def test_long_calls_have_an_argument_to_a_line():
    text = snippet.source(job(invoice=7, card={"holder": "x" * 70, "rows": [1, 2, {"pin": "1"}]}))
    assert "charge(\n    invoice=7,\n    card={\n" in text
    assert f'"pin": "{MASK}"' in text
    ast.parse(text)


@pytest.mark.parametrize(
    "value",
    ["<script>alert(1)</script>", "שלום‮evil", "😀 emoji", "'\"\\\n\t\x00", "x" * 1_000_000,
     list(range(100_000)), {str(n): n for n in range(10_000)}, {"a-b": {"": None}}, 1e300, 10**400],
)  # fmt: skip
def test_whatever_stands_in_an_argument_it_is_python_and_harmless(value):
    found = job(**{"value": value, "odd name": value, "class": value})
    text = snippet.source(found)
    ast.parse(text)
    assert len(text) < 40_000
    html = str(snippet.html(found))
    assert "<script" not in html
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)
    assert unescape(strip_tags(html)) == text


def test_a_path_that_is_no_path_is_written_as_text():
    text = snippet.source(job("<script>\n# evil", 1))
    ast.parse(text)
    assert 'enqueue("<script>\\n# evil", 1)' in text


def test_methods_are_imported_with_their_class():
    assert "from a.b import Mailer\n\nMailer.send()" in snippet.source(job("a.b.Mailer.send"))


def test_very_many_arguments_are_counted():
    text = snippet.source(job("a.b", *range(5000)))
    assert "...,  # 4,900 more arguments" in text
    assert "..., # " not in text


def test_a_text_that_looks_like_a_remark_is_only_a_text():
    ast.parse(snippet.source(job(invoice=",  # evil", card="\n,  # " * 20)))


def test_highlighting_is_by_classes_only():
    html = str(snippet.html(job(invoice=7)))
    assert 'class="kn"' in html
    assert "style=" not in html
