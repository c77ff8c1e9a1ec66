"""The names of the models that there are, for whoever has misspelt one and has no PyTorch to ask.

The worker asks torchvision, whose next release may have more: this list refuses nothing, it only helps. A test holds it
to the torchvision that is installed.
"""

import difflib
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

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
TIMM = "timm/"
HUGGING_FACE = "hf/"
ONNX = "onnx/"
PYTHON = "python/"
# How the names of other libraries' models begin, and the extra of this package that installs the library. What follows
# is a name, never a path: profiles, objects and figures are called by it, and folders differ between machines.
EXTRAS = {TIMM: "timm", HUGGING_FACE: "transformers", ONNX: "onnx", PYTHON: "worker"}
# What follows PYTHON: a module, as Python imports it, and a function in it.
PYTHON_NAME = r"^python/[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
# How the path of an ONNX model ends.
ONNX_SUFFIX = ".onnx"


def source_of(name: str) -> str | None:
    """Return how the names of the library's models begin; None for torchvision's names, which have no prefix."""
    return next((prefix for prefix in EXTRAS if name.startswith(prefix)), None)


def is_onnx(name: str) -> bool:
    """Return whether the model is an ONNX file, which is network and weights at once."""
    return source_of(name) == ONNX


def is_own(name: str) -> bool:
    """Return whether the job brings the network itself, so that two jobs may have two of one name."""
    return source_of(name) in (ONNX, PYTHON)


def plain_name(name: str) -> str:
    """Return the model's name as a part of the names of files and objects, where two models have two names.

    Without its signs `hf/a-b/c` would be `hf/a/b-c`, hence the digest. All other libraries' names differ in letters.
    """
    words = name.replace("/", "-").replace(":", "-")
    if source_of(name) in (None, TIMM):
        return words
    return f"{words}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def unknown_model(name: str, names: Sequence[str] = CLASSIFIERS) -> str:
    """Return the sentence for a name that no model has: the nearest names, or else which models there are."""
    # OWNER/NAME, as the hub's pages show it.
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return f"There is no model {name!r}; did you mean {HUGGING_FACE}{name}?"
    if near := nearest(name, names).removeprefix("."):
        return f"There is no model {name!r}{near}"
    others = (
        f"; {TIMM}NAME is one of timm, {HUGGING_FACE}OWNER/NAME one of the Hugging Face hub, {ONNX}NAME one in the "
        f"{ONNX_SUFFIX} file that weights names, and {PYTHON}MODULE:FUNCTION one that your own code makes"
    )
    return f"There is no model {name!r}. There are {_families(names)}{others}."


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about a wrong name: the names that are most like it."""
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else "."


def _families(names: Sequence[str]) -> str:
    """Return the names, those that begin with the same word as one."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        members[re.split(r"[^a-z]", name)[0]].append(name)
    return ", ".join(same_word[0] if len(same_word) == 1 else f"{word}*" for word, same_word in members.items())
