"""The 43 blocks of InceptionResNetV2 whose pooled activations are the MLSP features.

Hosu, Goldlücke, Saupe: Effective Aesthetics Prediction with Multi-level Spatially Pooled Features,
CVPR 2019, arXiv:1904.01382; used by DeepFL-IQA, arXiv:2001.08113, section IV-C and figure 6. Names
are Keras' layer names; a residual block contributes the concatenation of its branches.
"""

BLOCKS: tuple[tuple[str, int], ...] = (
    ("mixed_5b", 320),
    ("block35_1_mixed", 128),
    ("block35_2_mixed", 128),
    ("block35_3_mixed", 128),
    ("block35_4_mixed", 128),
    ("block35_5_mixed", 128),
    ("block35_6_mixed", 128),
    ("block35_7_mixed", 128),
    ("block35_8_mixed", 128),
    ("block35_9_mixed", 128),
    ("block35_10_mixed", 128),
    ("mixed_6a", 1088),
    ("block17_1_mixed", 384),
    ("block17_2_mixed", 384),
    ("block17_3_mixed", 384),
    ("block17_4_mixed", 384),
    ("block17_5_mixed", 384),
    ("block17_6_mixed", 384),
    ("block17_7_mixed", 384),
    ("block17_8_mixed", 384),
    ("block17_9_mixed", 384),
    ("block17_10_mixed", 384),
    ("block17_11_mixed", 384),
    ("block17_12_mixed", 384),
    ("block17_13_mixed", 384),
    ("block17_14_mixed", 384),
    ("block17_15_mixed", 384),
    ("block17_16_mixed", 384),
    ("block17_17_mixed", 384),
    ("block17_18_mixed", 384),
    ("block17_19_mixed", 384),
    ("block17_20_mixed", 384),
    ("mixed_7a", 2080),
    ("block8_1_mixed", 448),
    ("block8_2_mixed", 448),
    ("block8_3_mixed", 448),
    ("block8_4_mixed", 448),
    ("block8_5_mixed", 448),
    ("block8_6_mixed", 448),
    ("block8_7_mixed", 448),
    ("block8_8_mixed", 448),
    ("block8_9_mixed", 448),
    ("block8_10_mixed", 448),
)

LENGTH = 16928  # numbers per image: the sum of the channels above
