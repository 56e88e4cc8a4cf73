"""Made-up street scenes with labels and boxes, decoys, and the truth about both: for demos, tests and experiments."""

from thresher.data.synthetic.canvas import Box, Scene
from thresher.data.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.data.synthetic.decoys import KINDS, decoy
from thresher.data.synthetic.street import street_scene

__all__ = ["KINDS", "Box", "Scene", "SyntheticSettings", "decoy", "street_scene", "write_dataset"]
