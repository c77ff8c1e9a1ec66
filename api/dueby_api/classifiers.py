"""The names of the models that there are, for whoever has misspelt one and has no PyTorch to ask.

The worker asks torchvision, whose next release may have more: this list refuses nothing, it only helps. A test holds it
to the torchvision that is installed.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence

LITE0 = "efficientnet_lite0"
_OF_TORCHVISION = """
alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf
regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf
regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50
resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13
vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
"""
CLASSIFIERS = (LITE0, *_OF_TORCHVISION.split())


def unknown_model(name: str, known: Sequence[str] = CLASSIFIERS) -> str:
    """Return the sentences for a name that no model has: the nearest names, and which models there are."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    advice = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"There is no model {name!r}{advice} There are {_families(known)}"


def _families(known: Sequence[str]) -> str:
    """Return the names, those that begin with the same word as one."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in sorted(known):
        members[re.split(r"[^a-z]", name)[0]].append(name)
    return ", ".join(found[0] if len(found) == 1 else f"{word}*" for word, found in members.items())
