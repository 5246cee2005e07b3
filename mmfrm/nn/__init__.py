"""The networks: MMFRM, its parts, and `FaceNetwork`, which composes them for everything else."""

from mmfrm.nn.cbam import CBAM
from mmfrm.nn.face_network import FaceNetwork, build_network
from mmfrm.nn.mmfrm import MMFRM
from mmfrm.nn.mobilefacenet import MobileFaceNet
from mmfrm.nn.tcffm import TCFFM

__all__ = ["CBAM", "MMFRM", "TCFFM", "FaceNetwork", "MobileFaceNet", "build_network"]
