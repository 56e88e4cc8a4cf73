"""The tree of classes: a root classifier of stuff and groups, and one classifier for the children of each group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from thresher.data.taxonomy import VOID, Taxonomy

#: The box's class is outside this classifier; ignore the box.
ABSENT = -1
#: The box names only the group ("Vehicle"); its pixels get no label in that group's classifier.
UNSAID = -2


@dataclass(frozen=True)
class Classifier:
    """One softmax of the network. Its last output is void, for pixels of no class."""

    name: str
    outputs: tuple[str, ...]

    @property
    def void(self) -> int:
        """The number of the void output."""
        return len(self.outputs) - 1


@dataclass(frozen=True)
class ClassTree:
    """The classifiers of a taxonomy, and which output each class and each box has in each of them.

    Classes are numbered as in `classes`; `len(classes)` is void. A box has one of `nodes` (a class, a group or void),
    numbered in that order. `boxed` are the nodes for which an auxiliary head for boxes has an output; empty without
    such a head.
    """

    classes: tuple[str, ...]
    nodes: tuple[str, ...]
    root: Classifier
    groups: tuple[Classifier, ...]
    boxed: tuple[str, ...] = ()

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        """The root, then the groups: the order of everything that there is one of per classifier."""
        return (self.root, *self.groups)

    @property
    def void(self) -> int:
        """The number of void in label maps."""
        return len(self.classes)

    def group_of(self, name: str) -> Classifier | None:
        """The group that a class is a child of."""
        return next((group for group in self.groups if name in group.outputs[:-1]), None)

    def outputs_of_classes(self, classifier: Classifier) -> Int64[np.ndarray, " classes_plus_1"]:
        """The classifier's output for each class and for void; void for classes outside the classifier."""
        return np.array([_output(self, classifier, name) for name in (*self.classes, VOID)], np.int64)

    def outputs_of_nodes(self, classifier: Classifier) -> Int64[np.ndarray, " nodes"]:
        """The classifier's output for a box of each node, or `ABSENT`, or `UNSAID`.

        A box of void, to be ignored, is unsaid in every classifier; a box of a group in that group's classifier.
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
        """The classes whose objects a box of this node encloses: the class itself, or a group's children."""
        group = next((group for group in self.groups if group.name == name), None)
        names = (name,) if group is None else group.outputs[:-1]
        return tuple(self.classes.index(each) for each in names)

    def classes_of_outputs(self, classifier: Classifier) -> Int64[np.ndarray, " outputs"]:
        """The class of each output; void for groups, whose children have a classifier of their own."""
        number = {name: place for place, name in enumerate(self.classes)}
        return np.array([number.get(name, self.void) for name in classifier.outputs], np.int64)


def _output(tree: ClassTree, classifier: Classifier, name: str) -> int:
    group = tree.group_of(name)
    output = group.name if classifier is tree.root and group is not None else name
    return classifier.outputs.index(output) if output in classifier.outputs else classifier.void


def class_tree(taxonomy: Taxonomy, box_head: bool = False) -> ClassTree:
    """The tree of a taxonomy: the root has the classes without a group, the groups, and void.

    A group without children is left out.

    Args:
        box_head: Whether the network has an auxiliary head for the boxes of things and groups.

    Source: arXiv 1903.03462 §III (root, vehicle, human).
    """
    children = {group: tuple(c.name for c in taxonomy.classes if c.group == group) for group in taxonomy.groups}
    groups = tuple(Classifier(group, (*names, VOID)) for group, names in children.items() if names)
    stuff = tuple(c.name for c in taxonomy.classes if c.group is None)
    # A group that is not in the tree has no labelled pixels, so no boxes could be drawn around them.
    boxed = (*(c.name for c in taxonomy.classes if c.thing), *(group.name for group in groups)) if box_head else ()
    root = Classifier("root", (*stuff, *(group.name for group in groups), VOID))
    return ClassTree(tuple(c.name for c in taxonomy.classes), (*taxonomy.nodes, VOID), root, groups, boxed)
