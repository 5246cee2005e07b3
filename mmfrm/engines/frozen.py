"""The maps of a frozen landmark network, computed by OpenVINO while torch trains the rest on a CPU.

torch does layer by layer, norms and all, what OpenVINO does in fused kernels in about half the time. The
weights never change and need no gradient, so nothing of torch is missed.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from mmfrm.engines.base import EngineError
from mmfrm.engines.model_files import appear
from mmfrm.engines.openvino_engine import core, first_line
from mmfrm.engines.tracing import one_thread
from mmfrm.images import SIDE
from mmfrm.machine import cache_folder
from mmfrm.nn import FaceNetwork
from mmfrm.runtime import Runtime
from mmfrm.versions import versions

if TYPE_CHECKING:
    import openvino


def quicken(network: FaceNetwork, runtime: Runtime) -> None:
    """Let OpenVINO compute a network's landmark features, where they are frozen and the device is a CPU.

    They agree with torch's to 1e-5 of the largest (in bf16 as torch's own do). Without OpenVINO, or where
    it refuses, the network computes them itself.
    """
    frozen = network.landmarks is not None and network.landmarks_are_frozen
    if frozen and runtime.device.type == "cpu" and runtime.precision != "fp16":
        network.quick_landmarks = FrozenLandmarks(network, runtime)


class FrozenLandmarks:
    """(B, 3, 112, 112) pixels to the three maps. Made of the weights there are when it is first called."""

    def __init__(self, network: FaceNetwork, runtime: Runtime) -> None:
        self._network, self._runtime = network, runtime
        self._request: Any = None
        self._is_refused = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # the average of a network's weights has its landmark network: one will do

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, rgb: Tensor) -> tuple[Tensor, ...] | None:
        """None where OpenVINO cannot."""
        if self._request is None and not self._is_refused:
            try:
                self._request = _compiled(self._network, self._runtime).create_infer_request()
            except (EngineError, RuntimeError):
                self._is_refused = True
        if self._is_refused:
            return None
        self._request.infer([rgb.detach().float().contiguous().numpy()], share_inputs=True)
        outputs = (torch.from_numpy(self._request.get_output_tensor(i).data) for i in range(3))
        # Cloned, since the next batch is computed into the same memory.
        return tuple(
            y.clone().permute(0, 3, 1, 2).contiguous(memory_format=self._runtime.memory_format)
            for y in outputs
        )


class _MapsOfPixels(nn.Module):
    """Pixels to the maps, channels last: so torch has nothing to turn round."""

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        assert network.landmarks is not None  # noqa: S101 (asked for by `quicken`)
        assert network.landmark_input is not None  # noqa: S101
        self.input, self.landmarks = network.landmark_input, network.landmarks

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return tuple(y.permute(0, 2, 3, 1) for y in self.landmarks.features(self.input(rgb)))


def _compiled(network: FaceNetwork, runtime: Runtime) -> openvino.CompiledModel:
    """Ready for batches of any length. Raises EngineError or RuntimeError where this machine's cannot."""
    plugin = core()  # refuse before the long way through torch
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if runtime.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": runtime.threads,
        "NUM_STREAMS": 1,
    }
    maps = _MapsOfPixels(network).eval()
    place = cache_folder() / "landmarks" / _identity(maps)
    file = place / "model.xml"
    if file.is_file():
        return plugin.compile_model(plugin.read_model(file), "CPU", settings)
    model = _converted(maps)
    _keep(model, place)
    return plugin.compile_model(model, "CPU", settings)


def _identity(maps: nn.Module) -> str:
    """Names the weights and the programs that convert them."""
    digest = sha256(str({k: v for k, v in versions().items() if k in ("openvino", "torch")}).encode())
    for name, value in maps.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def _converted(maps: nn.Module) -> openvino.Model:
    import openvino

    shape = openvino.PartialShape([-1, 3, SIDE, SIDE])
    with one_thread(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, which OpenVINO reads
        module = torch.jit.trace(maps, torch.zeros(2, 3, SIDE, SIDE), check_trace=False)  # type: ignore[no-untyped-call]
        try:
            return openvino.convert_model(module, input=[(shape, openvino.Type.f32)])
        except Exception as error:  # the converter raises what it likes
            raise EngineError(
                f"OpenVINO cannot convert the landmark network ({first_line(error)})"
            ) from error


def _keep(model: openvino.Model, place: Path) -> None:
    """For the next training on this machine: converting takes seconds. Where nothing may be written, not."""
    import openvino

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".landmarks-", dir=place.parent))
    except OSError:
        return
    try:
        openvino.save_model(model, part / "model.xml", compress_to_fp16=False)
        appear(part, place)
    except (OSError, RuntimeError):  # a full disk
        shutil.rmtree(part, ignore_errors=True)
