"""Profile files → checked values; secrets by reference.

General layout: `profile` holds the two kinds of profile as values and `profile_file` their JSON text,
read by `document` and judged by `checks`, which collect what is wrong in `problem`. `aliases` is the
table of providers, `secret` knows keys, `store` the folder of profiles (`files` reads and writes it),
and `pool` brings a profile together with its members and keys. `schema` and `reference` write the
same rules down for others.
"""

from understudy.config.aliases import ALIASES, Alias, WireFormat
from understudy.config.pool import MemberSlot, PoolProfile, load_pool, make_pool
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile
from understudy.config.profile_file import parse_profile, to_document, to_text
from understudy.config.secret import (
    InlineKey,
    KeyFile,
    KeyReference,
    KeyringEntry,
    KeyVariable,
    Secret,
    resolve,
)
from understudy.config.store import HOME_VARIABLE, ProfileStore, config_dir, is_path

__all__ = [
    "ALIASES",
    "HOME_VARIABLE",
    "Alias",
    "InlineKey",
    "KeyFile",
    "KeyReference",
    "KeyVariable",
    "KeyringEntry",
    "LoadBalancerProfile",
    "MemberSlot",
    "PoolProfile",
    "Profile",
    "ProfileStore",
    "Secret",
    "StandardProfile",
    "WireFormat",
    "config_dir",
    "is_path",
    "load_pool",
    "make_pool",
    "parse_profile",
    "resolve",
    "to_document",
    "to_text",
]
