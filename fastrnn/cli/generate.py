"""``fastrnn generate``: let a language model write."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ..io._by_ending import check_ending
from ._arguments import command, natural, number, positive
from ._outputs import check_apart

__all__ = ["add", "run"]

_DESCRIPTION = """\
Let a language model that `fastrnn train` or `fastrnn demo` saved write on from a prompt.

  fastrnn generate fastrnn-demo.npz --prompt "The statement "
  fastrnn generate fastrnn-demo.npz --temperature 0.8 --top-p 0.9 --seed 7
  fastrnn generate poems.npz --until "\\n"
  fastrnn generate chat.npz --remember talk.npz --prompt "hello"     it remembers what was said in talk.npz

A low temperature writes what is likely, a high one what is surprising; 0 always takes the likeliest. The
same seed writes the same text.
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser = command(
        commands.add_parser, "generate", help="let a trained model write", description=_DESCRIPTION
    )
    parser.add_argument("model", metavar="MODEL", help="the .npz file of a model")
    parser.add_argument("--prompt", help="what to write on from (default: a new line, or a new sentence)")
    parser.add_argument(
        "--length", type=natural, default=400, help="characters or words at most (default: %(default)s)"
    )
    parser.add_argument("--until", help='stop when this was written; "\\n" is a new line')
    parser.add_argument("--temperature", type=number, default=0.5, help="0 or more (default: %(default)s)")
    parser.add_argument("--top-k", type=positive, metavar="K", help="choose among the K likeliest only")
    parser.add_argument("--top-p", type=number, metavar="P", help="among the likeliest that together have P")
    parser.add_argument("--seed", type=natural, help="the same seed writes the same text")
    parser.add_argument(
        "--remember", metavar="FILE", help="go on with the conversation in this file, and write it there"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    from ..models import LanguageModel

    if arguments.remember is not None:
        check_ending(arguments.remember)  # now, not when all is written
    check_apart({"--remember": arguments.remember}, {"MODEL": arguments.model})
    model = LanguageModel.load(arguments.model)
    options = {
        "until": None if arguments.until is None else arguments.until.replace("\\n", "\n"),
        "temperature": arguments.temperature,
        "top_k": arguments.top_k,
        "top_p": arguments.top_p,
    }
    first = "\n" if model.units.start is None else ""
    if arguments.remember is None:
        prompt = first if arguments.prompt is None else arguments.prompt
        written = model.generate(prompt, arguments.length, seed=arguments.seed, **options)
        print(prompt + written, flush=True)
        return
    there = os.path.exists(arguments.remember)
    if there and arguments.seed is not None:
        raise ValueError(f"{arguments.remember}: a conversation has its seed; leave --seed out")
    chat = model.conversation(arguments.remember) if there else model.conversation(seed=arguments.seed)
    if arguments.prompt is not None or not there:
        chat.read(first if arguments.prompt is None else arguments.prompt)
    written = chat.write(arguments.length, **options)
    chat.save(arguments.remember)  # first: whoever reads what is printed may have enough of it
    print(written, flush=True)
