"""The maps of a frozen landmark network, computed by OpenVINO while torch trains the rest on a CPU.

torch does layer by layer, norms and all, what OpenVINO does in fused kernels in about half the time. The
weights never change and need no gradient, so nothing of torch is missed.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from mmfrm.engines.base import EngineError
from mmfrm.engines.model_files import fill, part_of
from mmfrm.engines.openvino_engine import compiled, converted, core, save
from mmfrm.images import SIDE
from mmfrm.machine import cache_folder
from mmfrm.nn import FaceNetwork
from mmfrm.runtime import Runtime
from mmfrm.versions import versions

if TYPE_CHECKING:
    import openvino


def place(network: FaceNetwork, runtime: Runtime) -> None:
    """Move a network to where it computes. On a CPU, OpenVINO takes over its landmark features, if frozen.

    They agree with torch's to 1e-5 of the largest (in bf16 as torch's own do). Without OpenVINO, or where
    it refuses, the network computes them itself.
    """
    runtime.place(network)
    frozen = network.landmarks is not None and network.landmarks_are_frozen
    if frozen and runtime.device.type == "cpu" and runtime.precision != "fp16":
        network.quick_landmarks = FrozenLandmarks(network, runtime)


class FrozenLandmarks:
    """(B, 3, 112, 112) pixels to the three maps. Made of the weights there are when it is first called."""

    def __init__(self, network: FaceNetwork, runtime: Runtime) -> None:
        self._network, self._runtime = network, runtime

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # the average of a network's weights has its landmark network: one will do

    @cached_property
    def _request(self) -> openvino.InferRequest | None:
        """None where OpenVINO cannot."""
        runtime = self._runtime
        try:
            model = _model(_MapsOfPixels(self._network).eval())
            return compiled(model, runtime.precision, runtime.threads, streams=1).create_infer_request()
        except (EngineError, RuntimeError):
            return None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, rgb: Tensor) -> tuple[Tensor, ...] | None:
        """None where OpenVINO cannot."""
        request = self._request
        if request is None:
            return None
        request.infer([rgb.float().contiguous().numpy()], share_inputs=True)
        outputs = (torch.from_numpy(request.get_output_tensor(i).data) for i in range(3))
        # Cloned, since the next batch is computed into the same memory.
        return tuple(
            y.clone().permute(0, 3, 1, 2).contiguous(memory_format=self._runtime.memory_format)
            for y in outputs
        )


class _MapsOfPixels(nn.Module):
    """Pixels to the maps, channels last: so torch has nothing to turn round."""

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        assert network.landmarks is not None  # noqa: S101 (seen to by `place`)
        assert network.landmark_input is not None  # noqa: S101
        self.input, self.landmarks = network.landmark_input, network.landmarks

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return tuple(y.permute(0, 2, 3, 1) for y in self.landmarks.features(self.input(rgb)))


def _model(maps: nn.Module) -> openvino.Model:
    """In OpenVINO, converted once a machine, which takes seconds; every time where nothing may be written.

    Raises EngineError or RuntimeError where this machine's OpenVINO cannot.
    """
    plugin = core()  # refuse before the long way through torch
    whole = cache_folder() / "landmarks" / _identity(maps)
    file = whole / "model.xml"
    if file.is_file():
        return plugin.read_model(file)
    model = converted(maps, [3, SIDE, SIDE], "float32")
    with suppress(OSError, RuntimeError):  # not allowed, or the disk is full
        fill(part_of(whole), whole, lambda folder: save(model, folder / file.name))
    return model


def _identity(maps: nn.Module) -> str:
    """Names the weights and the programs that convert them."""
    digest = sha256(str({k: v for k, v in versions().items() if k in ("openvino", "torch")}).encode())
    for name, value in maps.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
