"""The report in a browser: no console error, tables that sort, tabs that switch, pictures that are there."""

import json
import re
import shutil
import subprocess

import pytest

from helpers.made_up_grid import add_grid
from helpers.made_up_study import BACKBONES, make_inputs, settings
from waferbench.report.synthesis import read_study, render_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WATCH = (
    '<script>window.bad = []; addEventListener("error", function (e) { bad.push(String(e.message)); }, true);</script>'
)
PROBE = """<script>
addEventListener("load", function () {
  var table = document.querySelector("#scores table"), column = 2;
  function shown() {
    return Array.from(table.tBodies[0].rows).map(function (row) { return Number(row.cells[column].dataset.v); });
  }
  function press(k) { table.tHead.rows[table.tHead.rows.length - 1].cells[k].querySelector("span").click(); }
  var before = shown();
  press(column);
  var down = shown();
  press(column);
  var up = shown(), tabs = document.querySelectorAll("#backbones .tab");
  document.querySelectorAll("#backbones .pick button")[1].click();
  var images = Array.from(document.images);
  var result = { bad: bad, before: before, down: down, up: up, images: images.length,
    loaded: images.filter(function (i) { return i.complete && i.naturalWidth > 0; }).length,
    open: Array.from(tabs).map(function (tab) { return !tab.hidden; }),
    figures: document.querySelectorAll("svg[role=img]").length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth };
  var out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify(result);
  document.body.appendChild(out);
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = read_study(add_grid(folder, make_inputs(folder)), settings(), folder)
    render_page(study, folder / "report.html")
    text = (
        (folder / "report.html").read_text().replace("<head>", f"<head>{WATCH}").replace("</body>", f"{PROBE}</body>")
    )
    (folder / "probed.html").write_text(text)
    return folder / "probed.html"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1400, 500])
def test_the_page_works_in_a_browser(page, tmp_path, width):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path}"]
    flags += [f"--window-size={width},2000", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run([BROWSER, *flags, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    seen = json.loads(found[1])
    assert seen["bad"] == []
    assert seen["down"] == sorted(seen["before"], reverse=True) != seen["before"]
    assert seen["up"] == sorted(seen["before"])
    assert seen["images"] == seen["loaded"] > 40 and seen["figures"] > len(BACKBONES)
    assert seen["open"] == [False, True, False], "the second backbone's tab was picked"
    assert seen["wide"] <= 0, "the page itself does not scroll sideways"
