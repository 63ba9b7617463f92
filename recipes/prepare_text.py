"""Fetches the training text and splits it: Jane Austen's six novels, as Debian's package r-cran-janeaustenr ships them.

    python prepare_text.py [--out work]

Writes work/train.txt, work/validation.txt and work/heldout.txt. The novels (1811 to 1818) are in the public domain; the
package around them is MIT. The text is normalised so that a small model does not spend itself on typography: a paragraph is one
line, paragraphs are parted by a blank line, emphasis marks and runs of spaces go, and `CHAPTER` separates chapters
(the tokenizer later turns it into the begin-of-text token).

The held-out text is the end of Pride and Prejudice, the validation text (for choosing settings) the end of Persuasion. Neither is
trained on.
"""

import argparse
import pathlib
import re
import struct
import subprocess
import zlib

PACKAGE = "r-cran-janeaustenr"
DATA = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
# The order in which the database stores the novels, and how many characters from the end of a novel are kept apart (at least;
# a part starts at a chapter).
NOVELS = ["emma", "mansfieldpark", "northangerabbey", "persuasion", "prideprejudice", "sensesensibility"]
KEPT_APART = {"prideprejudice": ("heldout", 64_000), "persuasion": ("validation", 30_000)}
# Between chapters in the written files: a control character that no novel holds.
CHAPTER = "\x1e"

# R's serialisation marks, as far as a vector of strings needs them: a type in the low byte of a 32-bit big-endian word.
R_STRING_VECTOR, R_STRING = 16, 9


def fetch(out: pathlib.Path) -> bytes:
    """The package's database of novels, by way of the ordinary package client (unless the package already lies in `out`)."""
    if not list(out.glob(f"{PACKAGE}_*.deb")):
        subprocess.run(["apt-get", "download", PACKAGE], cwd=out, check=True)
    package = sorted(out.glob(f"{PACKAGE}_*.deb"))[-1]
    subprocess.run(["dpkg-deb", "-x", package.name, "package"], cwd=out, check=True)
    return (out / "package" / DATA).read_bytes()


def read_objects(database: bytes):
    """The objects of an R lazy-load database, in order: each is its length in 4 bytes, then a zlib stream."""
    while database:
        (size,) = struct.unpack(">I", database[:4])
        stream = zlib.decompressobj()
        plain = stream.decompress(database[4:])
        assert len(plain) == size
        yield plain
        database = stream.unused_data


def read_lines(plain: bytes) -> list[str]:
    """The lines of a serialised vector of strings (XDR format, version 3)."""
    magic, version, _, _, encoding_length = struct.unpack(">2s4I", plain[:18])
    assert magic == b"X\n" and version == 3, "not an R serialisation of version 3"
    at = 18 + encoding_length
    flags, count = struct.unpack(">II", plain[at : at + 8])
    assert flags & 0xFF == R_STRING_VECTOR
    at += 8
    lines = []
    for _ in range(count):
        flags, length = struct.unpack(">II", plain[at : at + 8])
        assert flags & 0xFF == R_STRING
        encoding = "utf-8" if flags & (1 << 15) else "latin-1"
        lines.append(plain[at + 8 : at + 8 + length].decode(encoding))
        at += 8 + length
    return lines


def paragraphs(lines: list[str]) -> list[str]:
    """Joins lines into paragraphs, a blank line ending each."""
    joined = "\n".join(line.strip() for line in lines)
    return [tidy(p) for p in re.split(r"\n{2,}", joined) if p.strip()]


def tidy(paragraph: str) -> str:
    text = paragraph.replace("_", "").replace("`", "'").replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"')
    return re.sub(r"\s+", " ", text).strip()


def chapters(lines: list[str]) -> list[str]:
    """The chapters of one novel, without title pages, volume headings and closing words."""
    found: list[list[str]] = []
    for paragraph in paragraphs(lines):
        if re.fullmatch(r"chapter [0-9ivxl]+\.?", paragraph, re.IGNORECASE):
            found.append([f"Chapter {chapter_number(paragraph)}"])
        elif re.fullmatch(r"(volume|end of).{0,50}|finis|the end|\[(end volume|at this point in the).*\]", paragraph, re.IGNORECASE):
            continue
        elif paragraph.startswith(("*A footnote", "NOTE:", "A NOTE ON THE TEXT")):
            break
        elif found:  # before the first chapter stands the title page
            found[-1].append(paragraph)
    return ["\n\n".join(parts) + "\n" for parts in found]


def chapter_number(heading: str) -> int:
    word = heading.rstrip(".").split()[1].upper()
    if word.isdigit():
        return int(word)
    values = [{"I": 1, "V": 5, "X": 10, "L": 50}[letter] for letter in word]
    return sum(-value if value < following else value for value, following in zip(values, values[1:] + [0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default="work")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[str]] = {"train": [], "validation": [], "heldout": []}
    for name, plain in zip(NOVELS, read_objects(fetch(out)), strict=True):
        novel = chapters(read_lines(plain))
        if name in KEPT_APART:
            part, least = KEPT_APART[name]
            while sum(map(len, parts[part])) < least:
                parts[part].insert(0, novel.pop())
        parts["train"] += novel
    for part, texts in parts.items():
        (out / f"{part}.txt").write_text(CHAPTER.join(texts), encoding="utf-8")
        print(f"{part}: {len(texts)} chapters, {sum(map(len, texts)):,} characters")


if __name__ == "__main__":
    main()
