"""What an HTML page holds, for tests of pages."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}
OUTSIDE = r"@import|url\(\s*['\"]?https?:"  # what a style would fetch


class Page(HTMLParser):
    """Open tags, addresses and ids of a page."""

    def __init__(self):
        super().__init__()
        self.stack, self.links, self.ids, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.links += [attrs[k] for k in ("src", "srcset", "href", "xlink:href", "data", "action") if k in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def parsed(text, links=()):
    """A page's parts; every tag is closed, and nothing but the page itself and these links is referred to."""
    page = Page()
    page.feed(text)
    assert page.stack == []
    assert all(link.startswith(("#", "data:")) or link in links for link in page.links), page.links
    assert not re.search(OUTSIDE, text)
    return page
