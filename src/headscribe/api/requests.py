"""What every command is asked: one dataclass each, whose fields are its options.

See `headscribe.results.requests` for what follows from a field. A new option is one line here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from headscribe.core.progress import OnProgress
from headscribe.results.requests import Option

if TYPE_CHECKING:
    from headscribe.api.fit import Fit
    from headscribe.core.heads import HeadId
    from headscribe.discovery.clients import Client
    from headscribe.hinting.conditions import Template
    from headscribe.hinting.questions import QuestionsLike
    from headscribe.models.loading import Source
    from headscribe.models.model import Model as LoadedModel
    from headscribe.models.recorded import Recording
    from headscribe.patterns.contract import Pattern
    from headscribe.replacement.plan import Program
    from headscribe.text.annotators import Annotator as AnnotatorObject
    from headscribe.text.corpora import Corpus, DatasetLike

Strings: TypeAlias = list[str] | None
Paths: TypeAlias = list[Path] | None

Fixed = partial(Option, resume="fingerprint")
"""An option whose value is the same thing on resuming: its fingerprint is."""
Named = partial(Fixed, typed=str | None)
"""One that names something, by a string on the command line."""
Files = partial(Fixed, typed=Paths, metavar="PATH", content=True)
"""One that names files by paths, which may be given again."""
Spoken = partial(Fixed, typed=str, metavar="SPEC")
"""One that says who answers prompts."""
Chosen = partial(Fixed, typed=str, metavar="HEADS")
"""One that chooses heads."""
Free = partial(Option, resume="free")
"""An option that no number depends on."""

# Types and options that are said in several places.

Texts: TypeAlias = Annotated[
    "Corpus | str | Path | Sequence[str] | DatasetLike | None",
    Files(
        "Texts: .txt, .jsonl, .json, .csv, .tsv, .parquet or .conllu, also .gz, or - for plain "
        "text that is piped in; may be given again. In Python "
        "also what headscribe.corpus takes.",
        name="--text",
    ),
]
Unseen: TypeAlias = Annotated[
    "Corpus | Recording | str | Path | Sequence[str] | DatasetLike | None",
    Files(
        "Texts to score on, which nothing is fitted to, or with --recorded the folder of another "
        "recording. Default: parts of --text (fit: five folds in turn; otherwise a quarter)."
    ),
]
Model: TypeAlias = Annotated[
    "LoadedModel | Source",
    Fixed(
        "A hub id, a folder or bundled:stories. In Python also what headscribe.load gives, or "
        "(model, tokenizer).",
        typed=str,
        metavar="MODEL",
        argument=True,
    ),
]
Library: TypeAlias = Annotated[
    str | Path | None,
    Named("The program library. Default: one in your own data folder.", metavar="FILE"),
]
Trust: TypeAlias = Annotated[bool, Free("Run Python that you wrote yourself without the sandbox.")]
Terms: TypeAlias = Annotated[int, Option("Terms a formula.", least=1)]
Stack: TypeAlias = Annotated[
    str | None, Fixed("Of an encoder-decoder model: encoder (default) or decoder.")
]


# Options that several commands share: a command has those of the classes it is made of, and says
# only its own.


@dataclass(frozen=True, kw_only=True)
class Working:
    """A model at work."""

    device: Annotated[
        str | None, Free("cpu, cuda, mps; auto: spread over all. Default: the best.")
    ] = None
    dtype: Annotated[
        str | None, Fixed("float32, bfloat16, ... Default: as stored; on a CPU not half.")
    ] = None
    on_progress: Annotated[
        OnProgress | None,
        Free(
            "Called with the stage, the steps done and the steps in all. Default: a bar on a "
            "terminal and in a notebook, elsewhere a line on stderr now and then.",
            python_only=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Kept(Working):
    """A run that is kept."""

    out: Annotated[
        str | Path | None,
        Free(
            "Directory of the run. Default: a new one under runs/.", typed=str | None, metavar="RUN"
        ),
    ] = None
    resume: Annotated[bool, Free("Go on with the unfinished run in --out.")] = False


@dataclass(frozen=True, kw_only=True)
class Reading(Working):
    """Texts that are read."""

    limit: Annotated[int | None, Fixed("At most so many texts.", least=1)] = None
    column: Annotated[
        str | None,
        Fixed(
            "Of tables the column with the text. Default: text, or a guess that is said.",
            metavar="NAME",
        ),
    ] = None
    max_tokens: Annotated[int | None, Fixed("Cut every text to so many tokens.", least=1)] = None
    annotator: Annotated[
        "str | AnnotatorObject | None",
        Named(
            "plain, conllu, bundled:en or a spaCy pipeline. Default: gold words or bundled:en.",
            metavar="NAME",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Study(Reading, Kept):
    """A kept run over texts."""

    seed: Annotated[int, Option("Decides splits and folds.")] = 0


@dataclass(frozen=True)
class HeadStudy(Study):
    """A study of the heads of a model, or of a recording."""

    model: Annotated[
        "LoadedModel | Recording | Source | None",
        Named(
            "A hub id, a folder, a .gguf file, bundled:stories, bundled:smollm2 or bundled:minilm; "
            "none with --recorded. In Python also what headscribe.load gives, or (model, "
            "tokenizer).",
            metavar="MODEL",
            argument=True,
        ),
    ] = None
    texts: Texts = None
    _: KW_ONLY
    recorded: Annotated[
        str | Path | None,
        Named("Recorded attention, in place of MODEL and --text.", metavar="FOLDER"),
    ] = None


Own = Annotated[
    "str | Sequence[str] | None",
    Fixed(
        "A relation of your own, beside the others; may be given again.",
        typed=Strings,
        metavar="EXPR",
    ),
]


@dataclass(frozen=True, kw_only=True)
class SurveyRequest(HeadStudy):
    """Score every head against every pattern."""

    patterns: Annotated[
        "str | Sequence[str | Pattern] | None",
        Named(
            "Names of the catalogue, separated by commas; library for what discover found. "
            "Default: the default set. In Python also a list of names, relations and patterns.",
            metavar="NAMES",
        ),
    ] = None
    pattern: Own = None
    pattern_file: Annotated[
        str | Path | None,
        Named(
            "A file of relations or formulas, or with --trust of Python, beside the others.",
            metavar="FILE",
        ),
    ] = None
    trust: Trust = False
    library: Library = None
    token_budget: Annotated[
        int, Option("Padded tokens a batch: more where memory allows.", least=1)
    ] = 1024
    stack: Stack = None
    layers: Annotated[
        str | Sequence[int] | None,
        Named("Some layers only: 0,5,11 or 0-3,11. Default: all.", metavar="LAYERS"),
    ] = None
    cards: Annotated[
        bool, Option("Say in words what every head does; --no-cards scores patterns alone.")
    ] = True
    engine: Annotated[str, Option("local, or ray: the machines of a Ray cluster.")] = "local"
    workers: Annotated[
        int | None,
        Free(
            "Processes that annotate beside the model; with ray, its workers. Default: as many as "
            "the work is worth, with ray as the cluster holds.",
            least=0,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class FitRequest(HeadStudy):
    """Fit a readable formula to every head; score it on unseen text."""

    test: Unseen = None
    patterns: Annotated[
        "str | Sequence[str | Pattern] | None",
        Named(
            "What labels and mixtures are made of: names, separated by commas. Default: "
            "the whole catalogue. In Python also a list of names, relations and patterns.",
            metavar="NAMES",
        ),
    ] = None
    formulas: Annotated[
        "Fit | str | Path | None",
        Named(
            "Score the formulas of this fit, or of a file, instead of fitting any.", metavar="RUN"
        ),
    ] = None
    terms: Terms = 12
    threshold: Annotated[float, Option("What a label has to gain, in IoU and JSD.", least=0)] = 0.05
    look_ahead: Annotated[
        bool | None, Option("May relations read later tokens? Default: not in causal models.")
    ] = None
    device: Annotated[
        str | None,
        Free("cpu or cuda, for the model and for the weights of the formulas. Default: the best."),
    ] = None


@dataclass(frozen=True)
class ReplaceRequest(Study):
    """Put programs inside the model in place of their heads; measure what it costs."""

    model: Model
    programs: Annotated[
        "str | Path | Mapping[Any, Any]",
        Fixed(
            "The run of a fit, a file of formulas by head, or one of lines `LAYER.HEAD: PROGRAM`, "
            "where PROGRAM is a pattern, a relation, a .py file, zero, profile or mean; or effect: "
            "formulas fitted to do what the heads do. In Python also programs by head, best "
            "explained first.",
            typed=str,
            metavar="RUN|FILE|effect",
        ),
    ]
    texts: Texts = None
    fit_texts: Annotated[
        "Corpus | str | Path | Sequence[str] | DatasetLike | None",
        Files(
            "Texts that the controls are estimated on, effect is fitted on, --tune reads.",
            name="--fit-text",
        ),
    ] = None
    _: KW_ONLY
    fractions: Annotated[
        "str | Sequence[float]",
        Option("Shares of the heads to replace, between commas.", typed=str),
    ] = "0.05,0.1,0.25,0.5,0.75,1"
    policy: Annotated[
        str,
        Option(
            "Rows that a program says nothing about: exclude (keep the head's own), sink, self or "
            "uniform.",
            name="--rows",
            metavar="POLICY",
        ),
    ] = "exclude"
    trust: Trust = False
    tune: Annotated[
        bool, Option("Also tune the weights, and controls likewise, on the altered model's loss.")
    ] = False
    random_orders: Annotated[
        int, Option("Also measure the programs in so many random orders of heads.", least=0)
    ] = 3
    alone: Annotated[
        "str | Sequence[str]",
        Option("Programs whose effect on each single head is measured too.", typed=str),
    ] = "formula,profile,zero,mean"


@dataclass(frozen=True, kw_only=True)
class DiscoverRequest(HeadStudy):
    """Look for programs of heads that beat their formulas, the catalogue and the library."""

    test: Unseen = None
    llm: Annotated[
        "str | Client",
        Spoken(
            "Who proposes programs: offline (a search, no language model), exchange:FOLDER "
            "(prompts and answers as files), replay:FILE (a recorded run), anthropic:MODEL, "
            "openai:MODEL, google:MODEL, or compatible:URL#MODEL. In Python also a client."
        ),
    ] = "offline"
    heads: Annotated[
        "str | Sequence[HeadId | str | tuple[int, int]]",
        Chosen("Heads such as 7.1,7.10, or worst:N, those whose formulas explain least."),
    ] = "worst:10"
    rounds: Annotated[int, Option("Proposals a head.", least=1)] = 3
    budget_usd: Annotated[
        float | None,
        Free(
            "What the language model may cost, in US dollars; checked before each call.", least=0.0
        ),
    ] = None
    budget_tokens: Annotated[
        int | None, Free("The same in tokens, prompts and answers together.", least=1)
    ] = None
    terms: Terms = 12
    workers: Annotated[int, Free("Heads at a time, where answers take long.", least=1)] = 1
    smallest: Annotated[
        float, Option("The smallest gain that matters, in IoU; less counts as none.", least=0.0)
    ] = 0.01
    draw: Annotated[
        int,
        Option(
            "Texts beyond --limit that may be read to decide, where a live model reads them.",
            least=0,
        ),
    ] = 1000
    evidence_tokens: Annotated[int, Option("What a head's evidence may take.", least=1000)] = 2_200
    library: Library = None
    trust: Trust = False
    look_ahead: Annotated[
        bool | None, Option("May programs read later tokens? Default: not in causal models.")
    ] = None
    tell: Annotated[
        "Callable[[str], None] | None",
        Free(
            "Called with notes: what cannot be done here, which file waits for an answer. "
            "Default: they go to stderr.",
            python_only=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DescribeRequest(HeadStudy):
    """Describe heads in at most 40 words, and test what the descriptions are worth."""

    test: Unseen = None
    heads: Annotated[
        "str | Sequence[HeadId | str | tuple[int, int]]",
        Chosen("Heads such as 7.1,7.10, worst:N, those whose formulas explain least, or all."),
    ] = "all"
    llm: Annotated[
        "str | Client",
        Spoken(
            "Who describes: offline (a template of what explain finds), or a language model as in "
            "discover: exchange:FOLDER, replay:FILE, PROVIDER:MODEL. In Python also a client."
        ),
    ] = "offline"
    judge: Annotated[
        "str | Client",
        Spoken(
            "Who answers questions by a description alone: offline (its relations, as a program), "
            "or a language model. In Python also a client."
        ),
    ] = "offline"
    questions: Annotated[int, Option("Questions a head, half of each kind.", least=2)] = 20
    budget_usd: Annotated[
        float | None, Free("What the language models may cost, in US dollars.", least=0.0)
    ] = None
    budget_tokens: Annotated[
        int | None, Free("The same in tokens, prompts and answers together.", least=1)
    ] = None
    workers: Annotated[
        int, Free("Prompts at a time; by exchange: that lie there to be answered.", least=1)
    ] = 32
    terms: Terms = 12
    evidence_tokens: Annotated[int, Option("What a head's evidence may take.", least=1000)] = 2_200
    look_ahead: Annotated[
        bool | None, Option("May formulas read later tokens? Default: not in causal models.")
    ] = None
    tell: Annotated[
        "Callable[[str], None] | None",
        Free("Called with notes: which file waits for an answer. Default: they go to stderr.",
             python_only=True),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class HintsRequest(Kept):
    """Ask questions with and without hints: which heads read otherwise when the answer follows?"""

    model: Model
    questions: Annotated[
        "QuestionsLike",
        Fixed(
            "Questions with `question`, `choices`, `answer`: .jsonl, .csv, .parquet (.gz). In "
            "Python also rows, or a data set.",
            typed=str,
            metavar="FILE",
            content=True,
        ),
    ]
    _: KW_ONLY
    template: Annotated[
        "Template | str | Path | None", Named("The words around a question, TOML.", metavar="FILE")
    ] = None
    position: Annotated[str, Option("The hint stands before or after the question.")] = "before"
    answer: Annotated[
        str | None,
        Option(
            "likelihood of each letter, or generate a chain of thought. Default: the second for "
            "models with a chat template."
        ),
    ] = None
    max_new_tokens: Annotated[int, Option("How much the model may write.", least=1)] = 256
    limit: Annotated[int | None, Fixed("The first so many questions.", least=1)] = None
    top: Annotated[int, Option("Heads that are altered to see answers change back.", least=1)] = 5
    causal: Annotated[bool, Option("Whether to alter heads at all.")] = True
    programs: Annotated[
        "str | Path | Mapping[HeadId, Program] | None",
        Named(
            "The run of a fit of this model: its formulas predict for a second score. In Python "
            "also programs by head.",
            metavar="RUN",
        ),
    ] = None
    seed: Annotated[int, Option("Draws the wrong choices that are hinted.")] = 0
    token_budget: Annotated[
        int, Option("Tokens a batch; the four conditions of a question lie in one.", least=1)
    ] = 4096


@dataclass(frozen=True)
class RecordRequest(Reading):
    """Record a model's attention, so that it can be surveyed and fitted without the model."""

    model: Model
    texts: Texts
    folder: Annotated[
        str | Path,
        Free("A new folder for the recording.", typed=str, name="--out", metavar="FOLDER"),
    ]
    _: KW_ONLY
    stack: Stack = None


