"""The bundled assets: whole, and named where they are not."""

import shutil
from pathlib import Path

import pytest

from headscribe.core.assets import ASSETS, MANIFEST, asset, manifest_of
from headscribe.core.errors import RunError


def test_the_manifest_is_current() -> None:
    """If this fails: python -m headscribe.core.assets"""
    assert (ASSETS / MANIFEST).read_text() == manifest_of()


@pytest.mark.parametrize("name", ["stories", "en", "samples"])
def test_every_asset_is_whole(name: str) -> None:
    assert asset(name).is_dir()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(ASSETS, tmp_path / "assets")
    return tmp_path / "assets"


def test_a_damaged_file_is_named_with_the_remedy(copied: Path) -> None:
    weights = copied / "stories" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match=r"model\.safetensors is damaged: install headscribe again"):
        asset("stories", copied)
    assert asset("en", copied) == copied / "en"


def test_a_missing_file_is_named_with_the_remedy(copied: Path) -> None:
    (copied / "en" / "meta.json").unlink()
    with pytest.raises(RunError, match=r"en/meta\.json is missing: install headscribe again"):
        asset("en", copied)


def test_a_damaged_manifest(copied: Path) -> None:
    (copied / MANIFEST).write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json is missing or damaged"):
        asset("samples", copied)
    (copied / MANIFEST).write_text("{}")
    with pytest.raises(RunError, match="knows no asset samples"):
        asset("samples", copied)
