"""OpenVINO: the fastest engine on CPUs we know. Works without torch once the model has been converted."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmfrm.engines.base import Engine, EngineError, Faces, Logits
from mmfrm.engines.model_files import ModelFiles
from mmfrm.images import SIDE

if TYPE_CHECKING:
    import openvino
    from torch import nn

# Streams compute batches side by side, each on its own core, which wastes less than one batch on all of
# them; beyond these the memory for activations grows and little is gained.
MOST_STREAMS = 8
INT8_FOLDER = "openvino-int8"

_converting = threading.Lock()


def precisions() -> list[str]:
    """What this machine computes by hardware, most precise first. Raises EngineError without OpenVINO."""
    capable = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    reduced = [name for name, there in (("bf16", "BF16"), ("fp16", "FP16")) if there in capable]
    return ["fp32", *reduced[:1], *(["int8"] if "INT8" in capable else [])]


class OpenVINOEngine(Engine):
    """One precision of OpenVINO on the CPU: fp32, bf16, fp16 or int8 (made by `mmfrm export`)."""

    def __init__(self, files: ModelFiles, precision: str, *, threads: int, batch_size: int) -> None:
        super().__init__(files.classes, threads, batch_size)
        self.name = f"openvino-{precision}"
        path = _converted(files, precision)
        streams = min(threads, MOST_STREAMS) if batch_size > 1 else 1
        try:
            ready = _compiled(path, precision, threads, streams, batch_size)
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot run this model in {precision} here ({_first_line(error)})"
            ) from error
        # One more than streams, so that the next batch waits where the last one is still being computed.
        self._requests = [ready.create_infer_request() for _ in range(streams + 1)]

    def stream(self, batches: Iterable[Faces]) -> Iterator[Logits]:
        free, busy = deque(self._requests), deque[tuple[Any, int]]()
        try:
            for batch in batches:
                if not free:
                    yield _taken(busy, free)
                request = free.popleft()
                request.start_async({0: self.filled(batch)}, share_inputs=False)
                busy.append((request, len(batch)))
            while busy:
                yield _taken(busy, free)
        finally:
            for request, _ in busy:
                request.wait()

    def close(self) -> None:
        self._requests.clear()


def _taken(busy: deque[tuple[Any, int]], free: deque[Any]) -> Logits:
    request, count = busy.popleft()
    request.wait()
    logits: Logits = np.array(request.get_output_tensor(0).data[:count], np.float32)
    free.append(request)
    return logits


def core() -> openvino.Core:
    """OpenVINO. Raises EngineError where it is not installed."""
    try:
        import openvino
    except ImportError as error:
        raise EngineError(f"OpenVINO is not installed ({error})") from error
    return openvino.Core()


def _compiled(
    path: Path, precision: str, threads: int, streams: int, batch_size: int
) -> openvino.CompiledModel:
    model = core().read_model(path)
    model.reshape([batch_size, SIDE, SIDE, 3])
    return compiled(model, precision, threads, streams)


def compiled(model: openvino.Model, precision: str, threads: int, streams: int) -> openvino.CompiledModel:
    """A model for this machine's CPU: fp32, bf16, fp16 or int8."""
    hints = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
    # An int8 model has floating-point parts beside the quantised ones.
    hint = hints.get(precision) or ("bf16" if "bf16" in precisions() else "f32")
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
    }
    return core().compile_model(model, "CPU", settings)


def _converted(files: ModelFiles, precision: str) -> Path:
    """Path of the model in OpenVINO's own format, converted now where it has not been."""
    core()  # refuse before the long way through torch
    if precision == "int8":
        folder = files.found(INT8_FOLDER)
        if folder is None:
            raise EngineError("there is no int8 version of this model (`mmfrm export` makes it)")
        return folder / "model.xml"
    return files.derived("openvino", lambda folder: convert(files, folder / "model.xml")) / "model.xml"


def convert(files: ModelFiles, path: Path) -> None:
    """Convert a model through torch, without ONNX: (B, 112, 112, 3) uint8 -> logits (B, K), in fp32.

    Raises EngineError where this pair of torch and OpenVINO cannot.
    """
    from mmfrm.engines.tracing import load_for_inference

    save(converted(load_for_inference(files.folder), [SIDE, SIDE, 3], "uint8"), path)


def converted(network: nn.Module, shape: list[int], dtype: str) -> openvino.Model:
    """A network in eval mode for any number of inputs of this shape and "uint8" or "float32".

    Raises EngineError where this pair of torch and OpenVINO cannot.
    """
    import openvino

    from mmfrm.engines.tracing import traced

    module = traced(network, shape, dtype)
    given = (openvino.PartialShape([-1, *shape]), openvino.Type(dtype))
    try:
        with _other_logs_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, which OpenVINO reads
            return openvino.convert_model(module, input=[given])
    except Exception as error:  # the converter raises what it likes; another engine will do
        raise EngineError(f"OpenVINO cannot convert this model ({_first_line(error)})") from error


@contextlib.contextmanager
def _other_logs_kept() -> Iterator[None]:
    """For the converter, which mutes the root logger and leaves it so when it fails or runs twice at once."""
    with _converting:
        root = logging.getLogger()
        level, filters = root.level, root.filters[:]
        try:
            yield
        finally:
            root.setLevel(level)
            root.filters[:] = filters


def save(model: openvino.Model, path: Path) -> None:
    """Write a model as it is: by default its weights would be halved."""
    import openvino

    openvino.save_model(model, path, compress_to_fp16=False)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
