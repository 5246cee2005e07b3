"""torch itself: works everywhere, uses a GPU where there is one, and is what other engines fall back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from mmfrm.engines.base import Engine, Faces, Logits
from mmfrm.engines.model_files import ModelFiles
from mmfrm.engines.tracing import load_for_inference
from mmfrm.machine import tune_allocator
from mmfrm.nn.landmark_weights import Normalise
from mmfrm.runtime import DTYPES, choose_device, has_fast_bf16


def precisions() -> list[str]:
    """What torch computes by hardware on its device here, most precise first."""
    device = choose_device("auto")
    if device.type == "cuda":
        return ["fp32", "bf16" if has_fast_bf16(device) else "fp16"]
    return ["fp32", "bf16"] if has_fast_bf16(device) else ["fp32"]


class TorchEngine(Engine):
    """Eager torch in one precision (fp32, bf16, fp16): channels-last, norms folded into convolutions."""

    def __init__(self, files: ModelFiles, precision: str, *, threads: int, batch_size: int) -> None:
        super().__init__(files.classes, threads, batch_size)
        self.name = f"torch-{precision}"
        self._device = choose_device("auto")
        if self._device.type == "cpu":
            tune_allocator()
            torch.set_num_threads(threads)
        network = _folded(load_for_inference(files.folder)).to(self._device, DTYPES[precision])
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def stream(self, batches: Iterable[Faces]) -> Iterator[Logits]:
        for batch in batches:
            yield self._computed(self.filled(batch))[: len(batch)]

    @torch.inference_mode()
    def _computed(self, faces: Faces) -> Logits:
        logits: Tensor = self._network(torch.from_numpy(faces).to(self._device))
        answer: Logits = logits.float().cpu().numpy()
        return answer


class _Tracer(fx.Tracer):
    """Leaves normalisation as it is: traced, it would keep the precision of the moment for ever."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Normalise) or super().is_leaf_module(m, module_qualified_name)


def _folded(network: nn.Module) -> nn.Module:
    """Norms that follow a convolution become part of it. As it was, where torch cannot see through it."""
    try:
        module = fx.GraphModule(network, _Tracer().trace(network))
        folded: nn.Module = fuse(module, no_trace=True)
    # torch.fx refuses control flow that depends on data in a dozen ways; folding is only for speed.
    except Exception:
        return network
    return folded
