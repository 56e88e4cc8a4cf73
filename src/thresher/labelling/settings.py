"""Which images get pixel labels, and how these are made of their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from thresher.errors import SettingsError
from thresher.run.folder import check_name
from thresher.selection.written import Names
from thresher.settings import converted, default

#: Labelling an image takes about this many times as long as validating one: rules and files come on top (a guess).
TIMES_VALIDATION = 1.5
Route = Literal["auto", "unlabelled", "gate", "fill", "shown", "given"]


@converted
@dataclass(frozen=True)
class LabelSettings:
    """Which images get pixel labels, and how these are made of their boxes."""

    name: str = ""
    """Name of the label set. Default: ROUTE-SELECTION, several selections joined by '+'."""
    selection: Names = default(("all",))
    """Images to label: names of selections, separated by commas, whose images are labelled once each; or all of the
    pool."""
    route: Route = "auto"
    """auto: for each class the best of the others on held-out masks of the target. gate: the teacher
    decides among what the boxes allow. fill: as gate, and a box gets as many pixels as boxes of its class hold on the
    target's masks. shown: as gate, and in each box a small network decides that learnt on the target's masks what the
    object in a box is. unlabelled: what the teacher is sure of, without boxes. given: masks from elsewhere."""
    teacher: str = ""
    """Name of a training whose network knows the classes. Default: one is trained on the target's masks alone."""
    masks: str = ""
    """Masks from elsewhere (route = given) as FORMAT:ROOT[#SPLIT], or coco_masks:FILE.json (run lengths or polygons);
    their images are found by their ids."""
    exhaustive: Literal["auto", "all", "none"] = "auto"
    """What the absence of a box says. auto: there is no such object, if the data set has boxes of the class; of Open
    Images only in images that have one. all: also of Open Images. none: nothing. The column `exhaustive` goes first."""
    sure: float = 0.8
    """A pixel is labelled where the teacher's probability of its class is at least this."""
    stuff: Literal["auto", "always", "never"] = "auto"
    """Whether classes without boxes are labelled. auto: those that are right on held-out masks (stuff_precision) and do
    not take most of another class's pixels."""
    stuff_precision: float = 0.9
    """Share of a class's labelled pixels that must be right on held-out masks (stuff = auto)."""
    held_out: float = 0.2
    """Share of the teacher's images on which routes are measured, by a second network trained on the rest, if the
    teacher was validated elsewhere. 0: routes are not measured (not with route = auto)."""
    shown_steps: int = 400
    """Steps of the small network of route shown; a second or less each on two processors. 0: auto does without it."""
    segmenter: Names = default(())
    """For route shown, in place of the small network: encoder and decoder of a promptable segmenter such as SAM 2, two
    ONNX files, separated by a comma (docs/how-to/masks-from-boxes.md)."""
    jitter: float = 0.05
    """Boxes around held-out masks are moved at each side by a normal deviate of this share of their length."""
    rounds: int = 1
    """More: a student is trained on the labels as the teacher was on the masks, and labels anew; sets NAME.round1, …;
    stops when the mean IoU on held-out masks does not rise."""
    seed: int = 0
    """Seed of the teacher made on the way, of those boxes and of the intervals."""

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        for works, words in (
            (self.selection, "selection: expected one or more names of selections, or all."),
            (
                self.masks or self.route != "given",
                "route = given: which masks? Set masks = FORMAT:ROOT, such as masks:/data/made_by_sam.",
            ),
            (
                not self.masks or self.route == "given",
                f"masks = {self.masks}: only route = given reads masks (got {self.route}).",
            ),
            (
                self.held_out or self.route != "auto",
                "held_out = 0: route = auto takes the best on held-out masks. Name a route.",
            ),
            (
                self.selection == ("all",) or "all" not in self.selection,
                f"selection = {', '.join(self.selection)}: expected names of selections, or all alone.",
            ),
            (
                self.rounds == 1 or (len(self.selection) == 1 and self.held_out and self.route != "given"),
                f"rounds = {self.rounds}: needs one selection (or all), held-out masks and another route than given.",
            ),
            (
                len(self.segmenter) in (0, 2),
                f"segmenter = {', '.join(self.segmenter)}: expected two ONNX files, encoder and decoder.",
            ),
            (
                self.shown_steps or self.segmenter or self.route != "shown",
                "shown_steps = 0: route = shown trains a network that is shown boxes. Expected 1 or more.",
            ),
        ):
            if not works:
                raise SettingsError(words)
        self._refuse_numbers()
        check_name(self.set_name)

    def _refuse_numbers(self) -> None:
        for name in ("sure", "stuff_precision"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected a share above 0 and up to 1.")
        if not 0 <= self.held_out < 1:
            raise SettingsError(f"held_out = {self.held_out}: expected a share of 0 or more and below 1.")
        if self.rounds < 1:
            raise SettingsError(f"rounds = {self.rounds}: expected 1 or more.")
        if not 0 <= self.jitter <= 0.5:
            raise SettingsError(f"jitter = {self.jitter}: expected a share of a box's side, 0 to 0.5.")
        if self.shown_steps < 0:
            raise SettingsError(f"shown_steps = {self.shown_steps}: expected 0 or more.")

    @property
    def set_name(self) -> str:
        """The name given, or ROUTE-SELECTION."""
        return self.name or f"{self.route}-{'+'.join(self.selection)}"

    @property
    def shows_boxes(self) -> bool:
        """Whether route shown is among those measured or taken."""
        return self.route in ("auto", "shown") and bool(self.shown_steps or self.segmenter)

    @property
    def measures(self) -> bool:
        """Whether routes are measured on held-out masks."""
        return self.held_out > 0 and self.route != "given"
