"""`headscribe patterns`: list, show, try, check."""

import json
from typing import Annotated

import typer

from headscribe.cli.options import AnnotatorOption, JsonOption
from headscribe.core.errors import UsageError

app = typer.Typer(help="The catalogue, and relations of your own.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
CausalOption = Annotated[
    bool, typer.Option("--causal", help="Hide later keys, as a causal model does.")
]


@app.command("list")
def list_patterns(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SET]...", help="Sets such as default, classic, syntactic. Default: all."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the patterns."""
    from headscribe.patterns.registry import registry

    patterns = registry().select(names or ["all"])
    if as_json:
        rows = [
            {"name": p.name, "family": p.family, "sentence": p.sentence, "source": p.source}
            for p in patterns
        ]
        print(json.dumps(rows, ensure_ascii=False))
        return
    families = dict.fromkeys(pattern.family for pattern in patterns)
    for family in families:
        own = [pattern for pattern in patterns if pattern.family == family]
        width = max(len(pattern.name) for pattern in own)
        print(f"{family} ({len(own)}): {_FAMILIES[family]}")
        for pattern in own:
            print(f"  {pattern.name:<{width}}  {pattern.sentence}")
        print()
    print(f"{len(patterns)} patterns; `headscribe patterns show NAME` says all of one")


_FAMILIES = {
    "positional": "offsets only",
    "lexical": "the tokens themselves",
    "syntactic": "word classes or the parse",
    "sink": "sinks: opening and special tokens",
    "custom": "of installed packages",
}


@app.command("show")
def show_pattern(name: NameArgument) -> None:
    """Show one pattern: what it says, its relation, its source, what it needs."""
    from headscribe.patterns.registry import registry
    from headscribe.patterns.relational import RelationPattern

    pattern = registry().get(name)
    lines = {
        "name": pattern.name,
        "sentence": pattern.sentence,
        "relation": str(pattern.relation) if isinstance(pattern, RelationPattern) else "(code)",
        "family": pattern.family,
        "source": pattern.source,
        "needs": ", ".join(sorted(pattern.needs)) or "nothing but tokens",
        "looks ahead": "yes" if pattern.looks_ahead else "no",
        "mirror": pattern.mirror or "none",
    }
    for label, value in lines.items():
        print(f"{label:<12} {value}")


@app.command("try")
def try_relation(
    expression: Annotated[
        str, typer.Argument(metavar="EXPR", help="A relation, or a pattern's name.")
    ],
    text: Annotated[str, typer.Option(help="The text to draw it on.")],
    annotator: AnnotatorOption = None,
    causal: CausalOption = False,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write the figure.")] = None,
) -> None:
    """Draw the attention that a relation predicts on a text."""
    from headscribe.api.trying import predict
    from headscribe.report.matrix_text import matrix_text

    matrix = predict(expression, text, annotator=annotator, causal=causal)
    print(matrix_text(matrix.labels, matrix.values))
    if png is not None:
        matrix.save(png)
        print(png)


@app.command("check")
def check_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of relations or formulas.")],
    trust: Annotated[
        bool, typer.Option("--trust", help="Run a Python file that you wrote yourself.")
    ] = False,
) -> None:
    """Check a file of patterns: every relation is parsed, every name is free."""
    from headscribe.fitting.stored import patterns_of_file

    patterns = patterns_of_file(file, trust=trust)
    if not patterns:
        raise UsageError(f"expected at least one pattern in {file}, got none")
    for pattern in patterns:
        print(f"{pattern.name}: ok")
