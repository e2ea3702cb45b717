"""Every model of torchvision that takes images or clips, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
import torchvision.models as library
from torch.nn import functional as F
from torchvision.models import efficientnet, resnet
from torchvision.models.video import mvit

from models.cases import ModelCase
from models.weights import random_weights

__all__ = ["CASES", "REFUSED"]

_UNTRAINED = {"weights": None, "weights_backbone": None}
_SIZES = ({"B": 1, "H": 96, "W": 64}, {"B": 3, "H": 75, "W": 87})
#: Images that batch norms take their statistics from. Of 6, EfficientNetV2 makes a change of 1e-6
#: in its input one of 10% in what it gives; of 24, one of 1e-5.
_IMAGES = 24
#: What residual branches add, as a part of what they are added to: little, as in trained networks.
#: With as much, 50 random ones make a change of 1e-7 in the input one of 1e-3 in what they give.
_OF_BRANCHES = 0.2


@dataclass(frozen=True)
class _Family:
    """Models whose names begin alike.

    Attributes:
        prefix: of their names.
        axes: symbols of the axes of their images.
        options: of their builders.
        traced: sizes at which they are exported.
        sizes: others at which they are compared.
        input_name: of their images.
    """

    prefix: str
    axes: str = "BHW"
    options: Mapping[str, Any] = field(default_factory=dict)
    traced: dict[str, int] = field(default_factory=lambda: {"B": 2, "H": 64, "W": 80})
    sizes: tuple[Mapping[str, int], ...] = _SIZES
    input_name: str = "x"


_CLASSIFIERS = (
    _Family("alexnet"),
    _Family("convnext"),
    _Family("densenet"),
    _Family("efficientnet_b"),
    _Family("efficientnet_v2"),
    _Family("googlenet", options={"init_weights": False}),
    _Family(
        "inception",
        options={"init_weights": False},
        traced={"B": 2, "H": 80, "W": 75},
        sizes=({"B": 1, "H": 96, "W": 80}, {"B": 3, "H": 75, "W": 107}),
    ),
    _Family("maxvit", "B", {"input_size": (224, 224)}, {"B": 2, "H": 224, "W": 224}),
    _Family("mnasnet"),
    _Family("mobilenet_v2"),
    _Family("mobilenet_v3"),
    _Family("regnet_x"),
    _Family("regnet_y"),
    _Family("resnet"),
    _Family("resnext"),
    _Family("shufflenet"),
    _Family("squeezenet"),
    _Family("swin_v2", "B"),
    _Family("swin", "B"),
    _Family("vgg"),
    _Family("vit", "B", {"image_size": 224}, {"B": 2, "H": 224, "W": 224}),
    _Family("wide_resnet"),
)


_SEGMENTATION = (
    _Family("fcn", options=_UNTRAINED),
    _Family("deeplabv3", options=_UNTRAINED),
    _Family("lraspp", options=_UNTRAINED, input_name="input"),
)

_HEADS = (
    *(_Family(name, options=_UNTRAINED) for name in ("faster", "keypoint", "mask", "ssdlite")),
    # The others have maps of a pixel for 128 of the image.
    _Family(
        "",
        options=_UNTRAINED,
        traced={"B": 2, "H": 330, "W": 400},
        sizes=({"B": 1, "H": 400, "W": 330}, {"B": 3, "H": 340, "W": 410}),
    ),
)
_WHOLE = _Family("", "HW", _UNTRAINED, {"B": 1, "H": 64, "W": 80})

_CLIP = {"B": 2, "T": 8, "H": 32, "W": 48}
_CLIPS = ({"B": 1, "T": 11, "H": 48, "W": 32}, {"B": 3, "T": 5, "H": 40, "W": 41})
_LONG_CLIPS = ({"B": 1, "T": 16, "H": 240, "W": 224}, {"B": 3, "T": 18, "H": 224, "W": 233})

_VIDEO = (
    _Family("mc3", "BTHW", {}, _CLIP, _CLIPS),
    _Family("r2plus1d", "BTHW", {}, _CLIP, _CLIPS),
    _Family("r3d", "BTHW", {}, _CLIP, _CLIPS),
    _Family("s3d", "BTHW", {}, {"B": 2, "T": 17, "H": 224, "W": 240}, _LONG_CLIPS),
    _Family(
        "mvit",
        "B",
        {},
        {"B": 2, "T": 8, "H": 64, "W": 64},
    ),
    _Family("swin3d", "B", {}, _CLIP),
)


def _images(B: int, H: int, W: int) -> torch.Tensor:  # noqa: N803
    """Blobs under noise: [B, 3, H, W]. Of noise alone, deep networks see little but its mean."""
    return F.interpolate(torch.randn(B, 3, 3, 3), (H, W)) + torch.randn(B, 3, H, W) / 4


def _clips(B: int, T: int, H: int, W: int) -> torch.Tensor:  # noqa: N803
    """Likewise: [B, 3, T, H, W]."""
    return F.interpolate(torch.randn(B, 3, 2, 3, 3), (T, H, W)) + torch.randn(B, 3, T, H, W) / 4


def _get_model(name: str, **options: Any) -> torch.nn.Module:
    """A model of the library. MViT for small clips, which its builders don't let one ask for."""
    build = mvit._mvit
    small = {"spatial_size": (64, 64), "temporal_size": 8}
    with patch.object(mvit, "_mvit", lambda **given: build(**given | small)):
        model: torch.nn.Module = library.get_model(name, **options)
    for layer in model.modules():
        if (norm := _last_norm(layer)) is not None:
            torch.nn.init.constant_(norm.weight, _OF_BRANCHES)
    return model


