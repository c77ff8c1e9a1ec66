"""ONNX Runtime, in the one file that imports it: sessions on the CPU and on an NVIDIA GPU."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

# Errors and worse; warnings about graphs help nobody here.
_SEVERITY = 3
GPU_PROVIDER = "CUDAExecutionProvider"
# Where ONNX Runtime finds the files beside a model that it is given as bytes.
_FOLDER_OPTION = "session.model_external_initializers_file_folder_path"
Device = Literal["cpu", "cuda"]
_NUMPY_TYPES = {torch.float32: np.float32, torch.float16: np.float16, torch.uint8: np.uint8}


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or an output of a model."""

    name: str
    type: str
    """As ONNX Runtime writes it: tensor(float)."""
    shape: tuple[int | None, ...]
    """None for what the file leaves open."""


class OnnxSession:
    """A model that ONNX Runtime has loaded. Raises ValueError, in its words, for what it can't load or run."""

    def __init__(self, session: Any, device: Device) -> None:
        self._session = session
        self._device = device

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(map(_tensor, self._session.get_inputs()))

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(map(_tensor, self._session.get_outputs()))

    def run(self, name: str, values: NDArray[Any], output: str) -> NDArray[Any]:
        try:
            (result,) = self._session.run([output], {name: values})
        except Exception as error:  # its own classes derive from nothing else
            raise ValueError(str(error)) from None
        return cast(NDArray[Any], result)

    def run_in_place(self, values: torch.Tensor, name: str, out: torch.Tensor, output: str) -> None:
        """Compute one output for one input, both in torch's memory of the session's device.

        On a GPU it only starts, and what is put on the session's stream from now on waits for the result.
        """
        binding = self._session.io_binding()
        binding.bind_input(name, self._device, _device_id(values), _numpy_type(values), values.shape, values.data_ptr())
        binding.bind_output(output, self._device, _device_id(out), _numpy_type(out), out.shape, out.data_ptr())
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._session.run_with_iobinding(binding, options)


def open_session(
    model: Path | bytes,
    *,
    folder: Path | None = None,
    stream: int | None = None,
    tf32: bool = False,
) -> OnnxSession:
    """Load the model on the CPU, or on the current GPU if there is a stream of CUDA's for it to compute on.

    Raise ValueError, in ONNX Runtime's words, if it can't. A model in bytes has its other files in `folder`. A GPU may
    multiply fp32 with 10 bits of mantissa if `tf32` is set, which is ONNX Runtime's own default.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SEVERITY
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Waiting threads would take the core from the decoders.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if folder is not None:
        options.add_session_config_entry(_FOLDER_OPTION, str(folder))
    providers: list[Any] = ["CPUExecutionProvider"]
    if stream is not None:
        settings = {
            "user_compute_stream": str(stream),
            "use_tf32": str(int(tf32)),
            "device_id": str(torch.cuda.current_device()),
        }
        providers = [(GPU_PROVIDER, settings)]
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # its own classes derive from nothing else
        raise ValueError(str(error)) from None
    return OnnxSession(session, "cpu" if stream is None else "cuda")


def has_gpu_provider() -> bool:
    """Return whether the ONNX Runtime that is installed computes on NVIDIA GPUs."""
    return GPU_PROVIDER in onnxruntime.get_available_providers()


def _tensor(argument: Any) -> Tensor:
    shape = tuple(side if isinstance(side, int) and side >= 0 else None for side in argument.shape or ())
    return Tensor(name=argument.name, type=argument.type, shape=shape)


def _device_id(tensor: torch.Tensor) -> int:
    return tensor.device.index or 0


def _numpy_type(tensor: torch.Tensor) -> Any:
    return _NUMPY_TYPES[tensor.dtype]
