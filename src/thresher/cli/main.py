"""The command line: names and one-line helps. What a command does is in `commands`, loaded when it is asked for."""

from __future__ import annotations

import errno
import sys

from cyclopts import App

from thresher import __version__
from thresher.errors import DataError, SettingsError

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_BAD_DATA, EXIT_SOME_FAILED, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130

#: Errors that lie with the machine, not with the program: full, over quota, read-only, forbidden, broken.
SURROUNDINGS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)

app = App(
    name="thresher",
    help="Choose the few images of a huge weakly labelled pool that help your segmentation network.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` has words for it
    help_epilogue="Exit codes: 0 done, 1 failure, 2 wrong usage or settings, 3 bad data, 4 done but some images failed "
    "(listed in problems.parquet), 130 interrupted (run it again to go on).",
)

COMMANDS = {
    "demo": "The whole job on made-up street scenes; ends with a small comparison and a report.",
    "run": "Every stage, from one TOML file.",
    "index": "Read annotations and image files of target and pool into tables.",
    "embed": "Run every image through the backbone and keep its slices.",
    "merge": "Complete embed from the shards that jobs made apart.",
    "fit": "Fit the mixture to the target's slices.",
    "score": "Measure similarity and diversity of every pool image.",
    "select": "Choose images, and say why each was chosen.",
    "sheet": "Draw the first images of a selection as one PNG.",
    "insight": "Show what the mixture learnt and how far the pool is from the target.",
    "report": "Write one HTML page on all that was done, to look at offline and to send around.",
    "explore": "Look at a selection in the browser, change it, and save it.",
    "train": "Train a segmentation network on the target's masks and the boxes of a selection.",
    "evaluate": "Measure a trained network on images with masks.",
    "predict": "Draw what a trained network decides on an image or a folder of them: masks and overlays.",
    "export-network": "Write a trained network as one ONNX file.",
    "compare": "Train a network for each selection, mode and seed, and say which selection pays.",
    "export": "Write a selection as a list, as COCO or Open Images, or for other tools to look at.",
    "doctor": "Show versions, weights, threads and disk.",
}
for _name, _help in COMMANDS.items():
    # As text, so that `thresher --help` imports neither numpy nor polars.
    app.command(f"thresher.cli.commands:{_name.replace('-', '_')}_command", name=_name, help=_help)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code; errors a user can act on become one line on stderr."""
    try:
        code = app(arguments, result_action="return_value", exit_on_error=False, print_error=True)
    except KeyboardInterrupt:
        print("thresher: interrupted; what was finished is kept. Run the same command to go on.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SettingsError as error:
        _fail(error, EXIT_USAGE)
    except DataError as error:
        _fail(error, EXIT_BAD_DATA)
    except OSError as error:
        if error.errno not in SURROUNDINGS:
            raise
        _fail(
            f"{error.filename or 'while writing'}: {error.strerror}. Mend it, then run the same command.", EXIT_FAILURE
        )
    except Exception as error:
        if type(error).__module__.startswith("cyclopts"):
            sys.exit(EXIT_USAGE)
        raise
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _fail(error: Exception | str, code: int) -> None:
    print(f"thresher: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
