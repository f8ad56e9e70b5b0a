"""The program of a rendering worker: Jobs from standard input, Answers to standard output, one at a time.

What highlights and draws can be made to run for ever, so the node may kill this process at any moment; nothing is lost
with it. It ends by itself when its input does, and the operating system ends it with its parent.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import BinaryIO

import msgspec

from pastebin.services import confinement, highlighter, jobs, plaintext
from pastebin.services.jobs import Answer, CannotRender, Job
from pastebin.services.renderings import grids, terminals, trees
from pastebin.services.syntaxes import TERMINAL


def answer_to(job: Job) -> Answer:
    """What the job asks for, or what stands in the way."""
    try:
        if job.what != "source":
            return _drawing(job)
        if job.syntax == TERMINAL.name:
            html = "".join(terminals.markup(plaintext.decode(job.content)))
            return Answer(job.syntax, html[:-1], html.count("\n"))
    except CannotRender as reason:
        return Answer(job.syntax, trouble=reason.trouble)
    return highlighter.highlight(job.content, job.syntax)


def _drawing(job: Job) -> Answer:
    text = plaintext.decode(job.content)
    if job.what == "document":
        from pastebin.services.renderings import documents  # loading it takes as long as everything else together

        return Answer(job.syntax, documents.draw(text))
    drawn = grids.draw(text, job.syntax or "") if job.what == "table" else trees.draw(text)
    return Answer(job.syntax, drawn.html, shown=drawn.shown, total=drawn.total)


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Answer Jobs until the input ends, or one has taken all memory."""
    outgoing.write(jobs.frame(None))
    outgoing.flush()
    decoder = msgspec.msgpack.Decoder(Job)
    while (body := jobs.read(incoming)) is not None:
        job = decoder.decode(body)
        confinement.limit_cpu(job.cpu_seconds)
        try:
            answer = answer_to(job)
        except MemoryError:
            answer = Answer(job.syntax, trouble="memory")
        outgoing.write(jobs.frame(answer))
        outgoing.flush()
        if answer.trouble == "memory":
            return


def main() -> None:
    confinement.confine(int(sys.argv[1]))
    with os.fdopen(os.dup(1), "wb") as outgoing:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)  # a lexer that prints must speak neither to the node nor to its log
        os.close(sink)
        with suppress(BrokenPipeError):
            serve(sys.stdin.buffer, outgoing)


if __name__ == "__main__":
    main()
