"""The folder of profiles.

1. The folder is the platform's own for configuration, ``UNDERSTUDY_HOME`` overrides it; profiles are
   in ``profiles/`` there. What is not found there is looked for among the examples that ship with
   Understudy.
2. What contains a separator or ends in ``.json`` is a path, anything else a name. Members of a profile
   given by path are looked up beside it first.
3. Files are written whole or not at all, for their owner only (0600, folder 0700).
4. A member that a saved load balancer lists is not deleted, and a load balancer never becomes a
   member of another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.config.checks import NAME
from understudy.config.document import read_document
from understudy.config.files import mapped, read_text, write_text
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile, located
from understudy.config.profile_file import parse_profile, to_document, to_text
from understudy.config.secret import shown
from understudy.core.settings import nearest
from understudy.errors import ConfigurationError, ProfileError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

HOME_VARIABLE = "UNDERSTUDY_HOME"
_LIST = "`understudy profile list` shows all"


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds everything the user has configured."""
    home = environ.get(HOME_VARIABLE, "").strip()
    if home:
        return Path(os.path.expanduser(home))
    import platformdirs

    return Path(platformdirs.user_config_path("understudy", appauthor=False))


def is_path(name_or_path: str) -> bool:
    return os.sep in name_or_path or name_or_path.endswith(".json")


class ProfileStore:
    """The profiles of one configuration folder, and the shipped examples behind them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "profiles"

    def __repr__(self) -> str:
        return f"<ProfileStore {self.home}>"

    def load(self, name_or_path: str, *, beside: Path | None = None) -> Profile:
        """The profile of this name or path; raises `ProfileError`.

        `beside` is the file of the profile that lists it as a member, if that was given by path.
        """
        if is_path(name_or_path):
            path = Path(os.path.expanduser(name_or_path))
            return parse_profile(read_text(path), name=path.name.removesuffix(".json"), path=path)
        path = self._path(name_or_path)
        for candidate in [path] if beside is None else [beside.parent / path.name, path]:
            if os.path.lexists(candidate):
                return parse_profile(read_text(candidate), name=name_or_path, path=candidate)
        if name_or_path in self.example_names():
            text = _example(name_or_path).read_text(encoding="utf-8")
            return parse_profile(text, name=name_or_path)
        raise self._missing(name_or_path)

    def names(self) -> tuple[str, ...]:
        """Every name that `load` knows, sorted."""
        return tuple(sorted({*self.own_names(), *self.example_names()}))

    def own_names(self) -> tuple[str, ...]:
        """The names in the folder itself."""
        if not self.folder.exists():
            return ()
        with mapped(f"{self.folder} can't be listed"):
            return _names(entry.name for entry in self.folder.iterdir())

    def example_names(self) -> tuple[str, ...]:
        """The names that ship with Understudy."""
        return _names(entry.name for entry in _examples().iterdir())

    def show(self, name_or_path: str) -> dict[str, Any]:
        """The profile as JSON has it, keys masked."""
        return to_document(self.load(name_or_path))

    def save(self, profile: Profile, *, inline_key: bool = False) -> Path:
        """Write the profile into the folder, in place of one of the same name; returns its file.

        A key kept inline is left out but with `inline_key`. Raises `ConfigurationError`.
        """
        if isinstance(profile, LoadBalancerProfile):
            self._check_members(profile)
        path = self._path(profile.name)
        write_text(path, to_text(self._anchored(profile), inline_key=inline_key))
        return path

    def delete(self, name: str) -> None:
        """Remove a profile; raises `ConfigurationError` if a saved load balancer lists it."""
        path = self._path(name)
        if not os.path.lexists(path):
            if name in self.example_names():
                raise ConfigurationError(f"{name} ships with Understudy and can't be deleted")
            raise self._missing(name)
        self._check_unreferenced(name, "can't be deleted")
        with mapped(f"{path} can't be deleted"):
            path.unlink()
        if self.default == name:
            self.set_default(None)

    def referrers(self, name: str) -> tuple[str, ...]:
        """The load balancers in the folder that list `name` as a member, broken ones included."""
        return tuple(own for own in self.own_names() if name in _listed(self._path(own)))

    @property
    def default_path(self) -> Path:
        """The file that remembers the profile to begin with."""
        return self.home / "default-profile"

    @property
    def default(self) -> str | None:
        """The profile to begin with, None if none was chosen."""
        path = self.default_path
        return read_text(path).strip() or None if os.path.lexists(path) else None

    def set_default(self, name: str | None) -> None:
        """Begin with this profile from now on; None forgets it. Raises `ProfileError` if it is not there."""
        if name is None:
            with mapped(f"{self.default_path} can't be deleted"):
                self.default_path.unlink(missing_ok=True)
            return
        if name not in self.names():
            raise self._missing(name)
        write_text(self.default_path, f"{name}\n")

    def _path(self, name: str) -> Path:
        if not re.search(NAME.pattern, name):
            raise ProfileError(f"{shown(name)} is no profile name", hint=f"a name is {NAME.description}")
        return self.folder / f"{name}.json"

    def _missing(self, name: str) -> ProfileError:
        likely = nearest(name, self.names())
        hint = f"did you mean {likely}? {_LIST}" if likely else _LIST
        return ProfileError(f"no profile named {shown(name)} in {self.folder}", hint=hint)

    def _check_members(self, profile: LoadBalancerProfile) -> None:
        self._check_unreferenced(profile.name, "can't become a load balancer")
        for member in dict.fromkeys(profile.members):
            if isinstance(self.load(member), LoadBalancerProfile):
                raise ProfileError(
                    f"{member} is a load balancer and can't be a member of {profile.name}",
                    hint="list its members instead",
                )

    def _check_unreferenced(self, name: str, refusal: str) -> None:
        referrers = self.referrers(name)
        if referrers:
            raise ConfigurationError(
                f"{name} {refusal}: it is a member of {', '.join(referrers)}",
                hint="take it off their lists first, or delete them",
            )

    def _anchored(self, profile: Profile) -> Profile:
        """The same with its relative paths made absolute, if it was not at home in this folder."""
        if isinstance(profile, LoadBalancerProfile) or _folder(profile) == self.folder:
            return profile
        paths = {
            key: str(located(profile.settings[key], profile.path).absolute())
            for key in ("auth-keyfile", "ca-file")
            if key in profile.settings and not profile.settings[key].startswith("~")
        }
        return replace(profile, settings={**profile.settings, **paths})


def _folder(profile: StandardProfile) -> Path | None:
    return None if profile.path is None else profile.path.parent


def _names(files: Iterable[str]) -> tuple[str, ...]:
    """The profile names among file names; what is no profile's file is left alone."""
    stems = (file.removesuffix(".json") for file in files if file.endswith(".json"))
    return tuple(sorted(stem for stem in stems if re.search(NAME.pattern, stem)))


def _examples() -> Traversable:
    # Imported late: it brings much along, and most runs need no example.
    from importlib import resources

    return resources.files("understudy.config") / "examples"


def _example(name: str) -> Traversable:
    return _examples() / f"{name}.json"


def _listed(path: Path) -> tuple[Any, ...]:
    """The members a file lists, whatever else may be wrong with it."""
    try:
        members = read_document(read_text(path), str(path)).get("profiles")
    except ProfileError:
        return ()
    return tuple(members) if isinstance(members, list) else ()
