"""Secrets among the arguments stay out of sight."""

import json
import random

import pytest
from django.core.checks import run_checks

from jobs import masking
from jobs.dashboard import words
from jobs.masking import MASK
from jobs.models import Job

HERE = "tests.dashboard.secretive"


@pytest.mark.parametrize(
    "name",
    ["password", "new_password2", "PASSWORD", "apiKey", "API_KEY", "X-Api-Key", "authtoken",
     "access_tokens", "Authorization", "secretKey", "private-key", "userpassword", "pin"],
)  # fmt: skip
def test_a_name_that_says_secret_is_one(name):
    assert masking.is_secret(name)


@pytest.mark.parametrize(
    "name", ["monkey", "keyboard", "tokenizer", "secretary", "spin", "user", "", "ключ", "1"]
)
def test_a_name_that_only_looks_like_one_is_none(name):
    assert not masking.is_secret(name)


def test_the_setting_says_which_names_are_secrets(settings):
    settings.JOBS = {"MASKED_ARGUMENTS": ["iban"]}
    assert masking.is_secret("customer_iban")
    assert not masking.is_secret("password")


def test_a_wrong_setting_is_reported(settings):
    settings.JOBS = {"MASKED_ARGUMENTS": "password"}
    assert any(m.id == "jobs.E001" and "MASKED_ARGUMENTS" in m.msg for m in run_checks())


def test_positional_arguments_are_secrets_by_the_signature():
    call = masking.masked_call(f"{HERE}.charge", {"args": [7, "tok-123456"], "kwargs": {}})
    assert call == {"args": [7, MASK], "kwargs": {}}


def test_so_are_those_that_a_star_takes():
    call = masking.masked_call(f"{HERE}.spread", {"args": [1, "a", "b"], "kwargs": {}})
    assert call["args"] == [1, MASK, MASK]


def test_of_a_function_that_is_gone_the_named_ones_are_masked():
    call = masking.masked_call("no.such.function", {"args": [1], "kwargs": {"token": "x"}})
    assert call == {"args": [1], "kwargs": {"token": MASK}}


def test_dicts_are_looked_into_however_deep():
    value = {"rows": [{"user": "a", "auth": {"Password": "pw", "tries": 3}}]}
    assert masking.masked(value) == {
        "rows": [{"user": "a", "auth": {"Password": MASK, "tries": 3}}]
    }


def test_nothing_and_yes_and_no_tell_nothing():
    assert masking.masked({"token": None, "password": True}) == {"token": None, "password": True}


def test_lists_of_jobs_show_no_secret():
    job = Job(func=f"{HERE}.charge", arguments={"args": [7, "hunter2hunter2"], "kwargs": {}})
    assert words.call_text(job) == f'(7, "{MASK}")'
    assert "hunter2" not in words.call_text({"args": [], "kwargs": {"card": {"cvv": "hunter2"}}})


def test_the_reason_of_a_state_shows_no_secret():
    arguments = {"args": [], "kwargs": {"token": "hunter2hunter2"}}
    job = Job(func="a.b", arguments=arguments, reason="ValueError: hunter2hunter2")
    assert words.reason(job) == f"ValueError: {MASK}"


def test_arguments_that_somebody_broke_are_shown_as_they_are():
    assert words.call_text("not json") == '("not json")'
    assert words.call_text(["x"]).startswith("(")


def test_text_about_a_call_loses_its_secrets():
    scrub = masking.secrets("a.b", {"args": [], "kwargs": {"token": 'tok"123\n45678901', "n": 5}})
    for written in (
        'tok"123\n45678901',
        repr('tok"123\n45678901'),
        json.dumps('tok"123\n45678901'),
    ):
        assert "45678901" not in scrub(f"ValueError: bad {written} given")


def test_a_short_secret_is_only_taken_out_as_a_word():
    scrub = masking.secrets("a.b", {"args": [], "kwargs": {"pin": 1234}})
    assert scrub("line 12345, pin 1234.") == f"line 12345, pin {MASK}."


def test_a_secret_that_was_cut_off_is_found_by_its_beginning_and_its_end():
    secret = random.Random(7).randbytes(500_000).hex()
    scrub = masking.secrets("a.b", {"args": [], "kwargs": {"secret": secret}})
    text = f"Error: {secret[:9000]}\n… many left out …\n{secret[-9000:]} was bad"
    assert scrub(text) == f"Error: {MASK}\n… many left out …\n{MASK} was bad"
    assert scrub(f"Error: {secret[:9]}") == f"Error: {MASK}"


def test_with_very_many_secrets_the_whole_text_is_hidden():
    tokens = [f"token-{n:08}" for n in range(5000)]
    scrub = masking.secrets("a.b", {"args": [], "kwargs": {"tokens": tokens}})
    assert scrub("whatever") == MASK


def test_arguments_nested_as_deep_as_can_be_do_no_harm():
    value: object = "x"
    for _ in range(900):
        value = {"a": [value]}
    masking.masked_call("a.b", {"args": [value], "kwargs": {}})
    masking.secrets("a.b", {"args": [value], "kwargs": {}})("text")
    words.call_text({"args": [value], "kwargs": {}})
