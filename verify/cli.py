"""The ``srr`` command. Each subcommand is one file in ``verify.commands``, imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from verify.names import nearest
from verify.usage import UsageError

COMMANDS = {
    "verify": "Judge every claim of the ledger; write the report.",
    "list": "The claims, by theme, with the verdict the ledger stands by.",
    "show": "One claim in full; replay its counterexample.",
    "derive": "Derivations, step by step, each step checked.",
    "descend": "A layer family at work on tokens, half-step by half-step.",
    "certify": "A certificate of what a layer lowered; check one independently.",
    "audit": "What the layers of a trained network do to each term, beside null controls.",
    "redunet": "A network built forward from labelled tokens, and what it classifies.",
    "experiment": "The field's questions, asked again on synthetic data.",
    "sweep": "An experiment over a grid of its parameters; resumes where it was ended.",
    "crosscheck": "What an implementation computes, operator by operator.",
    "vectors": "Conformance vectors for other implementations; check their results.",
    "bench": "How fast the rates are here, against the limit and plain torch.",
}
"""A command ``name`` is the function ``name`` in ``verify/commands/name.py``; here is what it is for."""

WELCOME = """\
srr tells whether the theory of white-box transformers is true, layer by layer,
number by number, and whether code implements it.

Try first:
  srr descend              six layers of CRATE at work on tokens: does each
                           half lower what it should? (a few seconds)
  srr descend descent      the layer that provably does
  srr show compression.residual-step-descends
                           a claim in full; with --replay its counterexample
  srr verify               all claims judged, with evidence, and a report to
                           read in a browser (about two minutes)

Then, if you have
  a question               srr list names the claims, srr derive the proofs,
                           srr experiment what can be measured
  code                     srr crosscheck package.module:factory
  a trained network        srr audit package.module:factory --data FILE

`srr --help` names every command, `srr COMMAND --help` its options, and
`srr --install-completion` lets the shell complete them.
"""


def _version() -> str:
    try:
        return version("srr")
    except PackageNotFoundError:
        return "unknown (not installed)"


app = App(
    name="srr",
    help="Is the theory of white-box transformers true, layer by layer?",
    help_epilogue="Exit codes: 0 as expected, 1 a verdict differs, 2 usage or bad input.",
    help_format="plaintext",
    version=_version,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)

for _place, (_name, _help) in enumerate(COMMANDS.items()):
    app.command(f"verify.commands.{_name}:{_name}", name=_name, help=_help, sort_key=_place)

app.register_install_completion_command(
    help="Let the shell complete commands and options: bash, zsh or fish, once it is started anew.",
    help_epilogue="",
)


@app.default
def welcome(*command: Annotated[str, Parameter(show=False)]) -> int:
    """What to try first."""
    if command:
        known = ", ".join(COMMANDS)
        raise UsageError(f"COMMAND must be one of {known}, got {command[0]!r}{nearest(command[0], COMMANDS)}")
    print(WELCOME, end="")
    return 0


def main(tokens: Sequence[str] | None = None) -> int:
    """Run ``srr`` on these arguments, the process's own by default, and return the exit code."""
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    try:
        code = app(
            tokens,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        print(end="", flush=True)
    except (BrokenPipeError, SystemExit):  # rich exits where a pipe breaks
        return _silenced(141)  # what a shell says of a process that SIGPIPE ends
    except KeyboardInterrupt:
        print("srr: interrupted", file=sys.stderr)
        return 130  # what a shell says of a process that SIGINT ends
    except OSError as error:
        print(f"srr: {error}", file=sys.stderr)
        return _silenced(2)
    except (CycloptsError, UsageError) as error:
        print(f"srr: {' '.join(str(error).split())}", file=sys.stderr)
        print(
            f"Try `{' '.join(['srr', *tokens[:1]] if tokens[0] in COMMANDS else ['srr'])} --help`.",
            file=sys.stderr,
        )
        return 2
    return code if isinstance(code, int) else 0


def _silenced(code: int) -> int:
    """The code, once stdout, which takes no more, can no longer fail when Python flushes it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
