"""The known databases: their sizes, papers, files, and where their authors offer them.

Sizes and scales are those of the papers named; LIVE's 779 and LIVE in the Wild's 1,162 are without
the 203 copies of references and the seven pictures that raters practised on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Layout:
    """What a folder of one database holds."""

    name: str
    """Key in `DATABASES`."""
    title: str
    """Name as the literature writes it."""
    pictures: int
    """Rated pictures that are used."""
    references: int | None
    """Pristine pictures; None where the distortions are authentic."""
    scale: tuple[float, float] | None
    """Ends of the scale of the published scores; None where they are not bounded."""
    tables: tuple[str, ...]
    """The authors' table of scores, the preferred one first; any of them tells the database."""
    folder: str
    """What the folder holds, in words."""
    citation: str
    """Authors, title, year."""
    doi: str | None
    """Of the paper; None where it has none."""
    where: str
    """Page of the authors."""


_LAYOUTS = (
    Layout(
        name="live",
        title="LIVE (release 2)",
        pictures=779,
        references=29,
        scale=None,
        tables=("dmos_realigned.mat", "dmos.mat"),
        folder="jp2k/ jpeg/ wn/ gblur/ fastfading/ refimgs/ dmos_realigned.mat (or dmos.mat)"
        " refnames_all.mat (or info.txt in each folder)",
        citation="H. R. Sheikh, M. F. Sabir, A. C. Bovik: A Statistical Evaluation of Recent Full"
        " Reference Image Quality Assessment Algorithms, IEEE TIP 2006",
        doi="10.1109/TIP.2006.881959",
        where="https://live.ece.utexas.edu/research/quality/subjective.htm (asks for a form)",
    ),
    Layout(
        name="csiq",
        title="CSIQ",
        pictures=866,
        references=30,
        scale=(0.0, 1.0),
        tables=("csiq.DMOS.xlsx",),
        folder="src_imgs/ dst_imgs/{awgn,blur,contrast,fnoise,jpeg,jpeg2000}/ csiq.DMOS.xlsx",
        citation="E. C. Larson, D. M. Chandler: Most Apparent Distortion: Full-reference Image"
        " Quality Assessment and the Role of Strategy, Journal of Electronic Imaging 2010",
        doi="10.1117/1.3267105",
        where="https://s2.smu.edu/~eclarson/csiq.html",
    ),
    Layout(
        name="tid2008",
        title="TID2008",
        pictures=1700,
        references=25,
        scale=(0.0, 9.0),
        tables=("mos_with_names.txt",),
        folder="distorted_images/ reference_images/ mos_with_names.txt mos_std.txt",
        citation="N. Ponomarenko et al.: TID2008 - A Database for Evaluation of Full-reference"
        " Visual Quality Assessment Metrics, Advances of Modern Radioelectronics 2009",
        doi=None,
        where="https://www.ponomarenko.info/tid2008.htm",
    ),
    Layout(
        name="tid2013",
        title="TID2013",
        pictures=3000,
        references=25,
        scale=(0.0, 9.0),
        tables=("mos_with_names.txt",),
        folder="distorted_images/ reference_images/ mos_with_names.txt mos_std.txt",
        citation="N. Ponomarenko et al.: Image Database TID2013: Peculiarities, Results and"
        " Perspectives, Signal Processing: Image Communication 2015",
        doi="10.1016/j.image.2014.10.009",
        where="https://www.ponomarenko.info/tid2013.htm",
    ),
    Layout(
        name="kadid10k",
        title="KADID-10k",
        pictures=10125,
        references=81,
        scale=(1.0, 5.0),
        tables=("dmos.csv",),
        folder="images/ dmos.csv",
        citation="H. Lin, V. Hosu, D. Saupe: KADID-10k: A Large-scale Artificially Distorted IQA"
        " Database, QoMEX 2019",
        doi="10.1109/QoMEX.2019.8743252",
        where="https://database.mmsp-kn.de/kadid-10k-database.html",
    ),
    Layout(
        name="livec",
        title="LIVE in the Wild",
        pictures=1162,
        references=None,
        scale=(0.0, 100.0),
        tables=("Data/AllImages_release.mat",),
        folder="Images/ Data/AllImages_release.mat Data/AllMOS_release.mat"
        " Data/AllStdDev_release.mat",
        citation="D. Ghadiyaram, A. C. Bovik: Massive Online Crowdsourced Study of Subjective and"
        " Objective Picture Quality, IEEE TIP 2016",
        doi="10.1109/TIP.2015.2500021",
        where="https://live.ece.utexas.edu/research/ChallengeDB/ (asks for a form)",
    ),
    Layout(
        name="koniq10k",
        title="KonIQ-10k",
        pictures=10073,
        references=None,
        scale=(0.0, 100.0),
        tables=("koniq10k_distributions_sets.csv", "koniq10k_scores_and_distributions.csv"),
        folder="1024x768/ (or 512x384/) koniq10k_distributions_sets.csv (which has the official"
        " split) or koniq10k_scores_and_distributions.csv",
        citation="V. Hosu, H. Lin, T. Sziranyi, D. Saupe: KonIQ-10k: An Ecologically Valid Database"
        " for Deep Learning of Blind Image Quality Assessment, IEEE TIP 2020",
        doi="10.1109/TIP.2020.2967829",
        where="https://database.mmsp-kn.de/koniq-10k-database.html",
    ),
)

DATABASES: Mapping[str, Layout] = MappingProxyType({layout.name: layout for layout in _LAYOUTS})
"""Every known database by its name."""


def download_help() -> str:
    """Where each database is obtained and what its folder must hold, as text for a terminal."""
    parts = [
        "The databases are offered by their authors, under their terms. Unpack the archive and give"
        " the folder.\nAny other rated pictures: a CSV file with image,score[,reference]"
        "[,reference_file][,distortion][,level][,std][,set], or counts c1,c2,... of the ratings for"
        " the score."
    ]
    for layout in DATABASES.values():
        versions = f" of {layout.references} references" if layout.references else ""
        paper = f"{layout.citation}{f', doi:{layout.doi}' if layout.doi else ''}"
        parts.append(
            f"{layout.name}: {layout.title}, {layout.pictures:,} pictures{versions}\n"
            f"  from    {layout.where}\n  folder  {layout.folder}\n  paper   {paper}"
        )
    return "\n\n".join(parts) + "\n"
