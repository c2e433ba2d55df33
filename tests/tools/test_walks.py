# SPDX-License-Identifier: Apache-2.0
"""The walks in docs/architecture.md name functions; a function that was renamed or removed makes
them lie. Whether the order is right no test can say, but the names can be held."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_functions_of_the_walks_exist():
    doc = (ROOT / "docs/architecture.md").read_text()
    walks = doc[doc.index("## A walk: one CNI ADD"):]
    source = "\n".join(p.read_text() for p in (ROOT / "src").rglob("*.[ch]"))
    defined = set(re.findall(r"^(?:[\w *]+\s\**)?(\w+)\(", source, re.M))
    names = {n for n in re.findall(r"`([a-z]\w*_\w+)`", walks)} | {"take", "wire", "put", "outcome", "dispatch"}
    assert len(names) > 40
    assert not {n for n in names if n not in defined}
