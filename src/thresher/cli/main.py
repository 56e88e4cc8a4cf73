"""The command line: commands, exit codes and error messages. A command is imported only when it is run."""

from __future__ import annotations

import os
import sys

from cyclopts import App

from thresher import __version__
from thresher.cli.help_text import FlowingText
from thresher.cli.terminal import on_terminal
from thresher.errors import DataError, SettingsError
from thresher.run.stages import STAGES

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_BAD_DATA, EXIT_SOME_FAILED, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130

app = App(
    name="thresher",
    help="Choose the few images of a huge weakly labelled pool that help your segmentation network.",
    version=__version__,
    help_format="plaintext",
    help_formatter=FlowingText(),
    suppress_keyboard_interrupt=False,  # `main` handles it
    help_epilogue="Exit codes: 0 done, 1 failure, 2 wrong usage or settings, 3 bad or outdated data, or a file that "
    "cannot be written, 4 done but some images failed (listed in problems.parquet), 130 interrupted (run it again).",
)

#: Commands that are not stages: help, and the stage that they are listed before ("" = last).
_OTHERS = {
    "demo": ("Run the whole pipeline on synthetic street scenes, with a small comparison and a report.", "index"),
    "run": ("Run every stage with the settings of one TOML file, or bring a run up to date.", "index"),
    "audit": ("Compare a selection with pool and target, and warn of what is wrong with it.", "sheet"),
    "why": ("Say why images were taken by a selection, or why not.", "sheet"),
    "budget": ("Say how many images are worth taking, by what they add and by what trainings have reached.", "select"),
    "status": ("Show what has been done in a run, and what is out of date.", ""),
    "doctor": ("Show versions, weights, threads and disk.", ""),
}


def _commands() -> dict[str, str]:
    found: dict[str, str] = {}
    for stage in STAGES:
        found |= {name: words for name, (words, before) in _OTHERS.items() if before == stage.name}
        found[stage.name] = stage.words
    return found | {name: words for name, (words, before) in _OTHERS.items() if not before}


COMMANDS = _commands()
for _name, _help in COMMANDS.items():
    # As text, so that `thresher --help` imports neither numpy nor polars.
    app.command(f"thresher.cli.commands:{_name.replace('-', '_')}_command", name=_name, help=_help)
# `thresher --install-completion` writes the completion of the shell that it runs in.
app.register_install_completion_command(add_to_startup=False)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; errors that a user can fix are one line on stderr."""
    try:
        code = app(arguments, result_action="return_value", exit_on_error=False, print_error=True)
    except KeyboardInterrupt:
        print("thresher: interrupted; what was finished is kept. Run the same command to go on.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SettingsError as error:
        _fail(error, EXIT_USAGE)
    except DataError as error:
        _fail(error, EXIT_BAD_DATA)
    except BrokenPipeError:  # whoever read the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILURE)
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            raise
        place = error.filename or "while writing"
        _fail(f"{place}: {error.strerror}. Fix this, then run the same command again.", EXIT_BAD_DATA)
    except Exception as error:
        if type(error).__module__.startswith("cyclopts"):
            sys.exit(EXIT_USAGE)
        raise
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _fail(error: Exception | str, code: int) -> None:
    print(f"thresher: {on_terminal(error)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
