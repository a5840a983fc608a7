"""Some layers only; models that are spread over devices, kept elsewhere, or quantised."""

from pathlib import Path

import accelerate
import pytest
import torch

from headscribe.api.survey import Survey, layers_of, survey
from headscribe.core.errors import UsageError
from headscribe.models.loading import load
from headscribe.models.model import Model
from tests.integration.families import build
from tests.unit.models.tokenizers import word_tokenizer

TEXTS = ["the cat sat.", "cat the sat the cat.", "sat", "the the cat.", "sat cat sat cat."]
PATTERNS = ["previous_token", "same_token"]


def surveyed(model: Model, out: Path, layers: list[int] | None = None) -> Survey:
    return survey(
        model, TEXTS, patterns=PATTERNS, annotator="plain", layers=layers, out=out
    )  # fmt: skip


def numbers(found: Survey, layers: tuple[int, ...] = (0, 1, 2)) -> dict[tuple[object, ...], float]:
    """Scores and gains by pattern, layer, head, metric, view and split."""
    keys = ("pattern", "layer", "head", "metric", "view", "split")
    return {
        (*(row[key] for key in keys), column): row[column]
        for row in found.run.table("scores").to_pylist()
        for column in ("score", "gain")
        if row["layer"] in layers and row[column] is not None
    }


@pytest.mark.parametrize("family", ["llama", "bert", "albert"])
def test_some_layers_are_those_of_all(family: str, tmp_path: Path) -> None:
    model = load((build(family), word_tokenizer()))
    inputs = model.inputs(model.encode(TEXTS[:1]))
    before = model.stack.body(**inputs)[0]
    whole, some = surveyed(model, tmp_path / "all"), surveyed(model, tmp_path / "some", [0, 1])
    assert numbers(some) == numbers(whole, (0, 1))
    last = surveyed(model, tmp_path / "last", [2])
    assert numbers(last) == pytest.approx(numbers(whole, (2,)), abs=1e-5)
    assert torch.equal(model.stack.body(**inputs)[0], before), "a cut pass leaves no trace"
    layers = {row["layer"] for row in some.run.table("layers").to_pylist()}
    assert layers == {0, 1, None}
    assert some.run.manifest["model"]["surveyed"] == [0, 1]
    assert some.head("2.0") == []
    some.report(tmp_path / "report.html")
    with pytest.raises(UsageError, match=r"expected layers within 0 to 2, got 1, 3"):
        surveyed(model, tmp_path / "none", [3, 1])


def test_a_cut_pass_runs_no_later_layer(tmp_path: Path) -> None:
    model = load((build("llama"), word_tokenizer()))
    ran: list[int] = []
    for layer, block in enumerate(model.hf.base_model.layers):
        block.register_forward_pre_hook(lambda *_, layer=layer: ran.append(layer))
    surveyed(model, tmp_path / "run", [1])
    assert set(ran) == {0, 1}


def test_layers_on_the_command_line() -> None:
    assert layers_of("0,5,11") == [0, 5, 11]
    assert layers_of("0-3, 11") == [0, 1, 2, 3, 11]
    for wrong in ("", "a", "1-", "-1", "0-99999999", "1,,2"):
        with pytest.raises(UsageError, match="expected layers such as 0,5,11 or 0-3"):
            layers_of(wrong)


def test_accelerate_places_a_model(tmp_path: Path) -> None:
    build("gpt2").save_pretrained(tmp_path / "model")
    word_tokenizer().save_pretrained(tmp_path / "model")
    plain = load(tmp_path / "model", device="cpu")
    spread = load(tmp_path / "model", device="auto")
    assert spread.fingerprint == plain.fingerprint


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_weights_that_are_kept_elsewhere(where: str, tmp_path: Path) -> None:
    """Layer by layer the weights come and go; nothing else differs."""
    plain = load((build("llama"), word_tokenizer()))
    hf = build("llama")
    cpu = torch.device("cpu")
    if where == "memory":
        accelerate.cpu_offload(hf, execution_device=cpu)
    else:
        accelerate.disk_offload(hf, tmp_path / "offloaded", execution_device=cpu)
    assert hf.device.type == "meta"
    model = load((hf, word_tokenizer()))
    assert model.device == cpu
    assert model.fingerprint == plain.fingerprint
    found = surveyed(model, tmp_path / "elsewhere")
    assert numbers(found) == numbers(surveyed(plain, tmp_path / "here"))
    assert surveyed(model, tmp_path / "some", [0]).run.complete
    with pytest.raises(UsageError, match="stays as it was loaded"):
        load((hf, word_tokenizer()), dtype="bfloat16")


def test_quantised_weights_stay_as_they_are() -> None:
    hf = build("bert").to(torch.bfloat16)
    hf.is_quantized = True
    model = load((hf, word_tokenizer()))
    assert model.hf.dtype == torch.bfloat16
    for asked in ({"dtype": "float32"}, {"device": "cpu"}):
        with pytest.raises(UsageError, match="is quantised or spread"):
            load((hf, word_tokenizer()), **asked)
