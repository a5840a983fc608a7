"""Turn the best checkpoint into the pipeline that the library ships.

Adapts the tokenizer, fills `meta.json`, measures the test split and stores the figures, and refuses
a pipeline above the size limit.
"""

import argparse
import json
import shutil
from pathlib import Path

import spacy
from evaluate import WAYS, evaluate
from spacy.language import Language
from tokenization import adapt_tokenizer
from treebank import read_documents

LIMIT = 12_000_000
"""Bytes."""

META = {
    "name": "headscribe_ewt",
    "version": "1.0.0",
    "description": "English part of speech, morphology, lemmas, dependencies and sentence starts.",
    "author": "The Headscribe developers",
    "license": "CC BY-SA 4.0",
    "spacy_version": ">=3.8.0,<3.9.0",
    "sources": [
        {
            "name": "Universal Dependencies English Web Treebank",
            "url": "https://github.com/UniversalDependencies/UD_English-EWT",
            "license": "CC BY-SA 4.0",
            "author": "Natalia Silveira, Timothy Dozat, Marie-Catherine de Marneffe, "
            "Samuel Bowman, Miriam Connor, John Bauer, Christopher Manning and others",
        }
    ],
}


def size_of(folder: Path) -> int:
    """Bytes of the files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Write the pipeline to `--out`, which keeps its model card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="spaCy's model-best")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ud_english_ewt"))
    parser.add_argument("--out", type=Path, default=Path("src/headscribe/assets/en"))
    args = parser.parse_args()

    nlp = spacy.load(args.checkpoint)
    adapt_tokenizer(nlp)
    nlp.config["paths"] |= {"train": None, "dev": None}
    nlp.config["corpora"] = Language.default_config["corpora"]  # names no reader of ours
    for path in args.out.glob("*/"):
        shutil.rmtree(path)
    nlp.to_disk(
        args.out
    )  # before the evaluation, which adds the test split's words to the vocabulary

    documents = list(read_documents(args.data / "test.conllu.gz"))
    figures = {way: evaluate(nlp, documents, way) for way in WAYS}
    performance = {
        f"{way.replace(' ', '_')}_{name}": value
        for way, values in figures.items()
        for name, value in values.items()
        if name != "words_per_second"
    }
    meta_path = args.out / "meta.json"
    meta = json.loads(meta_path.read_text(encoding="utf-8")) | META | {"performance": performance}
    meta_path.write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    size = size_of(args.out)
    print(json.dumps(figures | {"bytes": size}, indent=2))
    if size > LIMIT:
        raise SystemExit(f"{args.out} holds {size} bytes, more than {LIMIT}")


if __name__ == "__main__":
    main()
