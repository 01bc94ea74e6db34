"""The language of the words that figures add by themselves, and a font that can write it.

Used by the chapter `book/pymc/zh`. The companion brings a font with the 3,755 most common Chinese characters, so that
Chinese figures look the same on every machine. Where neither it nor another Chinese font is to be had, figures speak
English instead of showing a row of empty boxes.
"""

from __future__ import annotations

from importlib.resources import as_file, files

import matplotlib as mpl
from matplotlib import font_manager

from companion.errors import ModelError, notice

__all__ = ["say", "speak", "words"]

LATIN = "DejaVu Sans"
OURS = "NotoSansCJKsc-subset.otf"
OTHERS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
)

CHINESE = {
    "class 0": "类别 0",
    "class 1": "类别 1",
    "predicted {}": "预测为{}",
    "wrong ({})": "判错（{} 个）",
    "step": "步数",
    "loss: negative ELBO (nats)": "损失：负 ELBO（奈特）",
    "mean of each weight": "各权重的均值",
    "scale of each weight": "各权重的标准差",
    "posterior predictive probability of class 1": "类别 1 的后验预测概率",
    "weight": "权重",
    "unit {}": "单元 {}",
    "standard deviation": "标准差",
    "density": "密度",
    "draw": "样本序号",
    "rank among all draws": "在全部样本中的名次",
    "draws of one chain": "一条链的样本数",
}
"""English phrases of the figures of `companion.plots`, and their Chinese translations."""

_spoken = "en"


def speak(language: str = "en") -> str:
    """Let figures speak a language from now on, and set matplotlib's fonts for it.

    Parameters
    ----------
    language
        Language of the figures, "en" or "zh".

    Returns
    -------
    str
        Language that figures will speak: "en" where no font has Chinese characters, with a `CompanionWarning`.

    Raises
    ------
    ModelError
        If the language is another.
    """
    global _spoken
    if language not in ("en", "zh"):
        raise ModelError(f"language={language!r}; figures speak 'en' or 'zh'.")
    family = _chinese_family() if language == "zh" else None
    if language == "zh" and family is None:
        notice(
            "no font with Chinese characters was found, so the figures speak English. Reinstall the companion, which "
            "brings one, or install Noto Sans CJK."
        )
        language = "en"
    mpl.rcParams["font.family"] = [LATIN] if family is None else [LATIN, family]
    _spoken = language
    return language


def say(english: str, *values: object) -> str:
    """Translate one of the figures' phrases into the language spoken; one without a translation stays English."""
    phrase = CHINESE.get(english, english) if _spoken == "zh" else english
    return phrase.format(*values) if values else phrase


def words(*, en: str, zh: str) -> str:
    """Choose, of two wordings of a phrase, the one in the language that figures speak.

    Parameters
    ----------
    en, zh
        Phrase in English and in Chinese.
    """
    return zh if _spoken == "zh" else en


def _chinese_family() -> str | None:
    """Return the name of a font family for Chinese, the companion's own or one of the machine's; None without any."""
    try:
        with as_file(files("companion.plots") / "fonts" / OURS) as path:
            known = {entry.fname: entry.name for entry in font_manager.fontManager.ttflist}
            if str(path) not in known:
                font_manager.fontManager.addfont(path)
            return str(font_manager.FontProperties(fname=path).get_name())
    except (OSError, RuntimeError):  # the file is missing, or not a font
        installed = set(font_manager.get_font_names())
        return next((family for family in OTHERS if family in installed), None)