def _last_norm(layer: torch.nn.Module) -> Any:
    """The norm that ends a residual branch, if the layer is one with a skip."""
    match layer:
        case resnet.Bottleneck():
            return layer.bn3
        case resnet.BasicBlock():
            return layer.bn2
        case efficientnet.MBConv() | efficientnet.FusedMBConv() if layer.use_res_connect:
            return layer.block[-1][1]
    return None


def _cases(
    module: ModuleType,
    families: tuple[_Family, ...],
    make_input: Callable[..., torch.Tensor] = _images,
    axes: str = "BCHW",
) -> Iterator[ModelCase]:
    """All models that a module of torchvision registers, each as its family says."""
    for name in library.list_models(module=module):
        family = next(f for f in families if name.startswith(f.prefix))
        yield _case(name, family, make_input, axes)


def _case(
    name: str, family: _Family, make_input: Callable[..., torch.Tensor], axes: str
) -> ModelCase:
    fixed = {s: n for s, n in family.traced.items() if s not in family.axes}
    statistics = {**family.traced, "B": _IMAGES if make_input is _images else 6}
    return ModelCase(
        name=name,
        make=lambda: random_weights(
            lambda: _get_model(name, **family.options), make_input(**statistics)
        ),
        inputs=lambda **sizes: (make_input(**fixed, **sizes),),
        dynamic_axes={family.input_name: {axes.index(s): s for s in family.axes}},
        traced={s: family.traced[s] for s in family.axes},
        sizes=tuple({s: sizes[s] for s in family.axes} for sizes in family.sizes),
    )


class _Flow(torch.nn.Module):
    """RAFT with few updates of its flow, the last of which it gives."""

    def __init__(self, raft: torch.nn.Module) -> None:
        super().__init__()
        self.raft = raft

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> Any:
        return self.raft(first, second, num_flow_updates=3)[-1]


def _optical_flow(name: str) -> ModelCase:
    def inputs(B: int, H: int, W: int) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: N803
        return _images(B, H, W), _images(B, H, W)

    axes = {0: "B", 2: "H", 3: "W"}
    return ModelCase(
        name=name,
        make=lambda: random_weights(lambda: _Flow(_get_model(name)), *inputs(3, 128, 128)),
        inputs=inputs,
        dynamic_axes={"first": axes, "second": axes},
        traced={"B": 2, "H": 128, "W": 136},
        sizes=({"B": 1, "H": 144, "W": 128}, {"B": 3, "H": 128, "W": 152}),
    )


class _Heads(torch.nn.Module):
    """A detector up to where shapes depend on the data: backbone, pyramid and dense heads."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone = detector.backbone
        self.head = detector.rpn.head if hasattr(detector, "rpn") else detector.head

    def forward(self, x: torch.Tensor) -> Any:
        features = self.backbone(x)
        levels = [features] if isinstance(features, torch.Tensor) else list(features.values())
        return self.head(levels)


class _Detector(torch.nn.Module):
    """A detector whole, of one image."""

    def __init__(self, detector: torch.nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: torch.Tensor) -> Any:
        return self.detector([x[0]])


def _detection(name: str) -> Iterator[ModelCase]:
    def get() -> torch.nn.Module:
        return _get_model(name, **_UNTRAINED)

    family = next(f for f in _HEADS if name.startswith(f.prefix))
    heads = _case(name, family, _images, "BCHW")
    images = partial(
        _images, _IMAGES if family.prefix else 4, family.traced["H"], family.traced["W"]
    )
    yield replace(
        heads,
        name=f"{name}, heads",
        make=lambda: random_weights(lambda: _Heads(get()), images()),
    )
    yield replace(_case(name, _WHOLE, _images, "BCHW"), make=lambda: _Detector(get()).eval())


CASES = (
    *_cases(library, _CLASSIFIERS),
    *_cases(library.segmentation, _SEGMENTATION),
    *_cases(library.video, _VIDEO, _clips, "BCTHW"),
    *map(_optical_flow, library.list_models(module=library.optical_flow)),
    *chain.from_iterable(map(_detection, library.list_models(module=library.detection))),
)

#: Models that are refused, and a part of the message that says why.
REFUSED: Mapping[str, str] = {
    # Boxes are chosen, and how many there are depends on the image.
    **dict.fromkeys(library.list_models(module=library.detection), "data-dependent"),
}
