"""What pages load is joined, cut down and put off, and does the same as before."""

import pytest

from tools.play.alone import extension


@pytest.fixture(scope="module")
def lighter():
    return extension("lighter")


def test_rules_of_icons_that_no_page_names_go(lighter):
    sun, gear = '.fa-sun:before{content:"\\f185"}', '.fa-gear:before,.fa-cog:before{content:"\\f013"}'
    style = f'.a{{b:c}}{sun}{gear}.fa-x:before{{content:"x"}}'
    assert lighter.named_rules(style, {"cog"}) == style.replace(sun, "")


def test_joined_sheets_keep_their_order_their_imports_and_their_pictures(lighter, tmp_path):
    styles = tmp_path / "_static" / "styles"
    styles.mkdir(parents=True)
    (tmp_path / "_static" / "basic.css").write_text("p { color: red; background: url(dot.png) }")
    (styles / "theme.css").write_text('/* first */\n@import "../basic.css";\n.b{src:url(../vendor/a.ttf) format("x")}')
    (styles / "own.css").write_text('@charset "UTF-8";p{color:blue;x:url("data:image/svg+xml,<a>")}')
    joined = lighter.join_sheets(["_static/styles/theme.css", "_static/styles/own.css"], tmp_path)
    assert "@" not in joined
    assert "/*" not in joined
    assert joined.index("red") < joined.index("vendor") < joined.index("blue")
    assert "url(dot.png)" in joined
    assert "url(vendor/a.ttf)" in joined
    assert 'url("data:image/svg+xml,<a>")' in joined


PAGE = """<head>
    <link href="../_static/styles/theme.css?digest=1" rel="stylesheet" />
    <link rel="stylesheet" type="text/css" href="../_static/book.css?v=2" />
    <link rel="icon" href="../_static/favicon.svg"/>
    <script defer src="../_static/scripts/fontawesome.js?digest=1"></script>
    <script src="../_static/documentation_options.js?v=9"></script>
    <script data-a="b" src="../_static/tabs.js"></script>
    <script defer="defer" src="../_static/mathjax/tex.js"></script>
    <script src="../_static/searchtools.js"></script>
    <script src="../searchindex.js"></script>
  </head><body><script src="kept.js"></script></body>"""


def test_a_page_loads_less_and_later_and_the_same_again_changes_nothing(lighter):
    told = {"top": "../", "version": "7", "options": "const A = 1;", "searches": False}
    light = lighter.light_page(PAGE, **told)
    assert light.count('rel="stylesheet"') == 1
    assert '<link rel="stylesheet" href="../_static/joined.css?v=7" />' in light
    assert "favicon" in light
    assert "fontawesome" not in light
    assert "search" not in light
    assert "<script>const A = 1;</script>" in light
    assert '<script defer data-a="b" src="../_static/tabs.js"></script>' in light
    assert '<script src="kept.js">' in light
    assert lighter.light_page(light, **told) == light
    assert "searchindex" in lighter.light_page(PAGE, **told | {"searches": True})


def test_words_on_a_card_are_cut_between_words_and_between_chinese_characters():
    cards = extension("cards")

    class Font:
        def getlength(self, text):
            return len(text)

    assert cards.wrapped("one two three", Font(), 7) == ["one two", "three"]
    assert cards.wrapped("贝叶斯神经网络", Font(), 3) == ["贝叶斯", "神经网", "络"]


def test_a_picture_has_its_size_on_the_page(tmp_path):
    from PIL import Image

    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    sized = extension("pictures").sized
    page = '<img alt="x" src="a.png"><img alt="y" src="gone.png"><img width="3" src="a.png">'
    known = '<img width="30" height="20" style="--wide: 30px" alt="x" src="a.png">'
    assert sized(page, tmp_path) == known + page.partition(">")[2]
    assert sized(sized(page, tmp_path), tmp_path) == sized(page, tmp_path)
