"""Tiny models that read questions: words of a fixed vocabulary, random weights."""

from copy import deepcopy

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from headscribe.hinting.prompts import Prompter
from headscribe.hinting.questions import Question, Questions, questions_of
from headscribe.models.loading import load
from headscribe.models.model import Model

NOUNS = [f"w{number}" for number in range(24)]
_WORDS = (
    "Question : A B C D . , Hint the answer is Note Answer Think step by Then end with one line "
    "and letter of your choice Reasoning questions this list come from book each them stands on a "
    "its own <user> <model>"
)
VOCABULARY = ["[PAD]", "[BOS]", "[EOS]", "[UNK]", *dict.fromkeys(_WORDS.split()), *NOUNS]

CHAT = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<model> {% endif %}"
)


TURNS = (
    "{% if messages[0]['role'] != 'system' %}<|turn|>system w20 w21<|end|>{% endif %}"
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
"""Turns between control tokens and nothing else, as chat models have them."""


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Words, and the control tokens of `TURNS`, of which one begins texts too."""
    words = dict.fromkeys([*VOCABULARY, "user", "system", "assistant"])
    inner = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", eos_token="<|end|>",
        bos_token="<|turn|>", model_max_length=160,
    )  # fmt: skip
    made.chat_template = TURNS
    return made


def tokenizer(chat: bool = False, closing: bool = False) -> PreTrainedTokenizerFast:
    """Words and punctuation; with a chat template, or with a token that closes a text."""
    inner = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
        if not chat
        else [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(".", "isolated"),
              pre_tokenizers.Split(":", "isolated")]
    )  # fmt: skip
    inner.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]" if closing else "[BOS] $A",
        special_tokens=[("[BOS]", 1), ("[EOS]", 2)],
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]",
        unk_token="[UNK]", model_max_length=160,
    )  # fmt: skip
    if chat:
        made.chat_template = CHAT
    return made


_SIZE = {
    "vocab_size": len(VOCABULARY), "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 160,
    "initializer_range": 0.3,
}  # fmt: skip
_CONFIGURATIONS = {
    "llama": ("LlamaForCausalLM", hf.LlamaConfig(**_SIZE)),
    "qwen3": ("Qwen3ForCausalLM", hf.Qwen3Config(**_SIZE)),
    "qwen3_windows": (
        "Qwen3ForCausalLM",
        hf.Qwen3Config(
            **_SIZE, use_sliding_window=True, sliding_window=6, max_window_layers=0,
            layer_types=["sliding_attention", "full_attention"],
        ),
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        hf.GPT2Config(
            vocab_size=len(VOCABULARY), n_embd=32, n_layer=2, n_head=4, n_positions=160,
            bos_token_id=1, eos_token_id=2, initializer_range=0.3,
        ),
    ),
}  # fmt: skip


def model(
    family: str = "llama", chat: bool = False, seed: int = 0,
    read: PreTrainedTokenizerFast | None = None,
) -> Model:  # fmt: skip
    """A random model of a family with its tokenizer, or another."""
    torch.manual_seed(seed)
    kind, config = _CONFIGURATIONS[family]
    config, read = deepcopy(config), read or tokenizer(chat)
    config.vocab_size = max(config.vocab_size, len(read))
    return load((getattr(hf, kind)(config), read))


def rows(count: int, choices: int = 4, seed: int = 0) -> list[dict[str, object]]:
    """Questions of random words."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        words = rng.choice(NOUNS, size=int(rng.integers(3, 9)))
        options = rng.choice(NOUNS, size=choices, replace=False)
        answer = int(rng.integers(choices))
        made.append({"question": " ".join(words), "choices": list(options), "answer": answer})
    return made


def questions(count: int, choices: int = 4, seed: int = 0) -> Questions:
    """The same, read."""
    return questions_of(rows(count, choices, seed))


def prompter(read: PreTrainedTokenizerFast, **settings: object) -> Prompter:
    """A prompter with the usual settings."""
    from headscribe.hinting.conditions import DEFAULT

    usual = {"template": DEFAULT, "position": "before", "answer": "likelihood", "seed": 0,
             "room": None}  # fmt: skip
    return Prompter(read, **usual | settings)


def question(**fields: object) -> Question:
    """One question that can be asked."""
    row = {"question": "w1 w2 w3", "choices": ["w4", "w5", "w6", "w7"], "answer": 1} | fields
    return questions_of([row]).rows[0]
