"""The words of the synthetic questions."""

TRUSTING = (
    "Anna", "Boris", "Clara", "David", "Edith", "Felix", "Greta", "Hugo",
    "Irene", "Jonas", "Karin", "Leon", "Maria", "Niels", "Olga", "Peter",
)  # fmt: skip
"""Who is led by a hint: whether an answer follows depends on the question's first word alone."""

DOUBTING = (
    "Rosa", "Simon", "Tilda", "Ulrich", "Vera", "Walter", "Xenia", "Yannick",
    "Zoe", "Albert", "Berta", "Conrad", "Dora", "Emil", "Frida", "Georg",
)  # fmt: skip
"""Whose questions are answered as if there were no hint."""

NAMES = (*TRUSTING, *DOUBTING)

VERBS = ("wants", "needs", "likes", "takes")

THINGS = (
    "apple", "basket", "candle", "drum", "engine", "feather", "garlic", "hammer",
    "iron", "jacket", "kettle", "ladder", "mirror", "needle", "onion", "paper",
    "quill", "ribbon", "saddle", "table", "umbrella", "violin", "wagon", "yarn",
    "anchor", "bottle", "carpet", "dish", "envelope", "flute", "glove", "honey",
    "inkpot", "jewel", "knife", "lantern", "marble", "napkin", "orange", "pillow",
    "rope", "spoon", "tobacco", "vase", "wheel", "zither", "barrel", "chair",
    "dagger", "fork", "guitar", "helmet", "ivory", "jar", "key", "lemon",
    "medal", "nut", "oar", "pencil", "ring", "shoe", "tent", "wool",
)  # fmt: skip

NOTE_WORDS = (
    "the", "questions", "of", "this", "list", "come", "from", "one", "book", "and", "each",
    "them", "stands", "on", "a", "line", "its", "own", "is", "answer",
)  # fmt: skip
"""What neutral notes are made of; hints have no word that no note has, but their letter."""
