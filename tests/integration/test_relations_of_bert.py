"""The published syntactic heads of recorded BERT, chosen on one half and reported on the other."""

from pathlib import Path

from headscribe.api.survey import survey
from headscribe.models.recorded import Recording
from headscribe.results.relations import relation_accuracy


def test_relation_heads_of_recorded_bert(shared_data: Path, tmp_path: Path) -> None:
    recording = Recording(shared_data / "bert_sst2_attention")
    found = relation_accuracy(survey(recording, patterns=["same_token"], out=tmp_path / "r").run)
    by = {(line.relation, line.direction, line.half): line for line in found}
    for half in (0, 1):
        determiner, adjective = by["det", "to_head", half], by["amod", "to_head", half]
        assert determiner.head == "7.10"
        assert determiner.gain >= 0.25
        assert by["obj", "to_head", half].gain >= 0.15
        assert by["case", "to_head", half].gain >= 0.20
        assert adjective.head == "3.9"
    assert all(line.few == (line.instances < 30) for line in found)
    assert any(line.few for line in found)
