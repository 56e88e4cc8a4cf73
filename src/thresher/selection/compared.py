"""How many vectors a selection compares, and how long that takes: for dry runs."""

from __future__ import annotations

from dataclasses import dataclass

from thresher.selection.facility import CELL_ROWS, EXACT_COSINES

#: To compare two vectors of near-duplicates: once and per number; how many others an image is compared with at most.
PAIR_SECONDS, NUMBER_SECONDS, MOST_PAIRS = 3e-9, 3e-11, 20_000
#: Of coverage, per image of the shortlist and image that it may cover.
COVER_SECONDS = 1e-8


@dataclass(frozen=True)
class Compared:
    """The vectors that select compares."""

    width: int
    """Numbers of a vector."""
    pairs: float = 0.0
    """Images whose near-duplicates are looked for, times those that each is compared with."""
    cosines: float = 0.0
    """Images of the shortlist, times what each may cover."""

    @classmethod
    def by(
        cls, width: int, candidates: int, target: int = 0, guard: int = 0, shortlist: int = 0, duplicates: int = 0
    ) -> Compared:
        """Of so many images.

        Args:
            target, guard: Images of each.
            shortlist: How many coverage looks at; 0 without coverage.
            duplicates: Among how many of the best near-duplicates are looked for; 0: they are not dropped.
        """
        pairs = candidates * (guard + (target if duplicates else 0)) + duplicates * min(duplicates / 2, MOST_PAIRS)
        covers = shortlist + target
        if shortlist * covers > EXACT_COSINES:  # cell by cell
            covers = round(covers * min(1, CELL_ROWS / shortlist))
        return cls(width, float(pairs), float(shortlist * covers))

    @property
    def seconds(self) -> float:
        """On an idle machine of the constants."""
        return self.pairs * (PAIR_SECONDS + NUMBER_SECONDS * self.width) + self.cosines * COVER_SECONDS
