"""Annotated story sentences, generated: what the web treebank lacks and stories are made of.

Two constructions that a parser trained on web text gets wrong: plain sentences whose verb looks
like a plural noun ("The dog yawns."), and speech with the speaker behind the verb ("asked the
bear"). Each line of `templates.txt` gives, for every word, its slot, its head (from 1) and its
relation.
"""

import random
from pathlib import Path

from treebank import Sentence, Word

NOUNS = (
    "dog cat fox bear bee bird mouse frog owl rabbit goose duck hen goat sheep cow horse pig lion "
    "tiger wolf squirrel turtle snail spider ant fly butterfly fish whale dragon giant king queen "
    "princess prince witch farmer baker teacher doctor boy girl man woman baby child mother father "
    "sister brother grandmother neighbor captain robot train truck car boat ball tree flower box "
    "door house garden river hill bridge"
)
NAMES = "Tom Lily Ben Mia Anna Max Sara Tim Sam Lucy Jack Emma Nora Leo Zoë José Ida Oskar Ruth Eli"
ADJECTIVES = (
    "big small little old young red blue green brown black white yellow lazy quick happy sad angry "
    "tired hungry kind brave quiet loud funny soft warm cold tall gray wise silly clever gentle"
)
INTRANSITIVE = (
    "jump/jumps/jumped run/runs/ran yawn/yawns/yawned sleep/sleeps/slept swim/swims/swam "
    "fly/flies/flew hop/hops/hopped walk/walks/walked smile/smiles/smiled laugh/laughs/laughed "
    "cry/cries/cried sing/sings/sang dance/dances/danced fall/falls/fell sit/sits/sat "
    "stand/stands/stood bark/barks/barked roll/rolls/rolled climb/climbs/climbed wait/waits/waited "
    "shine/shines/shone grow/grows/grew sneeze/sneezes/sneezed hide/hides/hid play/plays/played "
    "skip/skips/skipped rest/rests/rested crawl/crawls/crawled stop/stops/stopped look/looks/looked"
)
TRANSITIVE = (
    "see/sees/saw find/finds/found chase/chases/chased hug/hugs/hugged kiss/kisses/kissed "
    "like/likes/liked love/loves/loved push/pushes/pushed pull/pulls/pulled carry/carries/carried "
    "help/helps/helped catch/catches/caught watch/watches/watched follow/follows/followed "
    "paint/paints/painted hold/holds/held lift/lifts/lifted hear/hears/heard thank/thanks/thanked "
    "kick/kicks/kicked bite/bites/bit feed/feeds/fed wash/washes/washed open/opens/opened"
)
SPEECH = (
    "say/says/said ask/asks/asked cry/cries/cried whisper/whispers/whispered shout/shouts/shouted "
    "reply/replies/replied answer/answers/answered call/calls/called laugh/laughs/laughed"
)
PREPOSITIONS = "over under behind near beside into across around on in toward with"

FINITE = "Mood=Ind|Number=Sing|Person=3|Tense={}|VerbForm=Fin"
PERSONAL = "Case=Nom|{}Number=Sing|Person={}|PronType=Prs"
FIXED = {
    "the": ("the", "DET", "Definite=Def|PronType=Art"),
    "and": ("and", "CCONJ", ""),
    "I": ("I", "PRON", PERSONAL.format("", 1)),
    "he": ("he", "PRON", PERSONAL.format("Gender=Masc|", 3)),
    "she": ("she", "PRON", PERSONAL.format("Gender=Fem|", 3)),
    "you": ("you", "PRON", "Case=Nom|Person=2|PronType=Prs"),
    "am": ("be", "AUX", "Mood=Ind|Number=Sing|Person=1|Tense=Pres|VerbForm=Fin"),
    "is": ("be", "AUX", FINITE.format("Pres")),
    "was": ("be", "AUX", FINITE.format("Past")),
    "can": ("can", "AUX", "VerbForm=Fin"),
    "where": ("where", "ADV", "PronType=Int"),
    "who": ("who", "PRON", "PronType=Int"),
    "yes": ("yes", "INTJ", "Polarity=Pos"),
    "hello": ("hello", "INTJ", ""),
}
TEMPLATES = Path(__file__).with_name("templates.txt").read_text(encoding="utf-8").splitlines()
SLOTS = {"N": NOUNS, "Name": NAMES, "A": ADJECTIVES, "P": PREPOSITIONS}
TAGS = {
    "N": ("NOUN", "Number=Sing"),
    "Name": ("PROPN", "Number=Sing"),
    "A": ("ADJ", "Degree=Pos"),
    "P": ("ADP", ""),
}
VERBS = {"V": INTRANSITIVE, "T": TRANSITIVE, "S": SPEECH, "B": INTRANSITIVE, "C": INTRANSITIVE}
SECOND = "Mood=Ind|Person=2|Tense={}|VerbForm=Fin"


def choose(slot: str, past: bool, rng: random.Random) -> tuple[str, str, str, str]:
    """Form, lemma, part of speech and features for a slot."""
    if slot in FIXED:
        return slot, *FIXED[slot]
    if slot in SLOTS:
        form = rng.choice(SLOTS[slot].split())
        return form, form, *TAGS[slot]
    if slot not in VERBS:
        return slot, slot, "PUNCT", ""
    lemma, present, preterite = rng.choice(VERBS[slot].split()).split("/")
    tense = "Past" if past else "Pres"
    if slot == "B":
        return lemma, lemma, "VERB", "VerbForm=Inf"
    if slot == "C":
        return preterite if past else lemma, lemma, "VERB", SECOND.format(tense)
    return preterite if past else present, lemma, "VERB", FINITE.format(tense)


def generate_sentence(rng: random.Random) -> Sentence:
    """A sentence of a random template, capitalised, its quotation marks spaced as in print."""
    cells = [item.rsplit(":", 2) for item in rng.choice(TEMPLATES).split()]
    past = rng.random() < 0.6
    words: list[Word] = []
    open_quote, capital = False, True
    for index, (slot, head, deprel) in enumerate(cells):
        form, lemma, upos, feats = choose(slot, past, rng)
        following = cells[index + 1][0] if index + 1 < len(cells) else ""
        if slot == '"':
            open_quote = not open_quote
        space = following not in {".", ",", "?", "!"} and not (following == '"' and open_quote)
        if slot == '"':
            space = not open_quote
        elif capital:
            form, capital = form[0].upper() + form[1:], False
        words.append(Word(form, lemma, upos, feats, int(head) - 1, deprel, space))
        if deprel == "ROOT":
            words[-1] = Word(form, lemma, upos, feats, index, deprel, space)
    return Sentence(words=words)


def generate_document(length: int, rng: random.Random) -> list[Sentence]:
    """Sentences without a plot."""
    return [generate_sentence(rng) for _ in range(length)]
