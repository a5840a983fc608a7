"""What must be quick is quick: nothing heavy is imported before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "spacy", "datasets", "matplotlib", "pyarrow", "scipy")


@pytest.mark.parametrize(
    "code",
    [
        "import headscribe",
        "import headscribe.cli.main, sys; sys.argv = ['headscribe', '--help']\n"
        "try: headscribe.cli.main.main()\nexcept SystemExit: pass",
        "import headscribe; headscribe.HeadId(1, 2); headscribe.UsageError",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    check = f"\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code + check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_recordings_are_read_without_transformers() -> None:
    code = (
        "import sys, headscribe.api.explain, headscribe.api.survey, headscribe.api.fit\n"
        "from headscribe.models import recorded\nfrom headscribe.scoring import engine\n"
        "from headscribe.models.inputs import open_inputs\n"
        "try: open_inputs(recorded.Recording('nowhere'), None)\n"
        "except headscribe.UsageError: print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_a_wrong_path_or_a_filled_folder_is_refused_before_a_model_is_loaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "something").write_text("here")
    code = f"""
import sys, headscribe as hs
filled = {str(tmp_path)!r}
for verb in (hs.survey, hs.fit, hs.explain):
    for texts, out in (("nofile.txt", None), (["A cat."], filled)):
        try: verb("bundled:smollm2", texts, out=out)
        except hs.UsageError as error: print(error)
print("transformers" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused = [
        "nofile.txt: no such file",
        f"{tmp_path} is not empty: give another --out, or --resume to go on with its run",
    ]
    assert done.stdout.splitlines() == [*(3 * refused), "False"], done.stderr


def test_every_public_name_loads() -> None:
    import headscribe

    for name in headscribe.__all__:
        assert getattr(headscribe, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        headscribe.nothing  # noqa: B018
