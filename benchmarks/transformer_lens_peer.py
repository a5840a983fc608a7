"""What TransformerLens takes for its part of the work in `peers.py`: one JSON document.

Runs in an environment of its own, which has transformer-lens and not Headscribe. `detect_head`
takes causal models and lower triangular patterns only, so a GPT-2 shape with random weights, the
same size as BERT-base, reads the sentences: once with `run_with_cache`, then a `detect_head` a
pattern on that cache. It gives one number a head and text (no intervals, no baselines).
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version
from statistics import median

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformer_lens.head_detector import detect_head
from transformer_lens.model_bridge import TransformerBridge


def model_of(sentences: list[str]) -> TransformerBridge:
    """A GPT-2 shape with random weights whose tokens are the words of the sentences."""
    words = sorted({word for sentence in sentences for word in sentence.split()})
    vocabulary = {word: i for i, word in enumerate(["<s>", "<unk>", *words])}
    made = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="<s>", pad_token="<s>", unk_token="<unk>"
    )
    with tempfile.TemporaryDirectory() as folder:  # TransformerLens opens it a second time
        tokenizer.save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return _bridge(tokenizer, len(vocabulary))


def _bridge(tokenizer: transformers.PreTrainedTokenizerFast, size: int) -> TransformerBridge:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=size, attn_implementation="eager")
    hf = transformers.GPT2LMHeadModel(config).eval()
    return TransformerBridge.boot_transformers("gpt2", hf_model=hf, tokenizer=tokenizer)


def pattern_of(length: int, distance: int) -> torch.Tensor:
    """Every token attends to the one so far before it, the first ones to the first."""
    found = torch.zeros(length, length)
    index = torch.arange(length)
    found[index, (index - distance).clamp_min(0)] = 1.0
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patterns", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    sentences: list[str] = json.load(sys.stdin)
    model = model_of(sentences)
    forward, detecting, processor, tokens = [], [], [], 0
    with torch.inference_mode():
        for number, sentence in enumerate([sentences[0], *sentences]):
            started, before = time.perf_counter(), time.process_time()
            _, cache = model.run_with_cache(sentence, remove_batch_dim=True)
            read = time.perf_counter()
            tokens = cache["pattern", 0].shape[-1]
            for distance in range(options.patterns):
                detect_head(
                    model, sentence, pattern_of(tokens, distance), cache=cache, error_measure="abs"
                )
            if number:  # the first warms up
                forward.append(read - started)
                detecting.append(time.perf_counter() - read)
                processor.append(time.process_time() - before)
    print(
        json.dumps(
            {
                "sentences": len(sentences),
                "tokens": tokens,
                "run_with_cache_s": median(forward),
                "detect_head_s": median(detecting) / options.patterns,
                "sentence_s": median(a + b for a, b in zip(forward, detecting, strict=True)),
                "sentence_cpu_s": median(processor),
                "transformer_lens": version("transformer-lens"),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
