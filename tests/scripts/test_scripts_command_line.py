"""How a command line becomes a configuration."""

import pytest

from deepfl.command_line import parse
from mlsp.comparisons.networks_config import NetworksConfig
from mtl.training.opinions.config import FinetuneConfig


@pytest.mark.parametrize(
    ("config", "given", "found"),
    [
        (FinetuneConfig, ["--network", "efficientnet-lite0"], "efficientnet_lite0"),
        (FinetuneConfig, [], None),
        (NetworksConfig, ["--network", "nasnet-mobile", "vgg16"], ("nasnet_mobile", "vgg16")),
    ],
)
def test_networks_may_be_named_with_hyphens(config, given, found, tmp_path):
    settings = ["ratings-1.csv", "--init", "a-folder", "--out", str(tmp_path / "an-out"), *given]
    parsed = parse(config, settings, program="x", description="", positional=("ratings",))
    assert parsed.network == found and str(parsed.ratings) == "ratings-1.csv"
    assert parsed.init in ("a-folder", ("a-folder",)) and parsed.out.name == "an-out"
