"""How heavy a model is, in three numbers, without its weights.

They are counted on torch's meta device, which computes nothing.
"""

from dataclasses import dataclass

from dueby_api.inference_job import Model


@dataclass(frozen=True, kw_only=True)
class ModelWeight:
    """How heavy a model is."""

    parameters: int
    model_bytes: int
    """Bytes of its parameters and buffers as they are loaded, in fp32."""
    image_flops: int
    """Operations for one image; a multiplication and an addition are two."""


def weigh(model: Model) -> ModelWeight:
    """Count the model's parameters, bytes and operations. Takes about a second, besides the import of torch."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dueby_worker.models.loading import describe_model
    from dueby_worker.models.registry import find_entry

    classes = len(describe_model(model).labels)
    entry = find_entry(model)
    with torch.device("meta"), torch.no_grad():
        network = entry.build(image_size=model.image_size, classes=classes, trained=False).eval()
        # What people's own code makes is there already.
        network = network.to("meta")
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, model.image_size, model.image_size))
    return ModelWeight(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        model_bytes=sum(tensor.nbytes for tensor in network.state_dict().values()),
        image_flops=counter.get_total_flops(),
    )
