"""Small text files: one clear line for every way they fail, and never half written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from understudy.config.files import mapped, read_text, reason, write_text
from understudy.errors import ConfigurationError, ProfileError


class TestRead:
    def test_text_is_utf8_with_or_without_its_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(b"\xef\xbb\xbf" + "grün".encode())

        assert read_text(path) == "grün"

    def test_a_missing_file_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(ProfileError, match=r"/x\.json: no such file or directory$"):
            read_text(tmp_path / "x.json")

    def test_a_folder_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(ProfileError, match=r": is a directory$"):
            read_text(tmp_path)

    def test_other_encodings_are_told_where_and_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_bytes("{grün}".encode("latin-1"))

        with pytest.raises(ProfileError, match=r": not UTF-8 \(byte 3\)$") as caught:
            read_text(path)
        assert caught.value.hint == "save the file as UTF-8"

    def test_a_large_file_is_no_profile(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_bytes(b" " * 1024 * 1024)
        assert len(read_text(path)) == 1024 * 1024

        path.write_bytes(b" " * (1024 * 1024 + 1))
        with pytest.raises(ProfileError, match="larger than 1 MiB"):
            read_text(path)

    def test_an_endless_one_is_not_read_to_its_end(self) -> None:
        with pytest.raises(ProfileError, match="larger than 1 MiB"):
            read_text(Path("/dev/zero"))


class TestWrite:
    def test_only_the_owner_may_look(self, tmp_path: Path) -> None:
        path = tmp_path / "home" / "profiles" / "x.json"

        write_text(path, "grün\n")

        assert path.read_text(encoding="utf-8") == "grün\n"
        assert [_mode(each) for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]

    def test_a_file_that_others_could_read_is_closed_when_written_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_text("old")
        path.chmod(0o644)

        write_text(path, "new")

        assert (path.read_text(), _mode(path)) == ("new", 0o600)

    def test_a_folder_that_was_there_keeps_its_mode(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)

        write_text(tmp_path / "x.json", "text")

        assert _mode(tmp_path) == 0o755

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_text("old")

        with pytest.raises(UnicodeEncodeError):
            write_text(path, "half \ud800")

        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["x.json"]

    def test_what_the_system_refuses_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "x.json").mkdir()

        with pytest.raises(ConfigurationError, match=r"x\.json can't be written: is a directory$"):
            write_text(tmp_path / "x.json", "text")
        assert os.listdir(tmp_path) == ["x.json"]


def test_an_error_without_words_is_told_by_its_type() -> None:
    assert reason(OSError()) == "oserror"
    assert reason(FileNotFoundError(2, "No such file or directory", "x")) == "no such file or directory"


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), mapped("this"):
        raise KeyError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
