"""What the chapters quote of the posts stands in the posts, and says what the chapters read in it.

The posts are not part of the repository. COMPANION_SOURCES_DIR names a folder that holds them as text.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress

from companion.originals import PRINTED_ELBOS, PRINTED_STEPS
from tools.notebooks.quoted import FIGURES

SOURCES = os.environ.get("COMPANION_SOURCES_DIR")


@pytest.mark.skipif(not SOURCES, reason="COMPANION_SOURCES_DIR names no folder with the posts")
@pytest.mark.parametrize("page", FIGURES)
def test_the_figures_quoted_stand_in_the_source(page):
    source, words = FIGURES[page]
    text = " ".join((Path(SOURCES) / f"{source}.txt").read_text(encoding="utf-8").split())
    assert [word for word in words if " ".join(word.split()) not in text] == []


def test_the_log_of_2016_says_what_the_chinese_chapter_reads_in_it():
    whole, batches = (np.array(PRINTED_ELBOS[name][1:]) for name in ("all rows", "mini-batches"))
    assert len(PRINTED_STEPS) == len(PRINTED_ELBOS["all rows"]) == len(PRINTED_ELBOS["mini-batches"]) == 11
    means, errors = zip(*((a.mean(), a.std(ddof=1) / np.sqrt(len(a))) for a in (whole, batches)), strict=True)
    assert np.round(means, 1).tolist() == [-195.1, -129.9]
    assert np.round(errors, 1).tolist() == [4.0, 16.6]
    line = linregress(np.array(PRINTED_STEPS[1:]) / 10_000, whole)
    assert line.slope < 2 * line.stderr  # no sign of a rise from step 5,000 on
    apart = (means[1] - means[0]) / np.hypot(*errors)
    assert round(apart, 1) == 3.8
