"""Every reference in the repository, compared with one list: BibTeX, CITATION.cff, docstrings, pages and examples."""

import calendar
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("hopfield_jax", "docs", "examples", "tests", "benchmarks")
FILES = [ROOT / "CITATION.cff", *ROOT.glob("*.md")]
FILES += [path for name in FOLDERS for kind in ("*.md", "*.py") for path in (ROOT / name).rglob(kind)]
PAPERS = {  # arXiv number: title, authors, year
    "2503.19922": ("Neural Learning Rules from Associative Networks Theory", ("Lotito, Daniele",), "2025"),
    "2506.05303": ("Transient dynamics of associative memory models", ("Clark, David G.",), "2026"),
    "2603.03201": (
        "A Dynamical Theory of Sequential Retrieval in Input-Driven Hopfield Networks",
        ("Betteti, Simone", "Baggio, Giacomo", "Zampieri, Sandro"),
        "2026",
    ),
    "2605.22254": (
        "DMFT analysis of Hopfield network with plasticity",
        ("Hara, Yoshinori", "Kabashima, Yoshiyuki"),
        "2026",
    ),
}
IMPLEMENTED = PAPERS.keys() - {"2506.05303"}
CITED = {  # authors, year: where, if that is said anywhere
    "Amari 1972": (),
    "Amari, Maginu 1988": ("Neural Networks 1, 63",),
    "Amit, Gutfreund, Sompolinsky 1985": ("Phys. Rev. Lett. 55, 1530",),
    "Amit, Gutfreund, Sompolinsky 1987": ("Ann. Phys. 173, 30", "Phys. Rev. A 35, 2293"),
    "Benettin, Galgani, Giorgilli, Strelcyn 1980": (),
    "Clark, Abbott 2024": (),
    "Derrida, Gardner, Zippelius 1987": ("Europhys. Lett. 4, 167",),
    "Düring, Coolen, Sherrington 1998": ("J. Phys. A 31, 8607",),
    "Fachechi, Agliari, Barra 2019": (),
    "Gardner 1988": (),
    "Hoover et al. 2023": (),
    "Hoover et al. 2025": (),
    "Hopfield 1982": (),
    "Hopfield 1984": (),
    "Hopfield, Feinstein, Palmer 1983": (),
    "James, Roos 1975": ("Comput. Phys. Commun. 10, 343",),
    "Joe, Kuo 2008": (),
    "Kanter, Sompolinsky 1987": (),
    "Keller 1977": ("in Applications of Bifurcation Theory, p. 359",),
    "Little 1974": (),
    "Martins, Astudillo 2016": (),
    "Matoušek 1998": (),
    "Mejias, Torres 2009": ("Neural Computation 21, 851",),
    "Mézard, Nadal, Toulouse 1986": ("J. Physique 47, 1457",),
    "Okada 1995": ("Neural Networks 8, 833",),
    "Pantic, Torres, Kappen, Gielen 2002": ("Neural Computation 14, 2903",),
    "Personnaz, Guyon, Dreyfus 1985": (),
    "Peters, Niculae, Martins 2019": (),
    "Ramsauer et al. 2021": (),
    "Serricchio et al. 2025": (),
    "Shiino, Fukai 1992": ("J. Phys. A 25, L375",),
    "Shiino, Fukai 1993": ("Phys. Rev. E 48, 867",),
    "Sompolinsky 1986": (),
    "Sompolinsky, Crisanti, Sommers 1988": (),
    "Storkey 1997": (),
    "Tsodyks, Markram 1997": (),
    "Tsodyks, Feigel'man 1988": ("Europhys. Lett. 6, 101",),
}


def families(authors: tuple[str, ...]) -> list[str]:
    return [author.split(",")[0] for author in authors]


def running(path: Path) -> str:
    """The text of a file as one line, without the marks of comments, emphasis and links."""
    return re.sub(r"\s*\n\s*(?:#\s)?\s*", " ", path.read_text(encoding="utf-8"))


