"""Train the blind denoiser of distortion 15 on a folder of photographs.

Every fifth photograph is held out and reported on. A stopped run continues with the same command.
A batch is shared by all devices; XLA_FLAGS=--xla_force_host_platform_device_count=2 makes two
devices of a processor with two cores, which is nearly twice as fast.
The package ships what this wrote: copy denoiser.npz and denoiser.json to distortions/data.

Example, hours on two cores:
    python -m scripts.train_denoiser --photographs PHOTOS --out denoiser --steps 22000
"""

from collections.abc import Sequence

from deepfl.command_line import parse, run_script
from mtl.denoising.denoiser import RECORD_FILE, WEIGHTS_FILE, DenoiserConfig, train_denoiser
from mtl.runtime.progress import say


def main(arguments: Sequence[str]) -> None:
    """Run the training."""
    config = parse(
        DenoiserConfig,
        arguments,
        program="python -m scripts.train_denoiser",
        description=__doc__ or "",
    )
    record = train_denoiser(config, progress=True)
    for sigma, value in record["psnr_held_out_db"].items():
        say(f"noise {sigma:>4}: {value:.2f} dB on photographs held out")
    say(f"{config.out}: {WEIGHTS_FILE} and {RECORD_FILE}")


if __name__ == "__main__":
    run_script(main, "train_denoiser")
