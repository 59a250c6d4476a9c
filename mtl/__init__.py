"""Multi-task learning: InceptionResNetV2 predicts full-reference scores without the reference."""

from mtl.inception_resnet_v2 import InceptionResNetV2
from mtl.model import MTLModel

__all__ = ["InceptionResNetV2", "MTLModel"]
