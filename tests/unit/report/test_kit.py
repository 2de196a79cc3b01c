"""What pages of all tracks share: one file each, whatever names it is given, and the page that links them."""

from types import SimpleNamespace

import pytest

from helpers.pages import parsed
from waferbench.config.study import Dataset, StudySettings
from waferbench.report.kit.figures import INK, clean, colours, panels, sheet, svg
from waferbench.report.kit.index import write_index
from waferbench.report.kit.origins import cost
from waferbench.report.kit.page import Frame, write_page
from waferbench.report.kit.tables import BLANK, Cell, Table, gap, name, number, spread
from waferbench.report.kit.words import duration, listed
from waferbench.tracks import all_tracks

HOSTILE = '<script>alert(1)</script>"\' onload="x" {{ 1 }} {% raw %} $x$ & </style>'
TEMPLATE = """{% extends "kit/page.html.j2" %}
{% import "kit/macros.html.j2" as ui with context %}
{% block nav %}{{ ui.links([("answer", named, table), ("hidden", "Hidden", none)]) }}{% endblock %}
{% block main %}{% include "part.html.j2" %}{% endblock %}
{% block made_from %}<p>{{ named }}</p>{% endblock %}
"""
PART = """{% import "kit/macros.html.j2" as ui with context %}
<section class="card" id="answer"><h2>{{ named }}</h2>
{{ ui.draw(table, named) }}{{ ui.plot(figure) }}{{ ui.draw_tabs({named: table, "b": table}, named) }}
{{ ui.key([(named, "#123456")]) }}{% call ui.key([]) %}<span>{{ named }}</span>{% endcall %}
{{ ui.strip(named, "data:,", named, kind="real", below=named, note=named) }}{{ ui.strip(named, "", named) }}
{{ ui.thumb("data:,", named) }}{{ ui.thumb("", named) }}
</section>
"""


@pytest.fixture
def template(tmp_path):
    folder = tmp_path / "track"
    folder.mkdir()
    (folder / "part.html.j2").write_text(PART)
    (folder / "page.html.j2").write_text(TEMPLATE)
    return folder / "page.html.j2"


def table(text):
    cell = Cell(text, note=text, title=text, tone="best", heat=0.5)
    return Table([text, text], [[name(text, text), cell]], [(text, 2)], "heat", [[name(text), BLANK]])


def figure(text):
    with sheet(12, 6) as drawn:
        for axes in panels(drawn, 3, 2):
            axes.plot([0, 1], [0, 1], color=colours([text])[text], label=text)
            axes.set_title(text, color=INK)
            axes.legend()
            clean(axes)
        return svg(drawn, text)


def frame(text, **more):
    settings = StudySettings(dataset=Dataset(classes=(text, "b"))).model_copy(update={"study": text})
    runs = [{"rule": text, "seconds": 1.0, "device": text}]
    origins = {text: {"rule": text, "code": text}}
    tiles = [(text, text, text, "good")]
    return Frame(text, text, [text, text], settings, tiles, [text], runs, origins, **more)


def page(template, text, **more):
    output = template.parent.parent / "page.html"
    write_page(template, output, frame(text, **more), {"named": text, "table": table(text), "figure": figure(text)})
    return output.read_text()


def test_a_page_is_one_file_and_escapes_whatever_it_is_given(template):
    found, plain = (parsed(page(template, text)) for text in (HOSTILE, "plain"))
    assert found.tags == plain.tags, "no name has made a tag of its own"
    assert found.tags.count("script") == 1
    assert {"cautions", "answer", "cost", "provenance"} <= set(found.ids)
    assert [link for link in found.links if link.startswith("#")][:3] == ["#answer", "#cost", "#provenance"]
    text = page(template, HOSTILE)
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text and "{{ 1 }}" in text
    assert page(template, HOSTILE) == text, "equal content, equal bytes"
    assert not list(template.parent.parent.glob(".*")), "nothing is left of the writing"


def test_a_warning_stands_above_all_that_it_holds_for(template):
    assert 'class="warning"' not in page(template, "plain")
    text = page(template, "plain", warning="not to be trusted")
    assert text.count('<p class="warning">not to be trusted</p>') == 5, "the head, a table, a figure, two tabs"
    parsed(text)


