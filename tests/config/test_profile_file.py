"""A profile's text ↔ its value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.profile_file import parse_profile, to_document, to_text
from understudy.errors import ProfileError

FILE = Path("/home/me/x.json")
STANDARD = {"provider": "openai", "model": "m"}
BALANCER = {"type": "loadbalancer", "policy": "failover", "profiles": ["a", "b"]}


def parsed(document: dict[str, Any]) -> StandardProfile | LoadBalancerProfile:
    return parse_profile(json.dumps(document), name="x", path=FILE)


def problems(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    with pytest.raises(ProfileError) as caught:
        parsed(document)
    found = caught.value.problems or (caught.value,)
    return [(problem.message.removeprefix("/home/me/x.json: "), problem.hint) for problem in found]


class TestStandard:
    def test_type_and_version_and_name_may_be_left_out(self) -> None:
        assert parsed(STANDARD) == StandardProfile("x", "openai", "m", path=FILE)

    def test_all_of_it(self) -> None:
        document = {
            "$schema": "standard-profile.schema.json",
            "version": 1,
            "type": "standard",
            "name": "x",
            "provider": "groq",
            "model": "m",
            "modelParams": {"temperature": 0.2},
            "ephemeralSettings": {"base-url": "https://a/v1", "auth-key-env": "K", "context-limit": 128_000},
        }

        assert parsed(document) == StandardProfile(
            "x",
            "groq",
            "m",
            {"temperature": 0.2},
            {"base-url": "https://a/v1", "auth-key-env": "K", "context-limit": 128_000},
            FILE,
        )

    def test_what_is_missing_is_named(self) -> None:
        assert [message.partition(";")[0] for message, _ in problems({})] == [
            "$.provider: it is missing",
            "$.model: it is missing",
        ]

    def test_a_balancers_field_says_what_type_is_missing(self) -> None:
        hint = 'a load balancer says "type": "loadbalancer"'

        assert problems({**STANDARD, "policy": "failover", "profiles": []}) == [
            ("$.policy: unknown field", hint),
            ("$.profiles: unknown field", hint),
        ]


class TestLoadBalancer:
    def test_all_of_it(self) -> None:
        document = {
            **BALANCER,
            "version": 1.0,
            "name": "x",
            "policy": "RoundRobin",
            "provider": "",
            "model": None,
            "modelParams": {"temperature": 0},
            "ephemeralSettings": {"timeout_ms": 5000},
        }

        assert parsed(document) == LoadBalancerProfile(
            "x", "roundrobin", ("a", "b"), {"temperature": 0}, {"timeout_ms": 5000}, FILE
        )

    def test_what_is_missing_is_named(self) -> None:
        assert problems({"type": "loadbalancer"}) == [
            (
                "$.policy: it is missing; it must be one of cheapest, failover, "
                "failover_sticky, fastest, least_busy, roundrobin, sticky, weighted",
                None,
            ),
            ("$.profiles: no members", "list the names of standard profiles"),
        ]

    def test_provider_and_model_are_its_members(self) -> None:
        assert problems({**BALANCER, "provider": "openai", "model": 0}) == [
            ('$.provider: it must be empty, not "openai"', "each member has its own"),
            ("$.model: it must be empty, not 0", "each member has its own"),
        ]


class TestCommon:
    @pytest.mark.parametrize("version", [2, 0, "1", True, None])
    def test_there_is_one_version(self, version: object) -> None:
        assert problems({**STANDARD, "version": version}) == [
            (f"$.version: it must be 1, not {json.dumps(version)}", None)
        ]

    @pytest.mark.parametrize("name", ["y", "X", None, 5])
    def test_a_name_that_is_not_the_files_is_an_error(self, name: object) -> None:
        [(message, hint)] = problems({**STANDARD, "name": name})

        assert message == f'$.name: it must be "x", not {json.dumps(name)}'
        assert hint is not None
        assert hint.startswith("the file's name is the profile's name")

    def test_a_schema_is_a_text(self) -> None:
        assert problems({**STANDARD, "$schema": 5}) == [("$.$schema: it must be a text, not 5", None)]

    @pytest.mark.parametrize(
        ("kind", "hint"),
        [
            ("load-balancer", "did you mean loadbalancer?"),
            ("LoadBalancer", "did you mean loadbalancer?"),
            ("pool", "known: loadbalancer, standard"),
            (5, "known: loadbalancer, standard"),
        ],
    )
    def test_an_unknown_type_offers_the_nearest(self, kind: object, hint: str) -> None:
        assert problems({**BALANCER, "type": kind}) == [(f"$.type: unknown: {json.dumps(kind)}", hint)]

    @pytest.mark.parametrize("document", [STANDARD, BALANCER])
    @pytest.mark.parametrize(
        ("field", "likely"),
        [
            ("model_params", "did you mean modelParams?"),
            ("ephemeralSetings", "did you mean ephemeralSettings?"),
        ],
    )
    def test_an_unknown_field_offers_the_nearest(
        self, document: dict[str, Any], field: str, likely: str
    ) -> None:
        assert problems({**document, field: {"auth-key": "secret"}}) == [
            (f"$.{field}: unknown field", likely)
        ]

    def test_a_field_like_none_lists_them_all(self) -> None:
        [(_, hint)] = problems({**STANDARD, "zzz": 1})

        assert hint is not None
        assert hint.startswith("known: $schema, version, type, name, provider")

    def test_problems_of_the_file_and_of_the_value_come_together(self) -> None:
        found = problems({"version": 2, "other": 1, "provider": "openai", "model": ""})

        assert [message.partition(":")[0] for message, _ in found] == ["$.version", "$.other", "$.model"]

    def test_a_files_problem_alone_is_one(self) -> None:
        assert problems({**STANDARD, "version": 2}) == [("$.version: it must be 1, not 2", None)]

    def test_what_is_not_json_is_told_so(self) -> None:
        with pytest.raises(ProfileError, match=r"^/home/me/x\.json: not JSON: .* \(line 1, column 3\)$"):
            parse_profile("{ x", name="x", path=FILE)

    def test_without_a_file_the_name_stands_for_it(self) -> None:
        with pytest.raises(ProfileError, match=r'^profile "x": not JSON'):
            parse_profile("", name="x")


class TestText:
    BALANCER = LoadBalancerProfile(
        "x", "failover", ("a", "b"), {"n": 1}, {"failover-status-codes": [500], "timeout-ms": 1}, FILE
    )
    MEMBER = StandardProfile(
        "x",
        "openai",
        "größe",
        settings={
            "auth-key-env": "K",
            "error_rules": [{"status": 418, "kind": "auth"}, {"match": "busy", "kind": "rate_limited"}],
        },
        path=FILE,
    )

    @pytest.mark.parametrize("profile", [BALANCER, MEMBER])
    def test_what_is_written_reads_as_it_was(self, profile: StandardProfile | LoadBalancerProfile) -> None:
        assert parse_profile(to_text(profile), name="x", path=FILE) == profile

    def test_it_is_json_with_canonical_keys(self) -> None:
        assert to_text(self.BALANCER) == (
            "{\n"
            '  "name": "x",\n'
            '  "version": 1,\n'
            '  "type": "loadbalancer",\n'
            '  "policy": "failover",\n'
            '  "profiles": [\n    "a",\n    "b"\n  ],\n'
            '  "modelParams": {\n    "n": 1\n  },\n'
            '  "ephemeralSettings": {\n'
            '    "failover_status_codes": [\n      500\n    ],\n'
            '    "timeout_ms": 1\n'
            "  }\n"
            "}\n"
        )

    def test_rules_leave_out_what_they_do_not_say(self) -> None:
        assert to_document(self.MEMBER)["ephemeralSettings"]["error_rules"] == [
            {"status": 418, "kind": "auth"},
            {"match": "busy", "kind": "rate_limited"},
        ]
        assert "größe" in to_text(self.MEMBER)

    def test_an_inline_key_is_written_only_if_asked_for_and_never_shown(self) -> None:
        profile = StandardProfile("x", "openai", "m", settings={"auth-key": "my-key"}, path=FILE)

        assert to_document(profile)["ephemeralSettings"] == {"auth-key": "********"}
        assert "auth-key" not in to_text(profile)
        assert parse_profile(to_text(profile, inline_key=True), name="x", path=FILE) == profile
        assert to_text(self.MEMBER, inline_key=True) == to_text(self.MEMBER)
