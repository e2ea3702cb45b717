"""A ViT-B/16 whose batch size is free, from PyTorch to tract, in one process.

Exports torchvision's model with a dynamic batch axis, loads the archive, checks it, fixes
the batch at 3, profiles it, and runs the un-fixed model at other batch sizes.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path
from typing import cast

import numpy as np
import torch
from matplotlib import cbook
from PIL import Image
from rich.console import Console
from rich.markup import escape
from torchvision.models import ViT_B_16_Weights, vit_b_16

from torchtract import TractNNEF, errors, export_model_to_nnef, load

console = Console()


def seeded_vit() -> torch.nn.Module:
    """torchvision's ViT-B/16 with random weights. Its head starts as zeros: initialise it too."""
    torch.manual_seed(0)
    model = vit_b_16().eval()
    torch.nn.init.normal_(model.heads.head.weight, std=0.02)
    return cast("torch.nn.Module", model)


def photograph() -> torch.Tensor:
    """Matplotlib's portrait of Grace Hopper as ViT's input: [1, 3, 224, 224], float32."""
    image = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    pixels: torch.Tensor = ViT_B_16_Weights.DEFAULT.transforms()(image)
    return pixels.unsqueeze(0)


def export(model: torch.nn.Module, input_data_sample: torch.Tensor, folder: Path) -> Path:
    file_path_export = folder / "vit_b_16_batchable.nnef.tgz"
    with console.status("capturing, lowering, writing 346 MB, checking at three batch sizes ..."):
        export_model_to_nnef(
            model=model,
            args=input_data_sample,
            file_path_export=file_path_export,
            inference_target=TractNNEF(
                version="0.21.13", check_io=True, dynamic_axes={"input": {0: "B"}}
            ),
            input_names=["input"],
            output_names=["output"],
            debug_bundle_path=folder / "debug.tgz",
        )
    return file_path_export


def graph_lines(path: Path, pattern: str) -> list[str]:
    with tarfile.open(path) as archive:
        member = archive.extractfile("graph.nnef")
        assert member is not None
        lines = member.read().decode().splitlines()
    return [line.strip() for line in lines if re.search(pattern, line)]


def step(text: str) -> None:
    console.print(f"\n[bold]{escape(text)}[/bold]")


def main() -> None:
    model, image = seeded_vit(), photograph()
    with tempfile.TemporaryDirectory() as temporary:
        step("1. Export, with input axis 0 as the symbol B")
        path = export(model, image, Path(temporary))
        console.print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB, equal to PyTorch")

        step("2. What the graph says about B")
        for line in graph_lines(path, r"tract_symbol|tract_core_external"):
            console.print(line, highlight=False, markup=False)

        step("3. Load it: symbols are part of the model's facts")
        vit = load(path)
        console.print(*vit.inputs, *vit.outputs, sep="\n", highlight=False, markup=False)

        step("4. A profile needs numbers, so it is refused while B is free")
        try:
            vit.profile()
        except errors.SymbolError as refusal:
            console.print(str(refusal), style="yellow", markup=False)

        step("5. Fix it: B=3, before compiling")
        fixed = vit.set(B=3)
        console.print(*fixed.inputs, *fixed.outputs, sep="\n", highlight=False, markup=False)
        with console.status("compiling and profiling ..."):
            profile = fixed.profile()
        console.print(profile)

        step("6. Or leave it free: one runnable at any batch size, against PyTorch")
        runnable = vit.compile()
        for batch in (1, 2, 5):
            images = image.repeat(batch, 1, 1, 1) * torch.rand(batch, 1, 1, 1)
            with torch.no_grad(), console.status(f"B={batch} ..."):
                expected = model(images).numpy()
                actual = runnable(images)
            worst = float(np.abs(actual - expected).max())
            same = (actual.argmax(1) == expected.argmax(1)).all()
            console.print(
                f"B={batch}: output {list(actual.shape)}, largest difference {worst:.1e} "
                f"among values up to {np.abs(expected).max():.2f}, same classes: {same}",
                highlight=False,
            )


if __name__ == "__main__":
    main()