@dataclass(frozen=True, kw_only=True)
class ExplainRequest(HeadStudy):
    """Say in words what every head does, named on half of the texts, confirmed on the rest."""

    pattern: Own = None
    stack: Stack = None


@dataclass(frozen=True)
class EffectsRequest(Study):
    """Measure what every head writes, whether it matters, and from which heads it reads."""

    model: Model
    texts: Texts = None
    _: KW_ONLY
    matters: Annotated[
        int,
        Option(
            "Take every head out on so many of the texts, to see whether it matters; on SmolLM2 "
            "with 8 texts of 128 tokens some 12 minutes on two cores. At least 8; 0: do not.",
            least=0,
        ),
    ] = 0
    reads: Annotated[
        int,
        Option("Take earlier heads out of heads' inputs on so many of the texts. 0: do not.",
               least=0),
    ] = 0  # fmt: skip
    explained: Annotated[
        str | Path | None,
        Named(
            "A run of explain of this model: --reads asks for the behaviours that it named. "
            "Default: for some that need no words.",
            metavar="RUN",
        ),
    ] = None


@dataclass(frozen=True)
class ProbeRequest(Kept):
    """Ask every head a battery of probes, each with a control; needs no texts."""

    model: Model
    _: KW_ONLY
    probes: Annotated[
        "str | Sequence[str] | None",
        Option("Names of probes, separated by commas. Default: all.", typed=str, metavar="NAMES"),
    ] = None
    pairs: Annotated[
        int, Option("Texts with a control a probe; more for probes of one row a text.", least=8)
    ] = 12
    seed: Annotated[int, Option("Draws the tokens.")] = 0


@dataclass(frozen=True, kw_only=True)
class BenchRequest:
    """Examine this program on models whose heads are known: is what it says of them true?"""

    models: Annotated[
        "str | Sequence[str] | None",
        Option("Models of the exam, separated by commas. Default: all.", typed=str | None,
               metavar="NAMES"),
    ] = None  # fmt: skip
    seeds: Annotated[
        int, Option("Times that heads are made of which nothing is to be said.", least=0)
    ] = 10
    on_progress: Annotated[
        OnProgress | None,
        Free("Called with the stage, the steps done and the steps in all.", python_only=True),
    ] = None


REQUESTS: dict[str, type] = {
    "explain": ExplainRequest,
    "effects": EffectsRequest,
    "probe": ProbeRequest,
    "survey": SurveyRequest,
    "fit": FitRequest,
    "replace": ReplaceRequest,
    "discover": DiscoverRequest,
    "describe": DescribeRequest,
    "hints": HintsRequest,
    "record": RecordRequest,
}
"""Every command that leaves something on disk, by its name."""
