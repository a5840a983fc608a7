"""Headscribe writes down, as code, what every attention head does, and measures how true it is.

    import headscribe as hs
    model = hs.load("bundled:stories")
    survey = hs.survey(model, ["The cat sat on the mat. The cat slept."])
    survey.top("previous_token", k=3)

Names are loaded on first use, so that `import headscribe` is quick and imports neither torch nor
transformers nor spaCy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.bench import bench
    from headscribe.api.describe import Descriptions, describe
    from headscribe.api.discover import Discovery, discover
    from headscribe.api.effects import Effects, effects
    from headscribe.api.explain import Explained, explain
    from headscribe.api.fit import Fit, fit
    from headscribe.api.heads import Heads, attend, heads
    from headscribe.api.hints import Hints, hints
    from headscribe.api.probe import Probed, probe
    from headscribe.api.record import record
    from headscribe.api.replace import Replacement, replace, talk
    from headscribe.api.survey import Survey, survey
    from headscribe.api.trying import Matrix, attention, predict
    from headscribe.api.views import View
    from headscribe.api.views import open_run as open
    from headscribe.core.errors import HeadscribeError, RunError, UsageError
    from headscribe.core.heads import HeadId
    from headscribe.explore.server import explore
    from headscribe.models.importing import import_attention
    from headscribe.models.loading import load
    from headscribe.models.recorded import Recording, write_recording
    from headscribe.patterns.registry import pattern
    from headscribe.report.page import report
    from headscribe.text.corpora import corpus

_HOME = {
    "predict": "headscribe.api.trying",
    "attend": "headscribe.api.heads",
    "attention": "headscribe.api.trying",
    "Matrix": "headscribe.api.trying",
    "Descriptions": "headscribe.api.describe",
    "Discovery": "headscribe.api.discover",
    "Effects": "headscribe.api.effects",
    "Explained": "headscribe.api.explain",
    "Fit": "headscribe.api.fit",
    "HeadId": "headscribe.core.heads",
    "Heads": "headscribe.api.heads",
    "Hints": "headscribe.api.hints",
    "HeadscribeError": "headscribe.core.errors",
    "Probed": "headscribe.api.probe",
    "Recording": "headscribe.models.recorded",
    "Replacement": "headscribe.api.replace",
    "RunError": "headscribe.core.errors",
    "Survey": "headscribe.api.survey",
    "UsageError": "headscribe.core.errors",
    "View": "headscribe.api.views",
    "bench": "headscribe.api.bench",
    "corpus": "headscribe.text.corpora",
    "describe": "headscribe.api.describe",
    "discover": "headscribe.api.discover",
    "effects": "headscribe.api.effects",
    "explain": "headscribe.api.explain",
    "explore": "headscribe.explore:",
    "fit": "headscribe.api.fit",
    "heads": "headscribe.api.heads",
    "hints": "headscribe.api.hints",
    "import_attention": "headscribe.models.importing",
    "load": "headscribe.models.loading",
    "open": "headscribe.api.views:open_run",
    "pattern": "headscribe.patterns.registry",
    "probe": "headscribe.api.probe",
    "record": "headscribe.api.record",
    "replace": "headscribe.api.replace",
    "report": "headscribe.report:",
    "survey": "headscribe.api.survey",
    "talk": "headscribe.api.replace",
    "write_recording": "headscribe.models.recorded",
}

__all__ = [
    "Descriptions",
    "Discovery",
    "Effects",
    "Explained",
    "Fit",
    "HeadId",
    "Heads",
    "HeadscribeError",
    "Hints",
    "Matrix",
    "Probed",
    "Recording",
    "Replacement",
    "RunError",
    "Survey",
    "UsageError",
    "View",
    "attend",
    "attention",
    "bench",
    "corpus",
    "describe",
    "discover",
    "effects",
    "explain",
    "explore",
    "fit",
    "heads",
    "hints",
    "import_attention",
    "load",
    "open",
    "pattern",
    "predict",
    "probe",
    "record",
    "replace",
    "report",
    "survey",
    "talk",
    "write_recording",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'headscribe' has no attribute {name!r}")
    # Importing the submodule `headscribe.api.survey` does not bind `headscribe.survey`.
    module, colon, called = _HOME[name].partition(":")
    home = import_module(module)
    # `headscribe.report` is the package itself, which can be called.
    value = home if colon and not called else getattr(home, called or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
