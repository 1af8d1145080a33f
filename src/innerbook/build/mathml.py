"""Formulas as MathML, which browsers draw by themselves: no script, no font and no request is needed.

The converter knows what the parts of a formula are; TeX's spaces between them, and what browsers lack, are added here.
"""

import re
from unicodedata import category
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_SPACE = "http://www.w3.org/1998/Math/MathML"
_THIN = "0.167em"
_FENCES, _SIGNS, _CLOSING, _PRIMES = "|‖", "−+±", ")]}|‖", "′″‴"  # noqa: RUF001
# Browsers draw no other alphabets by attribute: these letters have characters of their own, from A on.
_ALPHABETS = {"double-struck": 0x1D538, "sans-serif": 0x1D5A0}
# What the converter does not know, or takes for a letter.
_OTHERWISE = {r"\arg": r"\operatorname{arg}", r"\perp": r"\bot"}
_LIMITS = {"max", "min"}


def from_tex(tex: str, display: str = "inline") -> str:
    """Return a formula as a ``math`` element, which keeps the TeX as its alternative text.

    Args:
        tex: the formula, without dollar signs.
        display: ``"inline"``, or ``"block"`` for a formula with lines of its own.

    Raises:
        ValueError: the formula holds a command that the converter does not know, or is not complete.
    """
    known = re.sub(r"\\[A-Za-z]+", lambda command: _OTHERWISE.get(command[0], command[0]), tex)
    try:
        root = ElementTree.fromstring(convert(known, display=display))
    except Exception as error:  # the converter has a class of its own for each
        raise ValueError(f"expected a formula in LaTeX; received {tex!r}, {type(error).__name__}: {error}") from error
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SPACE}}}")
        if "\\" in (element.text or ""):
            raise ValueError(f"expected a formula in LaTeX; received {tex!r}, and {element.text} is not known")
    for element in list(root.iter()):
        _set_letters(element)
    for row in list(root.iter()):
        _set_row(row, display)
    root.set("alttext", " ".join(tex.split()))
    return ElementTree.tostring(root, encoding="unicode")


def _set_letters(element: Element) -> None:
    """Give letters of other alphabets their own characters, signs their element, and names of functions theirs."""
    text = element.text or ""
    start = _ALPHABETS.get(element.get("mathvariant", ""))
    if start and text.isupper():
        element.text = chr(start + ord(text) - ord("A"))
        element.attrib.clear()
    elif element.tag == "mi" and len(text) == 1 and category(text) == "Sm" and text != "∞":
        element.tag = "mo"
    elif element.tag == "mo" and len(text) > 1 and text.isalpha() and text != "mod":
        element.tag = "mi"


def _set_row(row: Element, display: str) -> None:
    """Set the spaces between the parts of a row as TeX does."""
    _join(row)
    for part in list(row):
        _set_prime(row, part)
        _set_bracket(row, part)
    parts = list(row)
    for before, part in zip([None, *parts], parts, strict=False):
        text = part.text or ""
        if part.tag == "mo" and text in _FENCES:
            part.attrib = {"lspace": "0", "rspace": "0"} | (part.attrib or {"stretchy": "false"})
        if part.tag == "mo" and text == "/":
            part.attrib = {"lspace": "0", "rspace": "0"}
        if part.tag == "mo" and text in _SIGNS and _begins(before):
            part.set("form", "prefix")
        if part.tag == "msub" and display == "block" and part[0].text in _LIMITS:
            part.tag = "munder"
    if row.tag not in ("math", "mrow", "mstyle", "mtd", "msqrt"):
        return
    for before, part, after in zip([None, *parts], parts, [*parts[1:], None], strict=False):
        if _is_function(part):
            if before is not None and before.tag != "mspace" and not _begins(before) and not _is_function(before):
                _insert(row, part, before=True)
            if after is not None and (after.tag != "mo" or (after.text or "") in _FENCES):
                _insert(row, part, before=False)


def _join(row: Element) -> None:
    """Join 54, a comma in braces and 000 to one number, and letters that stand upright to one name."""
    for part in list(row):
        at = list(row).index(part)
        before, after = (row[at - 1] if at else None), (row[at + 1] if at + 1 < len(row) else None)
        lone = part[0] if part.tag == "mrow" and len(part) == 1 else part
        if before is not None and after is not None and lone is not part and lone.text == ",":
            if before.tag == after.tag == "mn":
                after.text = f"{before.text},{after.text}"
                row.remove(before)
                row.remove(part)
        elif after is not None and part.get("mathvariant") == after.get("mathvariant") == "normal":
            after.text = f"{part.text}{after.text}"
            row.remove(part)


def _set_prime(row: Element, part: Element) -> None:
    """Set a prime beside its letter: fonts have it raised already, and as an exponent it would be a speck."""
    if part.tag in ("msup", "msubsup") and set(part[-1].text or "") <= set(_PRIMES) and part[-1].text:
        prime = part[-1]
        part.remove(prime)
        prime.tag, prime.attrib = "mo", {"lspace": "0", "rspace": "0", "form": "postfix"}
        whole = part[0] if part.tag == "msup" else part
        part.tag = "msub"
        group = Element("mrow")
        group.extend([whole, prime])
        row[list(row).index(part)] = group


def _set_bracket(row: Element, part: Element) -> None:
    """Let an index or exponent of a large bracket belong to all within: browsers enlarge no bracket that has one."""
    if part.tag in ("msub", "msup", "msubsup") and "minsize" in part[0].attrib:
        within = list(row)[: list(row).index(part)]
        opens = max((i for i, other in enumerate(within) if "minsize" in other.attrib), default=None)
        if opens is not None:
            group = Element("mrow")
            group.extend([*within[opens:], part[0]])
            part[0] = group
            for other in within[opens:]:
                row.remove(other)


def _begins(before: Element | None) -> bool:
    """Whether what follows this element begins a term: a sign there has no room to its right."""
    return before is None or before.tag == "mspace" or (before.tag == "mo" and (before.text or "") not in _CLOSING)


def _is_function(element: Element | None) -> bool:
    """Whether this is a name of several letters, such as log, alone or with an index or a prime."""
    while element is not None and element.tag in ("msub", "msup", "msubsup", "munder", "mrow") and len(element):
        if element.tag == "mrow" and len(element) > 1:
            return False
        element = element[0]
    text = "" if element is None or element.tag != "mi" else element.text or ""
    return len(text) > 1 and text.isalpha()


def _insert(row: Element, part: Element, *, before: bool) -> None:
    row.insert(list(row).index(part) + (not before), Element("mspace", {"width": _THIN}))


def _written(node: nodes.Node, display: str = "inline") -> str:
    try:
        return from_tex(node.astext(), display)
    except ValueError as error:  # the build fails for a warning, and names the page
        logging.getLogger(__name__).warning(str(error), location=node)
        return ""


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(f"{_written(node)}</span>")
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula with lines of its own, and its number where it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(f"{_written(node, 'block')}</div>\n")
    raise nodes.SkipNode
