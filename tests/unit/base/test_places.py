"""Templates and resources are found beside the library, and known by what is in them."""

import shutil

from waferbench.base.places import RESOURCES, TEMPLATES, files_digest


def test_a_clone_has_them_outside_of_the_library():
    assert (TEMPLATES / "kit/page.html.j2").is_file() and (RESOURCES / "weights.yaml").is_file()


def test_a_digest_knows_names_and_contents_and_no_place(tmp_path):
    for name in ("a", "b"):
        shutil.copytree(TEMPLATES / "kit", tmp_path / name / "kit")
    one, other = tmp_path / "a/kit", tmp_path / "b/kit"
    assert files_digest(one) == files_digest(other) != files_digest(one, RESOURCES / "published.yaml")
    (one / ".style.css.swp").write_text("an editor's")
    assert files_digest(one) == files_digest(other)
    style = other / "style.css"
    style.write_text(style.read_text() + "\nbody { color: black; }\n")
    assert files_digest(one) != files_digest(other)
    (one / "style.css").rename(one / "other.css")
    assert files_digest(one) not in (files_digest(other), files_digest(TEMPLATES / "kit"))


def test_files_and_folders_count_in_any_order():
    found = [TEMPLATES / "kit", RESOURCES / "published.yaml"]
    assert files_digest(*found) == files_digest(*reversed(found))
