"""Whether a text is an expression of the Common Expression Language (CEL), which Envoy evaluates.

Only its grammar is looked at: which attributes there are is the proxy's to say.
# Istio: validateTelemetryFilter
"""

from __future__ import annotations

MAX_CHARACTERS = 4096  # bounds the parser, which recurses
_MESSAGE = 200  # characters


def problem(text: str) -> str | None:
    """What is wrong with it, or None."""
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text)} characters; at most {MAX_CHARACTERS} are read: shorten it"
    import cel  # only this needs it, and it brings a command line along

    try:
        cel.compile(text)
    except ValueError as error:
        said = " ".join(str(error).partition("Syntax error: ")[2].split())[:_MESSAGE]
        return (
            f"is no expression (CEL): {said or 'it cannot be parsed'}; write one as in response.code >= 400"
        )
    return None
