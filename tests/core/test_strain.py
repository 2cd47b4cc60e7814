"""Is everything slow at once?"""

from __future__ import annotations

from understudy.core.strain import LASTS, Strain


def test_it_is_general_while_more_than_half_are_strained() -> None:
    strain = Strain()
    strain.cut(0, 1000.0)
    assert not strain.is_general(1000.0, 2)
    strain.cut(1, 1000.0)
    assert strain.is_general(1000.0, 2)
    assert strain.is_general(1000.0, 3)
    assert not strain.is_general(1000.0, 4)
    assert repr(strain) == "<Strain of [0, 1]>"


def test_first_content_ends_a_members_strain() -> None:
    strain = Strain()
    strain.cut(0, 1000.0)
    strain.began(0)
    strain.began(1)
    assert not strain.is_general(1000.0, 1)


def test_it_passes_by_itself() -> None:
    strain = Strain()
    strain.cut(0, 1000.0)
    assert strain.is_general(1000.0 + LASTS - 0.1, 1)
    assert not strain.is_general(1000.0 + LASTS, 1)