def test_what_is_not_known_is_left_out(template):
    settings = StudySettings()
    output = template.parent / "page.html"
    write_page(template, output, Frame("s", "Why?", [], settings), {"named": "n", "table": table("t"), "figure": ""})
    found = parsed(output.read_text())
    assert not {"cautions", "cost"} & set(found.ids) and "#cost" not in found.links
    assert cost([]) is None


def test_a_page_that_fails_leaves_the_one_before(template):
    before = page(template, "plain")
    (template.parent / "part.html.j2").write_text("{{ missing }}")
    with pytest.raises(Exception, match="missing"):
        page(template, "plain")
    assert (template.parent.parent / "page.html").read_text() == before


def test_the_costs_say_which_were_paid_elsewhere():
    run = {"rule": "train_gan", "seconds": 60, "device": "cpu"}
    parts = cost([{**run, "job": "fit-0"}, {**run, "job": "fit-0"}, run]).rows[0]
    assert parts[1].text == "2", "a job of two parts, and one that is whole"
    both = cost([run, {**run, "fetched": "2026-01-01T00:00:00"}])
    assert both.rows[0][0].note == "1 computed before, at what they cost" and both.rows[0][1].text == "2"
    assert cost([run]).rows[0][0].note == ""


def test_cells():
    assert number(None) is BLANK and number(float("nan")) is BLANK and number(-1.5, ".1f").text == "−1.5"
    assert (gap(0.02, 0.01, 0.03, "n").tone, gap(0.02, 0.01, 0.03, "n").note) == ("good", "+1.0 to +3.0; n")
    assert [gap(-0.02, -0.03, high).tone for high in (-0.01, 0.01)] == ["bad", ""] and gap(None, 0, 1) is BLANK
    assert [spread(0.1), spread(None, (0.1, 0.2)), spread(None)] == ["± 0.1000", "0.100 to 0.200", "one fold"]
    assert [listed(list(names)) for names in ("", "a", "ab", "abc")] == ["none", "a", "a and b", "a, b and c"]
    assert [duration(s) for s in (0.21, 59, 61, 3725)] == ["0.2 s", "59 s", "1 min 1 s", "1 h 2 min"]


def track(name, **more):
    facts = {"name": name, "question": f"What of {name}?", "page": f"{name}.html", "target": f"make_{name}"}
    return SimpleNamespace(**facts | more)


def test_the_index_links_what_is_there_and_says_how_the_rest_is_made(tmp_path):
    (tmp_path / "a.html").touch()
    tracks = [track("a"), track("b"), track("c", page="deep/c d.html")]
    write_index(tmp_path, tracks)
    text = (tmp_path / "index.html").read_text()
    found = parsed(text, links=["a.html"])
    assert found.links.count("a.html") == 1 and "script" not in found.tags
    assert all(track.question in text for track in tracks)
    assert "snakemake make_b --cores 8 --resources gpu=1" in text and "make_a" not in text
    assert text.count("<pre>") == 2
    write_index(tmp_path, tracks)
    assert (tmp_path / "index.html").read_text() == text
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c d.html").touch()
    write_index(tmp_path, tracks)
    assert "deep/c%20d.html" in parsed((tmp_path / "index.html").read_text(), links=["a.html", "deep/c%20d.html"]).links


def test_the_index_escapes_names(tmp_path):
    folder = tmp_path / "<b>study & co"
    folder.mkdir()
    (folder / "a.html").touch()
    hostile = [track("a", question=HOSTILE), track(HOSTILE, target=HOSTILE), track("c", page="javascript:alert(1)")]
    write_index(folder, hostile)
    text = (folder / "index.html").read_text()
    assert "script" not in parsed(text, links=["a.html"]).tags and "&lt;b&gt;study &amp; co" in text
    (folder / "javascript:alert(1)").touch()
    write_index(folder, hostile)
    assert "javascript:" not in (folder / "index.html").read_text()


def test_without_a_page_there_is_no_index(tmp_path):
    write_index(tmp_path, [track("a")])
    assert not list(tmp_path.iterdir())


def test_the_tracks_of_the_workbench_have_an_index(tmp_path):
    tracks = all_tracks()
    (tmp_path / tracks[0].page).touch()
    write_index(tmp_path, tracks)
    assert tracks[0].page in parsed((tmp_path / "index.html").read_text(), links=[t.page for t in tracks]).links
