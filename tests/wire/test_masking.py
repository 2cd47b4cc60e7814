"""Keys in texts: starred out, whoever echoes them and in whatever shape."""

from __future__ import annotations

import json

import pytest

from understudy.wire.masking import mask, mask_bytes


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Incorrect API key provided: sk-proj-Abc_123-xyz789.", "Incorrect API key provided: sk-***"),
        ("Incorrect API key provided: sk-abcd***********wxyz. You", "Incorrect API key provided: sk-*** You"),
        ("key sk-ant-api03-AbCdEf012345 is disabled", "key sk-*** is disabled"),
        ("sk-or-v1-0123456789abcdef", "sk-***"),
        ("rk-0123456789 pk-0123456789", "rk-*** pk-***"),
        ("gsk_abcdEFGH01234567", "gsk_***"),
        ("hf_abcdEFGH01234567 r8_abcdEFGH01234567", "hf_*** r8_***"),
        ("fw_abcdEFGH01234567 tgp_v1_abcdEFGH01234567", "fw_*** tgp_v1_***"),
        ("https://example.test/?key=AIzaSyA0123456789abcdef&x=1", "https://example.test/?key=AIza***&x=1"),
        ("xai-abcdEFGH01234567 csk-abcdEFGH01234567", "xai-*** csk-***"),
        ("nvapi-abcdEFGH01234567 pplx-abcdEFGH01234567", "nvapi-*** pplx-***"),
        ("dsk-abcdEFGH01234567 ya29.a0AfH6SMBx-123", "dsk-*** ya29.***"),
        ("token eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM given", "token eyJ*** given"),
        ("Authorization: Bearer abc/DEF+123=~x.y", "Authorization: Bearer ***"),
        ("bearer  0123456789abcdef", "bearer  ***"),
        ('{"api_key": "0123456789abcdef0123456789abcdef"}', '{"api_key": "***"}'),
        ("API key: 'YWJjZGVmZ2hpamtsbW5vcHFy1234=='", "API key: '***'"),
        ("the token provided: abcdefghijklmnopqrs1 is bad", "the token provided: *** is bad"),
        ("your secret is abcdefghijklmnopqrs1", "your secret is ***"),
        ("x-api-key abcdefghijklmnopqrs1", "x-api-key ***"),
    ],
)
def test_the_shapes_of_known_keys_are_starred_out(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "The model `gpt-4o-mini-2024-07-18` does not exist",
        "task-0123456789 and risk-assessment-2024",
        "Unknown key: response_format_json_schema",
        "code key_limit_exceeded, token_quota_exceeded",
        "Requested 14368 tokens per minute (TPM): Limit 6000",
        "request id req_011CbrFTcXhtiMzr3s6EocF7",
        "invalid_api_key",
        "bearer token missing",
        "sk-short eyJnotatoken",
    ],
)
def test_what_is_no_key_stays(text: str) -> None:
    assert mask(text) == text


def test_literal_secrets_go_whatever_they_look_like() -> None:
    assert mask("my pass word is hunter22, hunter22!", ["hunter22"]) == "my pass word is ***, ***!"
    assert mask("sk-one-key-of-mine-1 and two", ["two-not-here", "sk-one-key-of-mine-1"]) == "*** and two"


def test_a_secret_of_under_four_characters_would_only_ruin_the_text() -> None:
    assert mask("abc abcd", ["abc", ""]) == "abc abcd"
    assert mask("abc abcd", ["abcd"]) == "abc ***"


def test_a_body_stays_json_and_its_other_bytes_stay() -> None:
    body = '{"error":{"message":"Klíč sk-abcdef123456 ☹","code":401}}'.encode()
    masked = mask_bytes(body)
    assert json.loads(masked) == {"error": {"message": "Klíč sk-*** ☹", "code": 401}}
    assert mask_bytes(b"\xff\xfe sk-abcdef123456 \x80") == b"\xff\xfe sk-*** \x80"


def test_a_literal_secret_is_found_in_a_body_also_beyond_ascii() -> None:
    assert mask_bytes("heslo: žluťoučký".encode(), ["žluťoučký"]) == b"heslo: ***"
