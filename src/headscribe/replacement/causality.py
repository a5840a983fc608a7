"""Whether a program looks ahead: its rows on the beginning of a text against those on the whole."""

from hashlib import blake2b

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.rows import RowPolicy
from headscribe.core.visibility import Visibility
from headscribe.replacement.plan import Program, Zero
from headscribe.replacement.rows import DenseRows, dense_rows
from headscribe.text.passages import Passage
from headscribe.text.prefixes import changed_row, prefix


def cut_of(passage: Passage) -> int:
    """Where a text is cut to look for what follows: within `1..T - 1`, by a hash of the text.

    The hash takes in the text's name and group, which no program is shown, so that a program cannot
    keep to the rules just where it will be looked at.
    """
    content = "\0".join((passage.text_id, passage.group, passage.text, *passage.tokens))
    digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % (len(passage) - 1)


def causal_rows(
    program: Program, policy: RowPolicy, head: HeadId, passage: Passage, visibility: Visibility
) -> DenseRows:
    """What `dense_rows` gives, of which no row of a causal layer changes with what follows a cut.

    The beginning is asked for before the whole, so that a program with a memory (a function in this
    process may have one) has not seen what follows.

    Raises:
        UsageError: what `dense_rows` raises; or a row before the cut changes with what follows it;
            head and text are named.
    """
    if not visibility.causal or isinstance(program, Zero) or len(passage) < 2:
        return dense_rows(program, policy, head, passage, visibility)
    cut = cut_of(passage)
    part = dense_rows(program, policy, head, prefix(passage, cut), visibility)
    made = dense_rows(program, policy, head, passage, visibility)
    changed = changed_row(made.weight.numpy(), part.weight.numpy())
    if changed is not None:
        raise UsageError(
            f"head {head}, text {passage.text_id}: {program.name} sees the future: row "
            f"{changed} changes with what follows token {cut - 1}"
        )
    return made
