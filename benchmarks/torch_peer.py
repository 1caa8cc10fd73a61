"""The peer: the same network, update and prediction in PyTorch."""

import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.fx.experimental.optimization import fuse

from flaxmark.models.resnet import STAGE_SIZES

Batch = tuple[torch.Tensor, torch.Tensor]


class Block(nn.Module):
    """Basic block or bottleneck with the layout of flaxmark.models.resnet."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        """Build two 3x3 convolutions, or 1x1, 3x3 and 1x1 if `expansion` is 4."""
        super().__init__()
        shapes = [(channels, width, 3, stride), (width, width, 3, 1)]
        if expansion == 4:
            shapes = [(channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        layers: list[nn.Module] = []
        for before, after, size, step in shapes:
            layers += [nn.Conv2d(before, after, size, step, size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width * expansion:
            projection = nn.Conv2d(channels, width * expansion, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(width * expansion))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Output of the block for `[batch, channels, height, width]`."""
        return torch.relu(self.body(x) + self.shortcut(x))


def make_network(depth: int) -> nn.Module:
    """ResNet with a head of 136 units: `[batch, 3, height, width]` to `[batch, 136]`."""
    expansion = 1 if depth < 50 else 4
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for stage, size in enumerate(STAGE_SIZES[depth]):
        for index in range(size):
            width = 64 * 2**stage
            layers.append(Block(channels, width, 2 if stage and not index else 1, expansion))
            channels = width * expansion
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 136))


def seconds_per_step(mode: str, depth: int, size: int, batch: int, steps: int, threads: int) -> float:
    """Median seconds of an update on a fixed batch, after two more steps.

    `mode` is `eager`, `channels_last` or `compile`, which is channels_last too.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = make_network(depth)
    images, target = torch.randn(batch, 3, size, size), torch.rand(batch, 136)
    if mode != "eager":
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    forward = torch.compile(network) if mode == "compile" else network
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        loss = nn.functional.smooth_l1_loss(forward(images), target, beta=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


WARM_UP = 3
"""Steps before the timed ones."""


class TorchTraining:
    """Training with two inputs: `fixed` (one batch on the device) and `fed` (by a DataLoader).

    Attributes:
        about: Device and version.
        compile_seconds: Of `fixed` only, whose first step compiles.
        memory: Peak bytes in use on a CUDA device for each input.
    """

    def __init__(self, mode: str, depth: int, dtype: str, batches: Iterator[Any]) -> None:
        """Compile with the given mode of torch.compile, and make a few steps with each input.

        `dtype` is `bfloat16` (autocast) or `float32`; `batches` yields images `[batch, size, size, 3]` and landmarks
        `[batch, 68, 2]` without end.
        """
        torch.manual_seed(0)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        self._device = torch.device(device_name())
        kind = torch.cuda.get_device_name() if self._device.type == "cuda" else "cpu"
        platform = {"cuda": "gpu"}.get(self._device.type, "cpu")
        self.about = {"version": f"torch {torch.__version__}", "device": kind, "platform": platform, "devices": 1}
        self._cast = torch.autocast(self._device.type, torch.bfloat16, enabled=dtype == "bfloat16")
        network = make_network(depth).to(self._device, memory_format=torch.channels_last)
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=self._device.type == "cuda")

        def loss_of(images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return nn.functional.smooth_l1_loss(network(images).float(), target, beta=0.02)

        self._loss_of = torch.compile(loss_of, mode=mode)
        fresh = on_device(batches, self._device)
        fixed = next(fresh)
        self._inputs: dict[str, Iterator[Batch]] = {"fixed": itertools.repeat(fixed), "fed": fresh}
        start = time.perf_counter()
        self._step(*fixed)
        self._wait()
        self.compile_seconds = {"fixed": time.perf_counter() - start}
        self.memory: dict[str, int | None] = {}
        for name in self._inputs:
            self._forget_peak()
            self.segment(name, 1, 0)
            self.memory[name] = torch.cuda.max_memory_allocated() if self._device.type == "cuda" else None

    def segment(self, name: str, steps: int, seconds: float) -> tuple[int, float]:
        """Train for at least `steps` steps and `seconds` after warming up; return the steps made and their seconds."""
        previous, start = None, 0.0
        for made in itertools.count(1 - WARM_UP):
            self._step(*next(self._inputs[name]))
            # Two steps are in flight, as in flaxmark's loop.
            if previous is not None:
                previous.synchronize()
            previous = self._event()
            if made == 0:
                self._wait()
                start = time.perf_counter()
            elif made >= steps and time.perf_counter() - start >= seconds:
                break
        self._wait()
        return made, time.perf_counter() - start

    def _step(self, images: torch.Tensor, target: torch.Tensor) -> None:
        """Make one update."""
        with self._cast:
            loss = self._loss_of(images, target)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()

    def _event(self) -> Any:
        """Event at the end of the steps dispatched so far; None on a CPU, where steps are synchronous."""
        if self._device.type == "cpu":
            return None
        event = torch.cuda.Event()
        event.record()
        return event

    def _wait(self) -> None:
        """Wait until the device is idle."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _forget_peak(self) -> None:
        """Reset the peak of the memory in use."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()


def device_name() -> str:
    """`cuda` if available, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def on_device(batches: Iterator[Any], device: torch.device) -> Iterator[Batch]:
    """Images `[batch, 3, size, size]`, channels last, and targets; on CUDA the next batch is copied during a step."""
    if device.type == "cpu":
        for images, target in batches:
            yield images.permute(0, 3, 1, 2), target.flatten(1)
        return
    copies, ready = torch.cuda.Stream(), None
    for images, target in batches:
        with torch.cuda.stream(copies):
            on_cuda = (images.to(device, non_blocking=True), target.to(device, non_blocking=True))
        if ready is not None:
            yield ready
        torch.cuda.current_stream().wait_stream(copies)
        for tensor in on_cuda:
            tensor.record_stream(torch.cuda.current_stream())
        ready = on_cuda[0].permute(0, 3, 1, 2), on_cuda[1].flatten(1)


class TorchPredictor:
    """A folded network in evaluation mode, channels last, with crops by Pillow, as is usual in PyTorch."""

    def __init__(self, depth: int, size: int, threads: int) -> None:
        """Build the network with random weights."""
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        folded = fuse(make_network(depth).eval())
        self._network = folded.to(memory_format=torch.channels_last)
        self._size = size

    def inputs(self, images: list[np.ndarray], box: np.ndarray) -> torch.Tensor:
        """Normalised crops of 1.5 times the box, `[batch, 3, size, size]`."""
        side = 1.5 * max(box[2] - box[0], box[3] - box[1])
        left, top = (box[:2] + box[2:]) / 2 + 0.5 - side / 2
        edges, size = (left, top, left + side, top + side), (self._size, self._size)
        crops = [Image.fromarray(p).resize(size, Image.Resampling.BILINEAR, box=edges) for p in images]
        batch = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops])).permute(0, 3, 1, 2)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return (batch.float() / 255 - mean[:, None, None]) / std[:, None, None]

    @torch.inference_mode()
    def predict(self, images: list[np.ndarray], box: np.ndarray) -> np.ndarray:
        """Landmarks in pixels, `[batch, 68, 2]`."""
        side = 1.5 * max(box[2] - box[0], box[3] - box[1])
        units = self._network(self.inputs(images, box)).numpy().reshape(-1, 68, 2)
        return units * side + (box[:2] + box[2:]) / 2 - side / 2
