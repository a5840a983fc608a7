"""The page: the report's shell and style, a script of its own, and what runs say of the heads."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from headscribe.explore.answers import Explorer
from headscribe.models.model import Model
from headscribe.report.document import document
from headscribe.report.labels import token_label
from headscribe.report.packing import clean
from headscribe.report.page import asset, colors, policy, shell

_SHOWN = ("name", "fingerprint", "runs", "missing", "layers", "heads", "causal", "explanation")
"""What the page takes of the report's document: cards, and where they come from."""


def page(explorer: Explorer, saved: Mapping[str, Any] | None = None, at: str = "") -> str:
    """The page as markup.

    Args:
        explorer: the model and its runs.
        saved: answers by question, for a page that is kept as a file and asks nothing; None: a page
            that asks the server it came from.
        at: the address of the state that a saved page opens with.
    """
    source = explorer.source
    content = document(explorer.runs)
    (subject,) = content["subjects"] or [{"name": source.name, "runs": [], "missing": []}]
    subject = {name: subject[name] for name in _SHOWN if name in subject}
    subject |= {"layers": source.layers, "heads": source.heads}
    recorded = explorer.texts.recorded.items()
    model = source if isinstance(source, Model) else None
    content["subjects"] = [subject]
    content["explorer"] = {
        "version": version("headscribe"),
        "kind": "recording" if model is None else model.kind,
        "mask": None if model is None else model.tokenizer.mask_token,
        "texts": [[one, token_label(passage.text, 60)] for one, passage in recorded],
        "formulas": [str(head) for head in explorer.formulas],
        "examples": model is None
        or any("examples" in run.manifest.get("tables", []) for run in explorer.runs),
        "saved": saved,
        "at": at,
    }  # fmt: skip
    style = f"{colors()}\n{asset('report.css')}\n{asset('explore.css')}"
    script = asset("explore.js")
    allowed = policy(style, script)
    return shell(
        f"The heads of {source.name} on your text · Headscribe", clean(content), style, script,
        allowed if saved is not None else f"{allowed}; connect-src 'self'",
    )  # fmt: skip
