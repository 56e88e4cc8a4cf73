"""The tree of classes: a root that knows stuff and groups, and a classifier of its own for each group's children."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from thresher.data.taxonomy import VOID, Taxonomy

#: What a box is to a classifier that it does not speak of: as if it were not there.
ABSENT = -1
#: What it is to one whose outputs it does not tell apart ("Vehicle" to the classifier of vehicles): there is no label.
UNSAID = -2


@dataclass(frozen=True)
class Classifier:
    """One softmax of the network; its last output is void."""

    name: str
    outputs: tuple[str, ...]

    @property
    def void(self) -> int:
        """The number of the void output."""
        return len(self.outputs) - 1


@dataclass(frozen=True)
class ClassTree:
    """The classifiers of a taxonomy, and how classes and boxes are spelt in each of them.

    Classes are numbered as in `classes`, and `len(classes)` is void. Boxes carry one of `nodes`: a class, a group or
    void, numbered in that order. `boxed` are the nodes that an auxiliary head for boxes has an output for; without such
    a head there are none.
    """

    classes: tuple[str, ...]
    nodes: tuple[str, ...]
    root: Classifier
    groups: tuple[Classifier, ...]
    boxed: tuple[str, ...] = ()

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        """The root, then the groups: the order of all that comes once for each classifier."""
        return (self.root, *self.groups)

    @property
    def void(self) -> int:
        """The number by which label maps mark void."""
        return len(self.classes)

    def group_of(self, name: str) -> Classifier | None:
        """The group that a class is a child of."""
        return next((group for group in self.groups if name in group.outputs[:-1]), None)

    def outputs_of_classes(self, classifier: Classifier) -> Int64[np.ndarray, " classes_plus_1"]:
        """The classifier's output for each class and for void; what it does not know is void to it."""
        return np.array([_output(self, classifier, name) for name in (*self.classes, VOID)], np.int64)

    def outputs_of_nodes(self, classifier: Classifier) -> Int64[np.ndarray, " nodes"]:
        """The classifier's output for a box of each node, or `ABSENT`, or `UNSAID`.

        A box to be ignored is unsaid everywhere; one that names only a group is unsaid to that group's classifier.
        """
        found = []
        for name in self.nodes:
            output = _output(self, classifier, name)
            if output != classifier.void:
                found.append(output)
            else:
                found.append(UNSAID if name in (VOID, classifier.name) else ABSENT)
        return np.array(found, np.int64)

    def classes_of_boxed(self, name: str) -> tuple[int, ...]:
        """The classes whose things a box of this node encloses: itself, or a group's children."""
        group = next((group for group in self.groups if group.name == name), None)
        names = (name,) if group is None else group.outputs[:-1]
        return tuple(self.classes.index(each) for each in names)

    def classes_of_outputs(self, classifier: Classifier) -> Int64[np.ndarray, " outputs"]:
        """The class that each output stands for; void for groups, since their children are another's to tell."""
        number = {name: place for place, name in enumerate(self.classes)}
        return np.array([number.get(name, self.void) for name in classifier.outputs], np.int64)


def _output(tree: ClassTree, classifier: Classifier, name: str) -> int:
    group = tree.group_of(name)
    spelt = group.name if classifier is tree.root and group is not None else name
    return classifier.outputs.index(spelt) if spelt in classifier.outputs else classifier.void


def class_tree(taxonomy: Taxonomy, box_head: bool = False) -> ClassTree:
    """The tree of a taxonomy: the root has its classes without a group, its groups, and void.

    A group without children has nothing to tell apart and is left out.

    Args:
        box_head: Whether a network is to have an auxiliary head for the boxes of things and groups.

    Source: arXiv 1903.03462 §III (root, vehicle, human).
    """
    children = {group: tuple(c.name for c in taxonomy.classes if c.group == group) for group in taxonomy.groups}
    groups = tuple(Classifier(group, (*names, VOID)) for group, names in children.items() if names)
    stuff = tuple(c.name for c in taxonomy.classes if c.group is None)
    # A group that is not in the tree has no pixels that its boxes could be made from.
    boxed = (*(c.name for c in taxonomy.classes if c.thing), *(group.name for group in groups)) if box_head else ()
    root = Classifier("root", (*stuff, *(group.name for group in groups), VOID))
    return ClassTree(tuple(c.name for c in taxonomy.classes), (*taxonomy.nodes, VOID), root, groups, boxed)