TEXTS = {path.relative_to(ROOT).as_posix(): running(path) for path in FILES if path != Path(__file__)}
BIBTEX = {
    entry["eprint"]: entry
    for text in TEXTS.values()
    for block in re.findall(r"```bibtex (.*?) ```", text)
    for entry in [dict(re.findall(r"(\w+)=\{(.*?)\}[,\s]", block))]
}


def test_bibtex_is_that_of_the_papers():
    assert BIBTEX.keys() == IMPLEMENTED
    found = {k: (e["title"], tuple(e["author"].split(" and ")), e["year"]) for k, e in BIBTEX.items()}
    assert found == {number: PAPERS[number] for number in IMPLEMENTED}


def test_citation_file_names_the_same_papers():
    found = {}
    for entry in (ROOT / "CITATION.cff").read_text(encoding="utf-8").split("  - type: article\n")[1:]:
        (title,) = re.findall(r'title: "(.*)"', entry)
        authors = re.findall(r"family-names: (.*)(?:\n\s+given-names: (.*))?", entry)
        (year,) = re.findall(r"year: (\d+)", entry)
        number, url = re.findall(r"(?:arXiv:|arxiv.org/abs/)([\d.]+)", entry)
        assert number == url
        found[number] = (title, tuple(", ".join(author) for author in authors), year)
    assert found == {number: PAPERS[number] for number in IMPLEMENTED}


ARXIV = [
    (name, text[max(0, match.start() - 160) : match.start()], match[1])
    for name, text in TEXTS.items()
    if name != "CITATION.cff"
    for match in re.finditer(r"arXiv[ :](\d{4}\.\d{4,5})", text)
]


@pytest.mark.parametrize(("name", "before", "number"), ARXIV, ids=[f"{name}-{number}" for name, _, number in ARXIV])
def test_arxiv_numbers_stand_behind_their_authors_year_and_title(name, before, number):
    title, authors, year = PAPERS[number]
    assert all(family in before for family in families(authors)) and year in before
    said = re.findall(r"\*([^*]+)\*", before)
    assert said in ([], [title])


def test_authors_years_and_journals_are_those_of_the_list():
    """And every entry of the list is cited somewhere."""
    name = r"[A-ZÀ-Ž][\w'’-]+"
    cited = re.compile(rf"({name}(?:, {name})*(?:,? and {name})?(?: et al\.)??)(?:'s [a-z]+)?,?\s\(?((?:19|20)\d\d)\b")
    place = re.compile(r"((?:[A-Z][\w.]* )+\d+, L?\d+) \((\d{4})\)|(in [A-Z][\w ]+) \([\w ]+, (\d{4})\), (p\. \d+)")
    months = set(calendar.month_name)
    known = {(where, who.rsplit(" ", 1)[1]): who for who, places in CITED.items() for where in places}
    papers = {f"{', '.join(families(authors))} {year}" for _, authors, year in PAPERS.values()}
    papers |= {f"{families(authors)[0]} et al. {year}" for _, authors, year in PAPERS.values() if len(authors) > 1}
    seen, wrong = set(), []
    for file, text in TEXTS.items():
        for match in place.finditer(text):
            where = (match[1], match[2]) if match[1] else (f"{match[3]}, {match[5]}", match[4])
            who = known.get(where, "")
            before = text[max(0, match.start() - 200) : match.start()]
            if not who or not all(one in before for one in who.rsplit(" ", 1)[0].split(", ")):
                wrong.append((file, match[0]))
            seen |= {where, who}
        for match in cited.finditer(place.sub("", text)):
            who = f"{re.sub(',? and ', ', ', match[1])} {match[2]}"
            if match[1] not in months and who not in papers:
                seen.add(who)
                if who not in CITED:
                    wrong.append((file, match[0]))
    assert wrong == []
    assert seen == CITED.keys() | known.keys()
