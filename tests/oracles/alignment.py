"""Alignment by sets of characters: slow and obvious."""

from headscribe.text.passages import Encoding, Words


def touched_words(text: str, encoding: Encoding, words: Words) -> list[list[int]]:
    """For every token the words that share a character with it, most shared characters first."""
    result: list[list[int]] = []
    for token in range(len(encoding)):
        begin, end = (int(place) for place in encoding.spans[token])
        written = encoding.tokens[token]
        mark = all(character in "▁Ġ " for character in written)
        mark_in_text = "▁" in text[begin:end] or "Ġ" in text[begin:end]
        if encoding.is_special[token] or (mark and not mark_in_text):
            result.append([])
            continue
        characters = list(range(begin, end))
        while characters and text[characters[0]].isspace():
            characters.pop(0)
        while characters and text[characters[-1]].isspace():
            characters.pop()
        shared: list[tuple[int, int]] = []
        for word in range(len(words)):
            first, last = (int(place) for place in words.spans[word])
            if begin == end:
                if first < begin < last:
                    shared.append((0, word))
                continue
            common = len(set(characters) & set(range(first, last)))
            if common:
                shared.append((-common, word))
        result.append([word for _, word in sorted(shared)])
    return result
