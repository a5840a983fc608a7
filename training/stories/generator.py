"""Write short stories from a small grammar, so that a language model meets copying and repetition.

The stories are made of scenes. Each scene holds something that can be told from earlier text alone:
a list that somebody repeats, a phrase said again and again, a name that comes back after pronouns,
a quoted sentence handed from one character to another. They are plain, correct English in the
register of TinyStories, and every word of the grammar was written for this project.

    >>> import random
    >>> write_story(random.Random(0)) == write_story(random.Random(0))
    True
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


def split(text: str, separator: str = " ") -> list[str]:
    """The choices of a rule, written in one string."""
    return text.split(separator)


GIRLS = split(
    "Lily Mia Anna Sue Lucy Emma Nora Ella Ruby Clara "
    "Jane Molly Rosa Ivy Tina Maya Zoe Kate Amy Sara"
)
BOYS = split(
    "Tom Ben Max Sam Tim Jack Leo Finn Oscar Billy Noah Peter Adam Luke Hugo Sid Mark Joe Dan Theo"
)
ANIMALS = split(
    "dog cat bird rabbit frog bear fox duck mouse squirrel pony turtle owl hen goat hedgehog"
)
THINGS = split(
    "ball kite hat book spoon box drum rope bell cup lamp boat shell stone key basket blanket "
    "doll train bucket feather flag pencil whistle button ribbon"
)
FOODS = split(
    "apples bread cheese eggs milk honey carrots berries soup beans pears nuts corn rice plums "
    "cookies jam peas butter lemons"
)
COLOURS = split("red blue green yellow purple grey white black brown pink silver golden")
PLACES = split(
    "the park|the garden|the forest|the beach|the pond|the hill|the barn|the river|the market|"
    "the kitchen|the school|the old bridge|the playground|the meadow",
    "|",
)
FEELINGS = split("happy sad tired proud scared excited hungry curious sleepy brave")
SOUNDS = split("tap|splash|boom|knock|ding|hop|clap|whoosh|pop|honk|squeak|ring", "|")
NUMBERS = split("two three four five six seven eight nine ten")
VERBS = (  # base form and past form
    ("climb the tree", "climbed the tree"),
    ("cross the bridge", "crossed the bridge"),
    ("open the gate", "opened the gate"),
    ("build a tower", "built a tower"),
    ("sing the song", "sang the song"),
    ("catch the ball", "caught the ball"),
    ("ride the bike", "rode the bike"),
    ("find the treasure", "found the treasure"),
    ("paint the fence", "painted the fence"),
    ("jump over the log", "jumped over the log"),
)
SAYINGS = (
    "Please come and play with me",
    "We must be kind to each other",
    "I can do it if I try",
    "Never walk into the forest alone",
    "A good friend always shares",
    "The moon will show us the way",
    "Slow and steady is the way to go",
    "There is always room for one more",
    "Look under the big green leaf",
    "Do not wake the baby",
    "Home is where the soup is warm",
    "Count the stars before you sleep",
)


@dataclass(frozen=True)
class Character:
    """Somebody in a story, with the pronouns that refer to them."""

    name: str
    subject: str
    object: str
    possessive: str
    kind: str

    @property
    def introduction(self) -> str:
        """A noun phrase that brings the character into a story."""
        return f"a {self.kind} named {self.name}"


@dataclass(frozen=True)
class Cast:
    """The two characters of one story, and where it plays."""

    hero: Character
    friend: Character
    place: str


Scene = Callable[[random.Random, Cast], str]


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def listing(items: list[str]) -> str:
    """The items as an English list: `a`, `a and b`, or `a, b and c`."""
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} and {items[-1]}"


def character(rng: random.Random, taken: str = "") -> Character:
    """A child or an animal whose name is not `taken`."""
    girl = rng.random() < 0.5
    name = rng.choice([name for name in (GIRLS if girl else BOYS) if name != taken])
    child = "girl" if girl else "boy"
    kind = f"little {rng.choice(ANIMALS)}" if rng.random() < 0.4 else f"little {child}"
    if girl:
        return Character(name, "she", "her", "her", kind)
    return Character(name, "he", "him", "his", kind)


def opening(rng: random.Random, cast: Cast) -> str:
    """Introduce both characters and the place."""
    hero, friend = cast.hero, cast.friend
    start = rng.choice(("Once upon a time, there was", "One day, there was", "Long ago, there was"))
    return (
        f"{start} {hero.introduction}. {hero.name} lived near {cast.place} with "
        f"{friend.introduction}. {hero.name} and {friend.name} were best friends. "
        f"{capital(hero.subject)} liked to play at {cast.place} with {friend.name} every day."
    )


def shopping(rng: random.Random, cast: Cast) -> str:
    """A list that is asked for, learned by heart, and brought home."""
    hero = cast.hero
    foods = listing(rng.sample(FOODS, rng.randint(2, 5)))
    parent = rng.choice(("Mom", "Dad", "Grandma", "Grandpa"))
    return (
        f'"{hero.name}, please bring me {foods}," said {parent}. '
        f'{hero.name} walked to the market and said to {hero.object}self, "{capital(foods)}. '
        f'{capital(foods)}." At the market {hero.subject} asked for {foods}, and soon '
        f"{hero.possessive} basket was full of {foods}. "
        f'"{capital(foods)}!" said {parent}. "Thank you, {hero.name}."'
    )


def refrain(rng: random.Random, cast: Cast) -> str:
    """A rhythm of sounds that returns word for word."""
    sounds = rng.sample(SOUNDS, 2)
    rhythm = ", ".join([sounds[0]] * rng.randint(2, 3) + [sounds[1]])
    thing = rng.choice(THINGS)
    return (
        f'"{capital(rhythm)}!" went the {thing}. {cast.hero.name} laughed. '
        f'"{capital(rhythm)}!" went the {thing} again. {cast.friend.name} laughed too. '
        f'All day long the {thing} went "{rhythm}", and {cast.hero.name} and '
        f'{cast.friend.name} sang "{rhythm}" all the way home.'
    )


def message(rng: random.Random, cast: Cast) -> str:
    """A sentence that is carried from one character to the next without a change."""
    hero, friend = cast.hero, cast.friend
    saying = rng.choice(SAYINGS)
    animals = rng.sample(ANIMALS, rng.randint(2, 3))
    lines = [f'An old {animals[0]} said to {hero.name}, "{saying}."']
    for animal in animals[1:]:
        lines.append(f'{hero.name} met the {animal} and said, "{saying}."')
    lines.append(f'Then {hero.name} told {friend.name} what the {animals[0]} had said: "{saying}."')
    lines.append(f'"{saying}," said {friend.name} slowly. "I will not forget it."')
    return " ".join(lines)


def attempts(rng: random.Random, cast: Cast) -> str:
    """Somebody tries until it works, in the same words each time."""
    hero = cast.hero
    base, past = rng.choice(VERBS)
    feelings = rng.sample(FEELINGS, 2)
    failures = rng.randint(1, 3)
    failed = (
        f"{hero.name} tried to {base}, but {hero.subject} could not {base}. "
        f"{capital(hero.subject)} was {feelings[0]}."
    )
    return (
        " ".join([failed] * failures)
        + f' "Try again, {hero.name}," said {cast.friend.name}. '
        + f"So {hero.name} tried to {base} one more time. This time {hero.subject} {past}! "
        + f"{hero.name} was {feelings[1]}."
    )


def colours(rng: random.Random, cast: Cast) -> str:
    """Things in a row, each with its colour, listed, lost and found in the same order."""
    thing = rng.choice(THINGS)
    row = listing([f"a {colour} {thing}" for colour in rng.sample(COLOURS, rng.randint(2, 4))])
    hero, friend = cast.hero, cast.friend
    return (
        f"In {hero.possessive} room {hero.name} had {row}. {capital(hero.subject)} showed "
        f"{friend.name} {row}. One morning they were gone! "
        f'"Have you seen {row}?" asked {hero.name}. "Yes," said {friend.name}, '
        f'"I saw {row} at {cast.place}." They ran to {cast.place}, and there lay {row}.'
    )


def counting(rng: random.Random, cast: Cast) -> str:
    """Counting aloud, twice."""
    upper = rng.randint(3, len(NUMBERS))
    counted = ", ".join(["one", *NUMBERS[: upper - 1]])
    animal = rng.choice(ANIMALS)
    return (
        f'{cast.hero.name} counted every {animal} at {cast.place}: "{capital(counted)}." '
        f'{cast.friend.name} counted too: "{capital(counted)}." '
        f'"We both found {NUMBERS[upper - 2]}!" said {cast.hero.name}.'
    )


def question(rng: random.Random, cast: Cast) -> str:
    """A question, asked of several animals, with an answer that takes up its words."""
    hero = cast.hero
    thing, colour, place = rng.choice(THINGS), rng.choice(COLOURS), rng.choice(PLACES)
    animals = rng.sample(ANIMALS, rng.randint(2, 3))
    asked = f'"Where is my {colour} {thing}?" asked {hero.name}.'
    lines = [f"{hero.name} could not find {hero.possessive} {colour} {thing}."]
    for animal in animals[:-1]:
        lines.append(f'{asked} "I do not know where your {colour} {thing} is," said the {animal}.')
    lines.append(f'{asked} "Your {colour} {thing} is at {place}," said the {animals[-1]}.')
    lines.append(
        f"{hero.name} went to {place}. There {hero.subject} found {hero.possessive} "
        f"{colour} {thing}, and {hero.subject} hugged {hero.possessive} {thing}."
    )
    return " ".join(lines)


def gift(rng: random.Random, cast: Cast) -> str:
    """A gift between the two characters, with pronouns for both."""
    hero, friend = cast.hero, cast.friend
    thing, colour = rng.choice(THINGS), rng.choice(COLOURS)
    return (
        f'{friend.name} gave {hero.name} a {colour} {thing}. "Thank you, {friend.name}," said '
        f'{hero.name}. "I love this {colour} {thing}." {capital(hero.subject)} took the {thing} '
        f"in {hero.possessive} hands and showed it to everyone. When {friend.name} saw "
        f"{hero.object} with the {colour} {thing}, {friend.subject} smiled."
    )


def closing(rng: random.Random, cast: Cast) -> str:
    """End the story with both names."""
    hero, friend = cast.hero, cast.friend
    return rng.choice(
        (
            f"In the evening {hero.name} and {friend.name} went home. {hero.name} said good night "
            f"to {friend.name}, and {friend.name} said good night to {hero.name}.",
            f"From that day on, {hero.name} and {friend.name} went to {cast.place} together.",
            f'"What a day!" said {hero.name}. "What a day!" said {friend.name}. And they slept.',
        )
    )


SCENES: tuple[Scene, ...] = (
    shopping, refrain, message, attempts, colours, counting, question, gift
)  # fmt: skip


def write_story(rng: random.Random) -> str:
    """One story: an opening, one to four different scenes, a closing; paragraphs by blank lines."""
    hero = character(rng)
    cast = Cast(hero, character(rng, taken=hero.name), rng.choice(PLACES))
    scenes = [opening, *rng.sample(SCENES, rng.randint(1, 4)), closing]
    return "\n\n".join(scene(rng, cast) for scene in scenes)


def write_stories(seed: int, count: int) -> Iterator[str]:
    """`count` stories that depend on the seed alone."""
    rng = random.Random(seed)
    for _ in range(count):
        yield write_story(rng)


def main() -> None:
    """Print stories, separated by a line of dashes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    arguments = parser.parse_args()
    print("\n---\n".join(write_stories(arguments.seed, arguments.count)))


if __name__ == "__main__":
    main()
