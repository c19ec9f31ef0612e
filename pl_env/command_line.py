"""What all command lines of the project do with a user's mistake."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from pl_env.errors import PlEnvError


def exit_code(command: Callable[[], object]) -> int:
    """Run a command and give its exit code: 1 after one sentence on a user's mistake or a file, 130 if interrupted.

    Where the terminal knows only some letters, question marks stand for the others.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        command()
    except PlEnvError as error:
        return _mistake(str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        return _mistake(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted; a command that keeps what it has done goes on from here", file=sys.stderr)
        return 130
    return 0


def _mistake(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1
