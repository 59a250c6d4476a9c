"""InceptionResNetV2's 43 pooled activations in plain PyTorch, as `scripts.bench_extract` times it.

Runs in an environment of its own that has torch and numpy and nothing of this project:
    python scripts/torch_inception.py WEIGHTS.npz THREADS
It reads a line of JSON for each task and answers with one. {"images": FILE, "features": FILE} loads
a batch (N, H, W, 3), scaled as the weights expect it, computes it once and stores what came out;
{"time": "first"} or {"time": "last"} answers with the seconds that one more pass over that batch
took with channels first or last in memory.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH_NORM_EPSILON = 1e-3  # Keras' InceptionResNetV2
SCALES = {"block35": 0.17, "block17": 0.10, "block8": 0.20}
STRIDED = {"mixed_6a": {0, 1}, "mixed_7a": {0, 1, 2}}  # chains whose last layer has stride 2


class Network:
    """The network as functions of its weights, which are named as in a model folder."""

    def __init__(self, torch: Any, weights: dict[str, np.ndarray]):
        self.torch, self.f = torch, torch.nn.functional
        self.weights = {
            name: torch.from_numpy(
                np.ascontiguousarray(w.transpose(3, 2, 0, 1) if w.ndim == 4 else w)
            )
            for name, w in weights.items()
        }
        names = [name.split("/") for name in weights]
        self.repeats = {b: 1 + max(int(n[2]) for n in names if n[1] == b) for b in SCALES}

    def chain_lengths(self, path: str) -> list[int]:
        """Layers in each chain of a set of branches."""
        start = f"{path}/chains/"
        places = {
            tuple(map(int, n.removeprefix(start).split("/")[:2]))
            for n in self.weights
            if n.startswith(start)
        }
        return [sum(p[0] == k for p in places) for k in range(1 + max(p[0] for p in places))]

    def unit(self, x: Any, path: str, stride: int = 1, padded: bool = True) -> Any:
        """Convolution, batch normalisation with the running statistics, ReLU."""
        w = self.weights
        kernel = w[f"{path}/conv/kernel"]
        padding = (kernel.shape[2] // 2, kernel.shape[3] // 2) if padded else 0
        x = self.f.conv2d(x, kernel, stride=stride, padding=padding)
        x = self.f.batch_norm(
            x,
            w[f"{path}/norm/mean"],
            w[f"{path}/norm/var"],
            bias=w[f"{path}/norm/bias"],
            eps=BATCH_NORM_EPSILON,
        )
        return self.f.relu_(x)

    def branches(self, x: Any, path: str, name: str = "", pool: str = "") -> Any:
        """The outputs of parallel chains, concatenated."""
        outputs = []
        lengths = self.chain_lengths(path)
        for k, length in enumerate(lengths):
            y = x
            if pool == "average" and k == len(lengths) - 1:
                y = self.f.avg_pool2d(y, 3, 1, 1, count_include_pad=False)
            for layer in range(length):
                strided = k in STRIDED.get(name, ()) and layer == length - 1
                y = self.unit(
                    y, f"{path}/chains/{k}/{layer}", 2 if strided else 1, padded=not strided
                )
            outputs.append(y)
        if pool == "max":
            outputs.append(self.f.max_pool2d(x, 3, 2))
        return self.torch.cat(outputs, dim=1)

    def __call__(self, images: Any) -> Any:
        """Images (N, 3, H, W) to the averages of the 43 activations, (N, 16928)."""
        x = images
        for k, (stride, padded) in enumerate([(2, 0), (1, 0), (1, 1), (1, 0), (1, 0)]):
            x = self.unit(x, f"body/stem/{k}", stride, bool(padded))
            if k in (2, 4):
                x = self.f.max_pool2d(x, 3, 2)
        pooled = []
        for mixed, pool, block in (
            ("mixed_5b", "average", "block35"),
            ("mixed_6a", "max", "block17"),
            ("mixed_7a", "max", "block8"),
        ):
            x = self.branches(x, f"body/{mixed}", mixed, pool)
            pooled.append(x.mean(dim=(2, 3)))
            repeats = self.repeats[block]
            for k in range(repeats):
                path = f"body/{block}/{k}"
                inside = self.branches(x, f"{path}/branches")
                pooled.append(inside.mean(dim=(2, 3)))
                up = self.f.conv2d(
                    inside, self.weights[f"{path}/up/kernel"], self.weights[f"{path}/up/bias"]
                )
                last = block == "block8" and k == repeats - 1
                x = x + (1.0 if last else SCALES[block]) * up
                if not last:
                    x = self.f.relu_(x)
        return self.torch.cat(pooled, dim=1)


def main(weights: str, threads: str) -> None:
    """Answer tasks until the input ends."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(int(threads))
    with np.load(weights, allow_pickle=False) as stored:
        network = Network(torch, {name: stored[name] for name in stored.files})
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    batches: dict[str, Any] = {}
    with torch.inference_mode():
        for line in sys.stdin:
            task = json.loads(line)
            if "images" in task:
                batch = np.load(task["images"], allow_pickle=False).transpose(0, 3, 1, 2)
                images = torch.from_numpy(np.ascontiguousarray(batch))
                np.save(Path(task["features"]), network(images).numpy())
                batches = {
                    "first": images,
                    "last": images.contiguous(memory_format=torch.channels_last),
                }
                for batch in batches.values():  # the first pass chooses how to compute
                    network(batch)
                print(json.dumps({"done": True}), flush=True)
            else:
                began = time.perf_counter()
                network(batches[task["time"]]).numpy()
                print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
