"""A Sphinx extension for a book in English with a chapter in Chinese.

- `page_languages` in the configuration maps pages to their language, which becomes the ``lang`` of the page's
  ``<html>``: a browser then chooses the right font and voice, and does not offer to translate.
- Search knows Chinese words. Chinese writes no spaces, so Sphinx would take everything between two commas for one
  word. Here each run of Chinese characters is indexed as its single characters and its pairs, and a query is cut into
  pairs too: whatever is typed, two characters or ten, is found where all its pairs stand.
"""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

HAN = re.compile("([\u3400-\u4dbf\u4e00-\u9fff]+)")


class SearchEnglishAndChinese(SearchEnglish):
    """English words as Sphinx finds them, and Chinese ones."""

    lang = "en_zh"
    js_splitter_code = r"""
var splitQuery = (query) => query
    .split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu)
    .flatMap(word => word.split(/([\u3400-\u4dbf\u4e00-\u9fff]+)/))
    .flatMap(run => /^[\u3400-\u4dbf\u4e00-\u9fff]{2,}$/.test(run)
        ? Array.from({length: run.length - 1}, (_, i) => run.slice(i, i + 2))
        : [run])
    .filter(term => term);
"""

    def split(self, input: str) -> list[str]:
        """Cut a text into the words to be indexed."""
        words: list[str] = []
        for word in super().split(input):
            for run in filter(None, HAN.split(word)):
                if HAN.fullmatch(run):
                    words += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
                else:
                    words.append(run)
        return words

    def word_filter(self, word: str) -> bool:
        """Keep single Chinese characters, which English rules would drop."""
        return bool(HAN.fullmatch(word)) or super().word_filter(word)


def _set_language(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    context["language"] = app.config.page_languages.get(pagename, context.get("language"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("page_languages", {}, "html")
    app.add_search_language(SearchEnglishAndChinese)
    app.connect("html-page-context", _set_language)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
