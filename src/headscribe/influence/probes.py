"""A battery of probes: texts made of the model's own vocabulary, each with a control.

A probe has pairs of short texts. In the first text some rows could read something (a token that
stood there before, an opening bracket, the value of a fact); in the control the same rows look at
the same distances, but what made it worth reading is gone. Of every head the attention on these
cells is measured in both, pair by pair, and the difference is what counts.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.progress import OnProgress, silent
from headscribe.influence.statistics import Mean
from headscribe.influence.ways import BATCH, Ways, ways_of
from headscribe.influence.writes import Effects
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.text.passages import Encoding

HALF = 40
"""Random tokens that are given twice."""

FAR = 40
"""Words between a fact and the question for it."""

ATTENTION, LOGITS = 0.05, 0.1
"""Differences below these are nothing, however sure."""

Ids = Int[np.ndarray, " T"]
Cells = Int[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Side:
    """One text of a pair: which attention is summed, as a mean over rows.

    Attributes:
        ids: the tokens after what the tokenizer puts before a text.
        cells: pairs of query and key within them.
        wanted: of an effect, for every row the token asked for; the attention is not read then.
    """

    ids: Ids
    cells: Cells
    wanted: Int[np.ndarray, "n 2"] | None = None


Pair = tuple[Side, Side]


class Supply:
    """Tokens of a model's vocabulary, drawn by chance."""

    def __init__(self, model: Model, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self._tokenizer = model.tokenizer
        self._special = set(model.tokenizer.all_special_ids)
        self._size = min(len(model.tokenizer), model.hf.config.get_text_config().vocab_size)

    def random(self, count: int) -> Ids:
        """Different tokens, none of them special."""
        drawn = self.chance.choice(self._size, 2 * count + len(self._special), replace=False)
        return np.array([one for one in drawn if one not in self._special][:count], np.int64)

    @cached_property
    def _words(self) -> Ids:
        tokens = self._tokenizer.convert_ids_to_tokens(list(range(self._size)))
        bare = [str(token).lstrip("Ġ▁") for token in tokens]
        good = [len(b) > 2 and b.isascii() and b.isalpha() and b.islower() for b in bare]
        begun = [g and t != b for g, t, b in zip(good, tokens, bare, strict=True)]
        return np.flatnonzero(begun if sum(begun) > 200 else good)

    def words(self, count: int) -> Ids:
        """Different short words of lower-case letters."""
        if len(self._words) < 2 * count:
            raise LookupError
        return self.chance.choice(self._words, count, replace=False)

    def token(self, text: str) -> int:
        """The single token that a text is.

        Raises:
            LookupError: it is several.
        """
        found = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(found) != 1 or found[0] == self._tokenizer.unk_token_id:
            raise LookupError(text)
        return int(found[0])

    def tokens(self, texts: str) -> list[int]:
        """Those of several words that are a single token each, after a blank."""
        return self.single([f" {text}" for text in texts.split()])

    def single(self, texts: Sequence[str]) -> list[int]:
        """Those of several texts that are a single token each."""
        found = []
        for text in texts:
            with suppress(LookupError):
                found.append(self.token(text))
        return found


def _cells(queries: Sequence[int] | Ids, keys: Sequence[int] | Ids) -> Cells:
    return np.stack([np.asarray(queries), np.asarray(keys)], 1).astype(np.int64)


def _twice(supply: Supply) -> tuple[Ids, Ids]:
    """Random tokens given twice, and followed by others."""
    first, second = supply.random(HALF), supply.random(HALF)
    return np.concatenate([first, first]), np.concatenate([first, second])


def _repeated(supply: Supply, shift: int) -> Pair:
    """From the second copy: `shift` after the earlier occurrence."""
    twice, once = _twice(supply)
    rows = np.arange(HALF, 2 * HALF)
    cells = _cells(rows, rows - HALF + shift)
    return Side(twice, cells), Side(once, cells)


def _copying(supply: Supply) -> Pair:
    """From the second copy: the effect on the token that follows, and on another of the text."""
    twice, _ = _twice(supply)
    rows = np.arange(HALF, 2 * HALF - 1)
    other = np.random.default_rng(int(twice[0])).integers(2, HALF - 1)
    wanted = (twice[(rows + shift) % HALF] for shift in (1, int(other)))
    pair = (Side(twice, _cells(rows, rows), _cells(rows, tokens)) for tokens in wanted)
    return next(pair), next(pair)


def _previous(supply: Supply) -> Pair:
    twice, _ = _twice(supply)
    # A chance of its own, so that the next text is the other probes' too.
    chance = np.random.default_rng(int(twice[0]))
    rows = np.arange(2, 2 * HALF)
    earlier = np.array([chance.integers(0, row - 1) for row in rows])
    return Side(twice, _cells(rows, rows - 1)), Side(twice, _cells(rows, earlier))


SERIES = (
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "January February March April May June July August September October November December",
    "one two three four five six seven eight nine ten",
    "first second third fourth fifth sixth seventh eighth ninth tenth",
    "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
    "monday tuesday wednesday thursday friday saturday sunday",
    "1 2 3 4 5 6 7 8 9",
)


def _successor(supply: Supply) -> Pair:
    """Members of a series in any order: the effect on what follows each, and on what does not."""
    known = [found for found in map(supply.tokens, SERIES) if len(found) >= 6]
    if not known:
        raise LookupError
    series = known[supply.chance.integers(len(known))]
    at = supply.chance.permutation(len(series) - 1)
    ids, following = np.array(series)[at], np.array(series)[at + 1]
    rows = np.arange(len(ids))
    shuffled = np.roll(following, int(supply.chance.integers(1, len(ids))))
    return (
        Side(ids, _cells(rows, rows), _cells(rows, following)),
        Side(ids, _cells(rows, rows), _cells(rows, shuffled)),
    )


NAMES = (
    "Mary John Tom James Dan Sarah Anna Mark Paul Peter Lucy Ben Sam Jack Emma Kate Alex Mike "
    "David Robert Lily Max Tim Sue"
)


def _names(supply: Supply) -> tuple[Ids, tuple[int, int, int, int], int]:
    """Two names, one of them again: ids; places of the other, of the first, of the repeated one
    and of the end; a third name."""
    known = supply.tokens(NAMES)
    if len(known) < 3:
        raise LookupError
    other, same, third = supply.chance.choice(known, 3, replace=False).tolist()
    swapped = bool(supply.chance.integers(2))
    one, two = (same, other) if swapped else (other, same)
    words = [
        supply.token(f" {w}")
        for w in ["and", "went", "to", "the", "store", "gave", "a", "ball", "to"]
    ]
    opening = supply.words(1)[0]
    ids = [opening, one, words[0], two, *words[1:5], same, *words[5:]]
    places = (3, 1, 8) if swapped else (1, 3, 8)
    return np.array(ids), (*places, len(ids) - 1), third


def _mover(supply: Supply) -> Pair:
    ids, (other, first, _, end), _ = _names(supply)
    return Side(ids, _cells([end], [other])), Side(ids, _cells([end], [first]))


def _inhibition(supply: Supply) -> Pair:
    ids, (_, _, again, end), third = _names(supply)
    control = ids.copy()
    control[again] = third
    return Side(ids, _cells([end], [again])), Side(control, _cells([end], [again]))


def _closing(supply: Supply) -> Pair:
    """Words in brackets or quotation marks: from the closing one to the one that opened it."""
    pairs = []
    for one, other in ((" (", ")"), (" [", "]"), ("(", ")"), (' "', '"'), ('"', '"')):
        with suppress(LookupError):
            pairs.append((supply.token(one), supply.token(other)))
    if not pairs:
        raise LookupError
    opening, closing = pairs[supply.chance.integers(len(pairs))]
    before, inside = supply.chance.integers(3, 8, 2).tolist()
    words = supply.words(before + inside + 1)
    ids = np.array([*words[:before], opening, *words[before:-1], closing])
    control = ids.copy()
    control[before] = words[-1]
    cells = _cells([len(ids) - 1], [before])
    return Side(ids, cells), Side(control, cells)


def _lines(supply: Supply) -> Pair:
    """Lines of words, some indented: from the last line break to those before it."""
    breaks = []
    for text in ("\n", "\n  ", "\n    "):
        found = supply._tokenizer(text, add_special_tokens=False)["input_ids"]
        if found and supply._tokenizer.decode(found) == text:
            breaks.append(found)
    if not breaks:
        raise LookupError
    chosen = breaks[supply.chance.integers(len(breaks))]
    ids: list[int] = []
    control: list[int] = []
    places: list[int] = []
    for line in range(5):
        words = supply.words(int(supply.chance.integers(3, 7))).tolist()
        last = line == 4
        places += [] if last else range(len(ids) + len(words), len(ids) + len(words) + len(chosen))
        ids += [*words, *chosen]
        control += [*words, *(chosen if last else supply.words(len(chosen)).tolist())]
    cells = _cells([len(ids) - 1] * len(places), places)
    return Side(np.array(ids), cells), Side(np.array(control), cells)


def _retrieval(supply: Supply) -> Pair:
    """Facts, then words, then the beginning of one fact again: its value, and those of others."""
    joint, stop = supply.token(" is"), supply.token(".")
    drawn = supply.words(8 + FAR)
    keys, values, filler = drawn[:4], drawn[4:8], drawn[8:]
    pairs = zip(keys, values, strict=True)
    facts = [one for key, value in pairs for one in (key, joint, value, stop)]
    at = range(2, 16, 4)
    asked = int(supply.chance.integers(4))
    ids = np.array([*facts, *filler, stop, keys[asked], joint], np.int64)
    other = at[(asked + int(supply.chance.integers(1, 4))) % 4]
    end = len(ids) - 1
    return Side(ids, _cells([end], [at[asked]])), Side(ids, _cells([end], [other]))


def _delimiters(supply: Supply) -> Pair:
    """Lines of code: from the names to the brackets, commas, signs and line breaks before them."""
    marks = supply.single(["(", ")", ",", ";", "=", "{", "}", ":", "\n"])
    if len(marks) < 4:
        raise LookupError
    words, filled = supply.words(32), supply.words(16)
    drawn = supply.chance.choice(marks, 16)
    ids, control = np.empty(48, np.int64), np.empty(48, np.int64)
    places = np.arange(48) % 3 == 2
    ids[places], control[places] = drawn, filled
    ids[~places] = control[~places] = words
    query = np.flatnonzero(~places & (np.arange(48) >= 12))
    cells = np.array([(q, k) for q in query for k in np.flatnonzero(places[:q])])
    return Side(ids, cells), Side(control, cells)


@dataclass(frozen=True)
class Probe:
    """A probe.

    Attributes:
        asks: what, in words; `control`: what is otherwise there.
        times: how many pairs for one of other probes: those with a single row a text take more.
        effect: whether it is about what heads write, not where they look.
    """

    name: str
    asks: str
    control: str
    make: Callable[[Supply], Pair]
    times: int = 1
    effect: bool = False


PROBES = (
    Probe("induction", "on random tokens given twice: attention on what followed the token before",
          "the second half is other tokens", lambda supply: _repeated(supply, 1)),
    Probe("duplicate", "on random tokens given twice: attention on the token's first occurrence",
          "the second half is other tokens", lambda supply: _repeated(supply, 0)),
    Probe("copying", "on random tokens given twice: direct effect on the token that follows",
          "on another token of the text", _copying, effect=True),
    Probe("previous", "on random tokens: attention on the previous token",
          "an earlier token by chance", _previous),
    Probe("successor", "after a day, month, number or letter: direct effect on the one that "
          "follows it", "ones that follow others of the series", _successor, effect=True),
    Probe("name mover", "at the end of 'A and B went ..., B gave a ball to': attention on A",
          "attention on the first B", _mover, 4),
    Probe("repeated name", "at the end of 'A and B went ..., B gave a ball to': attention on the "
          "second B", "a third name stands there", _inhibition, 4),
    Probe("closing mark", "on a closing bracket or quotation mark: attention on the opening one",
          "a word stands there", _closing, 4),
    Probe("line breaks", "on a line break, with and without indentation: attention on earlier "
          "ones", "words stand there", _lines, 2),
    Probe("retrieval", "where a fact is asked for, 40 words after it: attention on its value",
          "the value of another fact", _retrieval, 2),
    Probe("delimiters", "on names in code: attention on brackets, commas, signs and line breaks",
          "words stand there", _delimiters),
)  # fmt: skip
"""Every probe, in the order of the tables."""


@dataclass(frozen=True)
class Probed:
    """What the probes showed; `P` probes that the vocabulary allows, `N` heads.

    Attributes:
        probes: which.
        value, control: mean over pairs, `(P, N)`.
        difference: with its interval over pairs.
        flagged: heads that do more than the control, under false-discovery control over all.
        notes: probes that could not be made, and why.
    """

    probes: tuple[Probe, ...]
    value: Float[np.ndarray, "P N"]
    control: Float[np.ndarray, "P N"]
    difference: Mean
    flagged: Bool[np.ndarray, "P N"]
    notes: tuple[str, ...]


def chosen(names: Sequence[str] | None) -> tuple[Probe, ...]:
    """The probes of some names; None: all.

    Raises:
        UsageError: there is no such probe; suggests similar names.
    """
    known = {probe.name: probe for probe in PROBES}
    for name in names or ():
        if name not in known:
            raise unknown_name("probe", name, list(known))
    return PROBES if names is None else tuple(known[name] for name in names)


def probe(
    model: Model,
    probes: Sequence[Probe] = PROBES,
    *,
    pairs: int = 12,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Probed:
    """Ask every head every probe.

    Args:
        pairs: texts a probe, each with its control.
        seed: draws tokens; probes that ask of the same kind of text draw the same.

    Raises:
        UsageError: no probe can be made of the vocabulary.
    """
    made: dict[Probe, list[Pair]] = {}
    notes = []
    for one in probes:
        supply = Supply(model, seed)
        try:
            if one.effect:
                ways_of(model)
            made[one] = [one.make(supply) for _ in range(pairs * one.times)]
        except LookupError:
            notes.append(f"{one.name}: its words are no single tokens of this vocabulary")
        except UsageError as error:
            notes.append(f"{one.name}: {error}")
    if not made:
        raise UsageError(f"no probe can be made: {'; '.join(notes)}")
    sides = [side for of in made.values() for pair in of for side in pair]
    found = iter(_read(model, sides, on_progress))
    means, both = [], []
    for of in made.values():
        values = np.array([[next(found), next(found)] for _ in of])
        means.append(Mean.of(values[:, 0] - values[:, 1], np.ones_like(values[:, 0])))
        both.append(values.mean(0))
    parts = (
        np.stack([getattr(mean, name) for mean in means]) for name in ("mean", "error", "freedom")
    )
    mean, (value, control) = Mean(*parts), np.array(both).swapaxes(0, 1)
    least = np.array([LOGITS if one.effect else ATTENTION for one in made])[:, None]
    flagged = mean.flagged(least) & (mean.mean > 0)
    return Probed(tuple(made), value, control, mean, flagged, tuple(notes))


class _Cells:
    """An observer that adds up the attention on some cells of every text of a batch."""

    def __init__(self, sides: Sequence[Sequence[Side]], before: int, heads: int) -> None:
        self._sides, self._before = sides, before
        self._heads = heads
        self.found: list[list[list[np.ndarray]]] = [[[] for _ in of] for of in sides]

    def observe(self, call: AttentionCall) -> None:
        attention = call.probabilities()
        for b, of in enumerate(self._sides):
            for s, side in enumerate(of):
                query, key = torch.from_numpy(side.cells.T + self._before).to(attention.device)
                mass = attention[b, :, query, key].sum(-1).double().cpu().numpy()
                self.found[b][s].append(mass / len(np.unique(side.cells[:, 0])))


def _read(model: Model, sides: Sequence[Side], on_progress: OnProgress) -> Float[np.ndarray, "S N"]:
    """The mean of every side by head; a text that several sides share is read once."""
    before, after = _around(model)
    texts: dict[bytes, list[int]] = {}
    for number, side in enumerate(sides):
        texts.setdefault(side.ids.tobytes(), []).append(number)
    found = np.zeros((len(sides), model.layers * model.heads))
    numbers = list(texts.values())
    encodings = [_encoding(model, [*before, *sides[of[0]].ids.tolist(), *after]) for of in numbers]
    ways = ways_of(model) if any(side.wanted is not None for side in sides) else None
    done = 0
    for batch in batches(encodings, BATCH):
        given = [[sides[k] for k in numbers[index]] for index in batch]
        some = [encodings[index] for index in batch]
        cells = _Cells(given, len(before), model.heads)
        if ways is not None and any(side.wanted is not None for of in given for side in of):
            with torch.inference_mode(), ways.recorded() as seen:
                model.logits(some, observer=cells)
                written = _written(ways, Effects(ways, seen), given, some, len(before))
        else:
            model.run(some, cells)
            written = {}
        for b, index in enumerate(batch):
            for s, number in enumerate(numbers[index]):
                found[number] = written.get((b, s), np.concatenate(cells.found[b][s]))
        done += len(batch)
        on_progress("probing", done, len(encodings))
    return found


def _written(
    ways: Ways,
    effects: Effects,
    given: Sequence[Sequence[Side]],
    texts: Sequence[Encoding],
    before: int,
) -> dict[tuple[int, int], np.ndarray]:
    """Mean direct effect of every head on the tokens that sides ask for."""
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for b, of in enumerate(given):
        for s, side in enumerate(of):
            if side.wanted is None:
                continue
            row, token = torch.from_numpy(side.wanted.T).to(ways.model.device)
            for layer in range(ways.model.layers):
                features = effects.features(layer, b, len(texts[b]))[:, row + before]
                on = (features * effects.keys(layer, token)).sum(-1).mean(-1)
                found.setdefault((b, s), []).append(on.double().cpu().numpy())
    return {place: np.concatenate(parts) for place, parts in found.items()}


def _around(model: Model) -> tuple[list[int], list[int]]:
    """What stands before and after a text: as the tokenizer has it, else the token that opens."""
    (plain,) = model.encode(["a"])
    inner = np.flatnonzero(~plain.is_special)
    ids = np.asarray(plain.ids)
    before, after = ids[: inner[0]].tolist(), ids[inner[-1] + 1 :].tolist()
    opening = model.tokenizer.bos_token_id
    if not before and model.is_causal and opening is not None:
        before = [opening]
    return before, after


def _encoding(model: Model, ids: list[int]) -> Encoding:
    special = np.isin(ids, model.tokenizer.all_special_ids)
    tokens = tuple(map(str, model.tokenizer.convert_ids_to_tokens(ids)))
    return Encoding(tokens, np.array(ids), np.zeros((len(ids), 2), np.int64), special)
