"""The table of metrics, in the order of the DeepFL-IQA paper."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Array, Float

from fr_metrics.add_gsim import add_gsim
from fr_metrics.checked import Checked
from fr_metrics.fsimc import fsimc
from fr_metrics.gmsd import gmsd
from fr_metrics.iw_ssim import iw_ssim
from fr_metrics.mdsi import mdsi
from fr_metrics.ms_ssim import ms_ssim
from fr_metrics.operations.images import Images
from fr_metrics.scqi import scqi
from fr_metrics.sff import sff
from fr_metrics.sr_sim import sr_sim
from fr_metrics.ssim import ssim
from fr_metrics.vsi import vsi


@dataclass(frozen=True)
class Metric:
    """What there is to know about one full-reference metric."""

    name: str
    """Key in :data:`METRICS` and in stored scores."""
    title: str
    """Name as the literature writes it."""
    function: Callable[[Images, Images], Float[Array, "..."]]
    """Scores of reference and distorted images, as :func:`fr_metrics.score` takes and checks them.
    The row is given the formula on checked batches; it comes back behind the checks
    (:class:`fr_metrics.checked.Checked`, which says what holds while JAX is tracing)."""
    higher_is_better: bool
    """Direction: False for metrics that measure a distance."""
    identical: float
    """Score of an image against itself."""
    range: str
    """Scores that occur: an interval, whose round bracket is a value that is not reached, or the
    values met in practice as "A to B". Source: the formula, in the docstring of its function."""
    reference: str
    """DOI of the paper that defines the metric."""
    verified: bool
    """True where the numbers of the authors' own program are reproduced."""
    min_size: int
    """Smallest side in pixels the metric is defined for."""

    def __post_init__(self) -> None:
        formula = self.function.formula if isinstance(self.function, Checked) else self.function
        object.__setattr__(self, "function", Checked(formula, self.name, self.min_size))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "ssim": Metric(
            name="ssim",
            title="SSIM",
            function=ssim,
            higher_is_better=True,
            identical=1.0,
            range="(-1, 1]",
            reference="10.1109/TIP.2003.819861",
            verified=True,
            min_size=11,
        ),
        "ms_ssim": Metric(
            name="ms_ssim",
            title="MS-SSIM",
            function=ms_ssim,
            higher_is_better=True,
            identical=1.0,
            range="[0, 1]",
            reference="10.1109/ACSSC.2003.1292216",
            verified=True,
            min_size=176,
        ),
        "iw_ssim": Metric(
            name="iw_ssim",
            title="IW-SSIM",
            function=iw_ssim,
            higher_is_better=True,
            identical=1.0,
            range="[0, 1]",
            reference="10.1109/TIP.2010.2092435",
            verified=True,
            min_size=176,
        ),
        "mdsi": Metric(
            name="mdsi",
            title="MDSI",
            function=mdsi,
            higher_is_better=False,
            identical=0.0,
            range="0 to 0.7",
            reference="10.1109/ACCESS.2016.2604042",
            verified=True,
            min_size=3,
        ),
        "vsi": Metric(
            name="vsi",
            title="VSI",
            function=vsi,
            higher_is_better=True,
            identical=1.0,
            range="(0, 1]",
            reference="10.1109/TIP.2014.2346028",
            verified=True,
            min_size=3,
        ),
        "fsimc": Metric(
            name="fsimc",
            title="FSIMc",
            function=fsimc,
            higher_is_better=True,
            identical=1.0,
            range="(0, 1]",
            reference="10.1109/TIP.2011.2109730",
            verified=True,
            min_size=3,
        ),
        "gmsd": Metric(
            name="gmsd",
            title="GMSD",
            function=gmsd,
            higher_is_better=False,
            identical=0.0,
            range="0 to 0.35",
            reference="10.1109/TIP.2013.2293423",
            verified=True,
            min_size=3,
        ),
        "sff": Metric(
            name="sff",
            title="SFF",
            function=sff,
            higher_is_better=True,
            identical=1.0,
            range="[-1, 1]",
            reference="10.1109/TIP.2013.2266579",
            verified=False,
            min_size=9,
        ),
        "scqi": Metric(
            name="scqi",
            title="SCQI",
            function=scqi,
            higher_is_better=True,
            identical=1.0,
            range="(0, 1]",
            reference="10.1109/TIP.2016.2545863",
            verified=False,
            min_size=4,
        ),
        "add_gsim": Metric(
            name="add_gsim",
            title="ADD-GSIM",
            function=add_gsim,
            higher_is_better=True,
            identical=1.0,
            range="(0, 1]",
            reference="10.1109/TBC.2015.2511624",
            verified=False,
            min_size=48,
        ),
        "sr_sim": Metric(
            name="sr_sim",
            title="SR-SIM",
            function=sr_sim,
            higher_is_better=True,
            identical=1.0,
            range="(0, 1]",
            reference="10.1109/ICIP.2012.6467149",
            verified=True,
            min_size=3,
        ),
    }
)
"""Every metric by its name, in the paper's order."""
