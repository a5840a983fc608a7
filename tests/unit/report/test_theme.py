"""Contrast, ramps, and that drawing leaves matplotlib as it was."""

import matplotlib
import numpy as np
import pytest

from headscribe.report.theme import FAMILY_SENTENCES, THEMES, contrast, drawing, on_scale, rgb


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_text_meets_wcag_aa(theme):
    for color in (theme.ink, theme.muted, theme.accent, theme.families["syntactic"]):
        for ground in (theme.surface, theme.empty):
            if ground == theme.empty and color == theme.families["syntactic"]:
                continue  # gains stand on the surface only
            assert contrast(color, ground) >= 4.5, (color, ground)


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_families_stand_out_as_marks(theme):
    assert set(theme.families) == set(FAMILY_SENTENCES)
    for color in theme.families.values():
        assert contrast(color, theme.surface) >= 3


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_text_in_cells_is_legible_on_every_shade(theme):
    for family in theme.families.values():
        for strength in np.linspace(0, 1, 11):
            fill = theme.shade(family, strength)
            assert contrast(theme.text_on(fill), fill) >= 4


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_ramps_run_from_the_surface(theme):
    attention = theme.ramp("attention", 11)
    assert tuple(attention[0]) == rgb(theme.surface)
    assert tuple(theme.ramp("difference", 11)[5]) == rgb(theme.surface)
    distance = np.abs(attention.astype(int) - attention[0]).sum(axis=1)
    assert (np.diff(distance) > 0).all()


def test_the_scale_keeps_sign_and_order():
    assert np.allclose(on_scale(np.array([-1, -0.25, 0, 0.25, 1])), [-1, -0.5, 0, 0.5, 1])


def test_drawing_restores_the_settings():
    before = dict(matplotlib.rcParams)
    with drawing(THEMES["dark"]):
        assert matplotlib.rcParams["text.parse_math"] is False
    assert dict(matplotlib.rcParams) == before


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
