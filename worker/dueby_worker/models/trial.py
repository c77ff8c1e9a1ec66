"""Try a network on two made-up images, to see whether what was made of it still gives the same values.

torch.fx follows tensors through a network's code. It takes no notice of what else the code depends on, such as hooks,
or conditions on the type of the input, and says nothing of it. So whatever was traced or cut is compared with the
network itself.
"""

import torch

# Two, because code that drops axes of size 1 would drop that of the mini-batch, too.
_IMAGES = 2
# Of the largest value. Folded batch norms and other orders of adding differ by 1e-5 at most, and averages of 16 bits by
# some units of their last place.
_LIMIT = 1e-3
_LAST_PLACES = 4


def tried_images(side: int) -> torch.Tensor:
    """Return (2, 3, side, side) images that are the same at every call, each time in memory of their own.

    They are on both sides of zero, or what is positive already would pass through a ReLU unseen.
    """
    return torch.randn(_IMAGES, 3, side, side, generator=torch.Generator().manual_seed(0))


def is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether both hold the same values but for rounding, which is coarser in types of 16 bits."""
    if one.shape != other.shape:
        return False
    coarsest = max((torch.finfo(t.dtype).eps for t in (one, other) if t.is_floating_point()), default=0.0)
    one, other = one.float(), other.float()
    # Networks with random weights may give infinite values.
    largest = float(other.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(one, other, rtol=0, atol=max(_LIMIT, _LAST_PLACES * coarsest) * largest, equal_nan=True)
